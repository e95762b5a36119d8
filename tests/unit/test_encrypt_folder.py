"""Folders of images are encrypted and read back with the same pixels, or refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from block_scramble import keyfile
from block_scramble.commands.decrypt import COMMAND as DECRYPT
from block_scramble.commands.encrypt import COMMAND as ENCRYPT
from block_scramble.folder import work
from block_scramble.folder.manifest import MANIFEST, read_manifest
from block_scramble.keys import ClientKey
from common import plugins
from common.errors import CompareError, DataError, IntegrityError, UnknownNameError, UsageError
from common.types import UInt8Array

DECRYPTABLE = [name for name in plugins.discover("ciphers") if name != "noise"]


def pixels(path: Path) -> UInt8Array:
    with Image.open(path) as image:
        return np.asarray(image)


def save(path: Path, shape: tuple[int, ...], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """``in`` holds five images of five sizes, grey and colour, in three formats and folders."""
    for number, (name, shape) in enumerate(
        {
            "a.png": (32, 32, 3),
            "b.bmp": (20, 37, 3),
            "grey/c.png": (33, 18),
            "grey/deep/c.jpg": (40, 24),
            "grey/deep/patient 7.first.JPEG": (24, 40, 3),
        }.items()
    ):
        save(tmp_path / "in" / name, shape, number)
    return tmp_path


def encrypt(
    room: Path, cipher: str = "vit_block", target: str = "out", **changes: Any
) -> list[str]:
    size, source = changes.pop("size", None), changes.pop("source", "in")
    key_file = room / changes.pop("key", "client.key")
    progress = changes.pop("progress", lambda what, done, total: None)
    return ENCRYPT.run(
        room / source,
        room / target,
        cipher=cipher,
        options=changes,
        key_file=key_file,
        size=size,
        progress=progress,
    )


def decrypt(room: Path, source: str = "out", target: str = "back", key: str = "client.key") -> None:
    DECRYPT.run(
        room / source,
        room / target,
        key_file=room / key,
        progress=lambda what, done, total: None,
    )


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def assert_same_pixels(source: Path, back: Path) -> None:
    names = files(source)
    for name in names:
        restored = back / Path(name).with_suffix(".png")
        np.testing.assert_array_equal(pixels(restored), pixels(source / name), err_msg=name)
    assert len(files(back)) == len(names) + 1


def small_patch(cipher: str) -> dict[str, Any]:
    fields = plugins.load("ciphers", cipher).parameters.model_fields
    return {"patch": 8} if "patch" in fields else {}


# There and back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["per_client", "per_image"])
@pytest.mark.parametrize("cipher", DECRYPTABLE)
def test_every_cipher_gives_back_the_same_pixels(room: Path, cipher: str, policy: str) -> None:
    if policy == "per_image" and cipher == "identity":
        pytest.skip("has no key")
    encrypt(room, cipher, key_policy=policy, **small_patch(cipher))
    decrypt(room)
    assert_same_pixels(room / "in", room / "back")


def test_names_and_folders_are_kept_and_the_picture_is_not(room: Path) -> None:
    encrypt(room)
    expected = ["a.png", "b.png", "grey/c.png", "grey/deep/c.png", "grey/deep/patient 7.first.png"]
    assert files(room / "out") == sorted([*expected, MANIFEST])
    assert (pixels(room / "out/a.png") != pixels(room / "in/a.png")).mean() > 0.9
    assert pixels(room / "out/b.png").shape == (32, 48, 3)
    assert pixels(room / "out/grey/c.png").shape == (48, 32)


def test_ciphertexts_that_are_no_bytes_become_npz(room: Path) -> None:
    encrypt(room, "orthogonal", patch=8)
    with np.load(room / "out/grey/c.npz", allow_pickle=False) as archive:
        assert archive["ciphertext"].dtype == np.float32
        assert archive["ciphertext"].shape == (40, 24, 1)


def test_size_squares_all_images(room: Path) -> None:
    encrypt(room, size=48)
    decrypt(room)
    with Image.open(room / "in/grey/c.png") as image:
        expected = np.asarray(image.resize((48, 48), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pixels(room / "back/grey/c.png"), expected)
    assert {pixels(room / "out" / n).shape[:2] for n in files(room / "out") if n != MANIFEST} == {
        (48, 48)
    }


def test_the_manifest_tells_the_holder_of_the_key_and_nobody_else(room: Path) -> None:
    encrypt(room, "al_amin", patch=4, key_policy="per_image")
    key = keyfile.load(room / "client.key")
    manifest = read_manifest(room / "out")
    assert manifest.cipher == "al_amin" and manifest.parameters["patch"] == 4
    assert manifest.key_fingerprint == key.fingerprint and not manifest.insecure
    assert [entry.shape for entry in manifest.files][:2] == [(32, 32, 3), (20, 37, 3)]
    assert len({entry.nonce for entry in manifest.files}) == 5
    text = (room / "out" / MANIFEST).read_text()
    secret = key.secret_bytes()
    assert secret.hex() not in text and key.subkey("folder").secret_bytes().hex() not in text
    plain = [(room / "in" / name).read_bytes() for name in files(room / "in")]
    plain += [pixels(room / "in" / name).tobytes() for name in files(room / "in")]
    assert not any(work.sha256_of(data) in text for data in plain)
    assert (room / "client.key").stat().st_mode & 0o777 == 0o600


def test_decrypted_images_are_for_their_owner_only(room: Path) -> None:
    encrypt(room)
    decrypt(room)
    assert (room / "back/a.png").stat().st_mode & 0o777 == 0o600


def test_what_is_said_names_counts_cipher_and_key_and_what_was_left_out(room: Path) -> None:
    (room / "in/labels.csv").write_text("a.png,0\n")
    told, *notes = encrypt(room)
    fingerprint = keyfile.load(room / "client.key").fingerprint
    assert told.startswith("5 images encrypted with vit_block (per_client) under key")
    assert fingerprint in told
    assert any("labels.csv" in note for note in notes)
    assert any("names of files" in note for note in notes)
    keyfile.save(room / "weak.key", ClientKey.from_seed(1))
    assert any("insecure" in note for note in encrypt(room, target="weak", key="weak.key"))


# Doing it again ----------------------------------------------------------------------------------


def written_at(folder: Path) -> dict[str, int]:
    return {n: (folder / n).stat().st_mtime_ns for n in files(folder) if n.endswith(".png")}


@pytest.mark.parametrize("cipher", ["vit_block", "aes_ctr"])
def test_an_interrupted_encryption_is_resumed(
    room: Path, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encrypt(room, cipher, progress=interrupt)
    before = written_at(room / "out")
    assert len(read_manifest(room / "out").files) == len(before) == 3
    told = encrypt(room, cipher)[0]
    assert "2 images encrypted, 3 kept" in told
    assert before.items() <= written_at(room / "out").items()
    decrypt(room)
    assert_same_pixels(room / "in", room / "back")


def test_an_image_that_changed_or_was_damaged_is_encrypted_again(room: Path) -> None:
    encrypt(room)
    save(room / "in/a.png", (32, 32, 3), seed=99)
    (room / "out/b.png").write_bytes(b"damaged")
    (room / "out/grey/c.png").unlink()
    assert "3 images encrypted, 2 kept" in encrypt(room)[0]
    decrypt(room)
    assert_same_pixels(room / "in", room / "back")


def test_an_interrupted_decryption_is_resumed(room: Path) -> None:
    encrypt(room)
    decrypt(room)
    before = written_at(room / "back")
    (room / "back/b.png").write_bytes(b"damaged")
    decrypt(room)
    after = written_at(room / "back")
    assert [name for name in before if before[name] != after[name]] == ["b.png"]
    assert_same_pixels(room / "in", room / "back")


def test_an_unfinished_folder_says_so_when_it_is_read(room: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encrypt(room, progress=interrupt)
    told = DECRYPT.run(
        room / "out", room / "back", key_file=room / "client.key", progress=lambda *a: None
    )
    assert any("4 of 5 are not in it" in note for note in told)


# What is refused, and that nothing was written then ---------------------------------------------


def deep_colour_png(path: Path) -> None:
    """A 16-bit RGB picture, which Pillow would read as 8-bit without a word."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + checksum

    side = (16).to_bytes(4, "big")
    header = chunk(b"IHDR", side + side + bytes([16, 2, 0, 0, 0]))
    body = chunk(b"IDAT", zlib.compress(bytes(16 * (1 + 16 * 6))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))


def transparent(path: Path, alpha: int) -> None:
    Image.new("RGBA", (16, 16), (1, 2, 3, alpha)).save(path)


BAD_IMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "16-bit grey": (lambda p: Image.new("I;16", (16, 16)).save(p), "more than 8 bits"),
    "16-bit colour": (deep_colour_png, "more than 8 bits"),
    "alpha": (lambda p: transparent(p, 100), "alpha channel"),
    "opaque alpha": (lambda p: transparent(p, 255), "alpha channel"),
    "smaller than a block": (lambda p: save(p, (12, 40)), "a block of 'vit_block' has 16"),
    "no image": (lambda p: p.write_text("hello"), "no JPEG, PNG, BMP file"),
    "empty": (lambda p: p.write_bytes(b""), "no JPEG, PNG, BMP file"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_would_not_come_back_is_refused_by_name(room: Path, kind: str) -> None:
    make, reason = BAD_IMAGES[kind]
    make(room / "in/bad.png")
    with pytest.raises(CompareError, match=r"bad\.png") as caught:
        encrypt(room)
    assert reason in str(caught.value)
    assert not (room / "out").exists() and not (room / "client.key").exists()


def test_a_truncated_image_is_refused_by_name_and_the_others_are_resumed(room: Path) -> None:
    whole = (room / "in/b.bmp").read_bytes()
    (room / "in/b.bmp").write_bytes(whole[:500])
    with pytest.raises(DataError, match=r"b\.bmp"):
        encrypt(room)
    (room / "in/b.bmp").write_bytes(whole)
    encrypt(room)
    decrypt(room)
    assert_same_pixels(room / "in", room / "back")


@pytest.mark.parametrize(("first", "second"), [("x.png", "x.jpg"), ("X.png", "x.bmp")])
def test_two_files_that_would_get_one_name_are_refused(room: Path, first: str, second: str) -> None:
    for name in (first, second):
        save(room / "in" / name, (16, 16))
    with pytest.raises(DataError) as caught:
        encrypt(room)
    assert first in str(caught.value) and second in str(caught.value)


def test_links_that_lead_out_are_refused(room: Path) -> None:
    save(room / "elsewhere/x.png", (16, 16))
    for link, target in (("x.png", "elsewhere/x.png"), ("sub", "elsewhere"), ("y.png", "gone")):
        (room / "in" / link).symlink_to(room / target)
        with pytest.raises(DataError, match="leads out"):
            encrypt(room)
        (room / "in" / link).unlink()
    (room / "out").mkdir()
    (room / "out/grey").symlink_to(room / "elsewhere")
    with pytest.raises(UsageError):
        encrypt(room)
    assert files(room / "elsewhere") == ["x.png"]


def test_a_link_put_into_the_target_later_is_not_followed(room: Path) -> None:
    encrypt(room)
    (room / "elsewhere").mkdir()
    for name in files(room / "out/grey"):
        (room / "out/grey" / name).unlink()
    (room / "out/grey/deep").rmdir()
    (room / "out/grey").rmdir()
    (room / "out/grey").symlink_to(room / "elsewhere")
    with pytest.raises(UsageError, match="leads out"):
        encrypt(room)
    assert files(room / "elsewhere") == []


@pytest.mark.parametrize("target", ["in", "in/out", "."])
def test_folders_inside_each_other_are_refused(room: Path, target: str) -> None:
    with pytest.raises(UsageError, match="inside each other"):
        encrypt(room, target=target)


def test_a_key_in_the_folder_to_be_shared_is_refused(room: Path) -> None:
    with pytest.raises(UsageError, match="whoever gets the folder gets the key"):
        encrypt(room, key="out/client.key")


@pytest.mark.parametrize(
    ("cipher", "options", "reason"),
    [
        ("vit_blok", {}, "did you mean 'vit_block'"),
        ("vit_block", {"patches": 8}, "no parameter 'patches'"),
        ("vit_block", {"patch": 1}, "patch=1"),
        ("vit_block", {"key_policy": "per_folder"}, "key_policy 'per_folder'"),
        ("identity", {"key_policy": "per_image"}, "has no key"),
        ("vit_block", {"size": 5}, "size 5 is out of range"),
        ("noise", {}, "cannot be decrypted"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_written(
    room: Path, cipher: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises((UsageError, UnknownNameError)) as caught:
        encrypt(room, cipher, **options)
    assert reason in str(caught.value)
    assert not (room / "out").exists()


def test_a_folder_of_something_else_is_not_written_into(room: Path) -> None:
    encrypt(room)
    (room / "mine").mkdir()
    (room / "mine/letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="not empty"):
        encrypt(room, target="mine")
    with pytest.raises(UsageError, match="not empty"):
        decrypt(room, target="mine")
    with pytest.raises(UsageError, match="its parameters is"):
        encrypt(room, patch=8)
    with pytest.raises(UsageError, match="its cipher is vit_block, now al_amin"):
        encrypt(room, "al_amin", patch=4)
    (room / "in/a.png").unlink()
    with pytest.raises(UsageError, match=r"'a\.png'"):
        encrypt(room)
    assert files(room / "mine") == ["letter.txt"]


def test_a_folder_without_images_and_one_that_is_missing_are_refused(room: Path) -> None:
    (room / "none").mkdir()
    with pytest.raises(DataError, match="has no"):
        encrypt(room, source="none")
    with pytest.raises(UsageError, match="is not there"):
        encrypt(room, source="nowhere")
    with pytest.raises(UsageError, match="no encrypted folder"):
        decrypt(room, source="in")


def test_another_key_is_refused_by_its_fingerprint(room: Path) -> None:
    encrypt(room)
    other = keyfile.create(room / "other.key").fingerprint
    own = keyfile.load(room / "client.key").fingerprint
    for call in (lambda: decrypt(room, key="other.key"), lambda: encrypt(room, key="other.key")):
        with pytest.raises(UsageError) as caught:
            call()
        assert own in str(caught.value) and other in str(caught.value)
    with pytest.raises(UsageError, match="cannot read the key file"):
        decrypt(room, key="missing.key")
    assert not (room / "back").exists() and not (room / "missing.key").exists()


def test_after_a_rotation_the_retired_key_is_named(room: Path) -> None:
    encrypt(room)
    old = keyfile.load(room / "client.key").fingerprint
    keyfile.rotate(room / "client.key")
    with pytest.raises(UsageError, match=rf"client\.key\.{old}"):
        decrypt(room)
    decrypt(room, key=f"client.key.{old}")
    assert_same_pixels(room / "in", room / "back")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def edit(path: Path) -> None:
    changed = pixels(path).copy()
    changed[0, 0] ^= 1
    Image.fromarray(changed).save(path)


@pytest.mark.parametrize(
    "damage",
    [truncate, edit, Path.unlink, lambda path: save(path, (32, 32, 3))],
    ids=["truncated", "edited", "missing", "foreign"],
)
def test_a_ciphertext_that_is_not_what_was_encrypted_is_refused_by_name(
    room: Path, damage: Callable[[Path], Any]
) -> None:
    encrypt(room)
    damage(room / "out/a.png")
    with pytest.raises(IntegrityError, match=r"a\.png"):
        decrypt(room)


def test_a_file_that_was_added_is_refused(room: Path) -> None:
    encrypt(room)
    save(room / "out/grey/more.png", (16, 16))
    with pytest.raises(IntegrityError, match=r"grey/more\.png"):
        decrypt(room)


def altered(room: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads((room / "out" / MANIFEST).read_text())
    change(content)
    (room / "out" / MANIFEST).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["files"].pop(),
        lambda m: m["files"].append(m["files"][0]),
        lambda m: m["files"][0].update(source="../../escaped.png"),
        lambda m: m["files"][0].update(ciphertext="/etc/passwd"),
        lambda m: m["files"][0].update(shape=[8, 8, 3]),
        lambda m: m["files"][0].update(sha256="0" * 64),
        lambda m: m["files"][0].update(nonce="zz"),
        lambda m: m["parameters"].update(patch=8),
        lambda m: m.update(cipher="identity"),
        lambda m: m.update(version=2),
        lambda m: m.update(extra=1),
        lambda m: m.pop("tag"),
    ],
)
def test_an_altered_manifest_is_refused(room: Path, change: Callable[[Any], Any]) -> None:
    encrypt(room)
    altered(room, change)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        decrypt(room)
    assert not (room / "back").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 5000])
def test_a_manifest_that_does_not_parse_is_refused(room: Path, content: bytes) -> None:
    encrypt(room)
    (room / "out" / MANIFEST).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        decrypt(room)


def test_a_ciphertext_and_manifest_edited_to_fit_are_noticed(room: Path) -> None:
    encrypt(room)
    edit(room / "out/a.png")
    digest = work.sha256_of((room / "out/a.png").read_bytes())
    altered(room, lambda manifest: manifest["files"][0].update(sha256=digest))
    with pytest.raises(IntegrityError, match="was altered"):
        decrypt(room)

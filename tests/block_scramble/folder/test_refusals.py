"""What folders of images are refused for: always by name, with a reason, before harm is done."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from he_compare.block_scramble.folder.image_files import sha256_of
from he_compare.block_scramble.folder.manifest import MANIFEST
from he_compare.block_scramble.keys import key_files
from he_compare.common.errors import (
    CompareError,
    DataError,
    IntegrityError,
    UnknownNameError,
    UsageError,
)
from tests.support.encryptedfolders import (
    assert_same_pixels,
    decrypt,
    encrypt,
    files,
    make_room,
    pixels,
    save,
)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return make_room(tmp_path)


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
    "16-bit colour": (deep_colour_png, "more than 8 bits"),
    "alpha": (lambda p: transparent(p, 100), "transparent pixels"),
    "smaller than a block": (lambda p: save(p, (12, 40)), "a block of 'vit_block' has 16"),
    "no image": (lambda p: p.write_text("hello"), "a file of another kind, not a PNG"),
    "empty": (lambda p: p.write_bytes(b""), "an empty file, not a PNG"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_would_not_come_back_is_refused_by_name(room: Path, kind: str) -> None:
    make, reason = BAD_IMAGES[kind]
    make(room / "in/bad.png")
    with pytest.raises(CompareError, match=r"bad\.png") as caught:
        encrypt(room)
    assert reason in str(caught.value)
    assert not (room / "out").exists() and not (room / "client.key").exists()


def test_a_truncated_image_is_refused_by_name_before_anything_is_written(room: Path) -> None:
    whole = (room / "in/b.bmp").read_bytes()
    (room / "in/b.bmp").write_bytes(whole[:500])
    with pytest.raises(DataError, match=r"b\.bmp"):
        encrypt(room)
    assert not (room / "out").exists() and not (room / "client.key").exists()
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
    with pytest.raises(UsageError, match="does not exist"):
        encrypt(room, source="nowhere")
    with pytest.raises(UsageError, match="not an encrypted folder"):
        decrypt(room, source="in")


def test_another_key_is_refused_by_its_fingerprint(room: Path) -> None:
    encrypt(room)
    other = key_files.create(room / "other.key").fingerprint
    own = key_files.load(room / "client.key").fingerprint
    for call in (lambda: decrypt(room, key="other.key"), lambda: encrypt(room, key="other.key")):
        with pytest.raises(UsageError) as caught:
            call()
        assert own in str(caught.value) and other in str(caught.value)
    with pytest.raises(UsageError, match="cannot read the key file"):
        decrypt(room, key="missing.key")
    assert not (room / "back").exists() and not (room / "missing.key").exists()


def test_after_a_rotation_the_retired_key_is_named(room: Path) -> None:
    encrypt(room)
    old = key_files.load(room / "client.key").fingerprint
    key_files.rotate(room / "client.key")
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
    digest = sha256_of((room / "out/a.png").read_bytes())
    altered(room, lambda manifest: manifest["files"][0].update(sha256=digest))
    with pytest.raises(IntegrityError, match="was altered"):
        decrypt(room)

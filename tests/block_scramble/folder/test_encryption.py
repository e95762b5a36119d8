"""Folders of images are encrypted and read back with the same pixels, also after interruptions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from he_compare.block_scramble.folder.decrypt import decrypt_folder
from he_compare.block_scramble.folder.image_files import sha256_of
from he_compare.block_scramble.folder.manifest import MANIFEST, read_manifest
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.comparisons.cli import app
from tests.support.encryptedfolders import (
    assert_same_pixels,
    decrypt,
    encrypt,
    files,
    make_room,
    pixels,
    save,
)

DECRYPTABLE = [name for name in plugins.discover("ciphers") if name != "noise"]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return make_room(tmp_path)


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
    key = key_files.load(room / "client.key")
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
    assert not any(sha256_of(data) in text for data in plain)
    assert (room / "client.key").stat().st_mode & 0o777 == 0o600


def test_decrypted_images_are_for_their_owner_only(room: Path) -> None:
    encrypt(room)
    decrypt(room)
    assert (room / "back/a.png").stat().st_mode & 0o777 == 0o600


def test_what_is_said_names_counts_cipher_and_key_and_what_was_left_out(room: Path) -> None:
    (room / "in/labels.csv").write_text("a.png,0\n")
    outcome = encrypt(room)
    fingerprint = key_files.load(room / "client.key").fingerprint
    assert outcome.result.startswith("5 images encrypted with vit_block (per_client) under key")
    assert fingerprint in outcome.result
    assert outcome.left_out == ("labels.csv: not an image",) and not outcome.complete
    assert any("names of files" in note for note in outcome.notes)
    key_files.save(room / "weak.key", ClientKey.from_seed(1))
    assert any("insecure" in note for note in encrypt(room, target="weak", key="weak.key").notes)


def test_padding_is_told_exactly_where_there_is_some(room: Path) -> None:
    assert not any("padded" in note for note in encrypt(room, "pixel_np", target="whole").notes)
    shapes = [pixels(room / "in" / name).shape for name in files(room / "in")]
    odd = sum(shape[0] % 16 > 0 or shape[1] % 16 > 0 for shape in shapes)
    notes = encrypt(room, patch=16).notes
    assert odd > 0 and any(f"{odd} images padded, blocks have 16 pixels" in note for note in notes)
    assert (room / "out" / MANIFEST).read_text().count("last row and column repeated") == 1


def test_one_image_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/a.png", (16, 16, 3))
    assert encrypt(tmp_path).result.startswith("1 image encrypted")
    assert decrypt(tmp_path).result.startswith("1 image decrypted")


# Doing it again ----------------------------------------------------------------------------------


def written_at(folder: Path) -> dict[str, int]:
    return {n: (folder / n).stat().st_mtime_ns for n in files(folder) if n.endswith(".png")}


@pytest.mark.parametrize("cipher", ["vit_block", "aes_ctr"])
def test_an_interrupted_encryption_is_resumed(
    room: Path, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "encrypting images" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encrypt(room, cipher, progress=interrupt)
    before = written_at(room / "out")
    assert len(read_manifest(room / "out").files) == len(before) == 3
    told = encrypt(room, cipher).result
    assert "2 images encrypted, 3 already done" in told
    assert before.items() <= written_at(room / "out").items()
    decrypt(room)
    assert_same_pixels(room / "in", room / "back")


def test_an_image_that_changed_or_was_damaged_is_encrypted_again(room: Path) -> None:
    encrypt(room)
    save(room / "in/a.png", (32, 32, 3), seed=99)
    (room / "out/b.png").write_bytes(b"damaged")
    (room / "out/grey/c.png").unlink()
    assert "3 images encrypted, 2 already done" in encrypt(room).result
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
        if what == "encrypting images":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encrypt(room, progress=interrupt)
    told = decrypt_folder(
        room / "out", room / "back", key_file=room / "client.key", progress=lambda *a: None
    )
    assert any("4 of 5 images are missing" in note for note in told.notes)
    assert not told.complete


# The command line ---------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run `compare` in this process; return exit code, stdout and stderr."""
    sys.argv = ["compare", *map(str, arguments)]
    with pytest.raises(SystemExit) as stopped:
        app.main()
    out, err = capsys.readouterr()
    return int(str(stopped.value.code)), out, err


@pytest.fixture(autouse=True)
def arguments_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_the_command_line_goes_there_and_back(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ("--key", room / "k/client.key")
    spec = "al_amin[patch=8,key_policy=per_image]"
    code, out, err = run(capsys, "encrypt", room / "in", room / "out", "--cipher", spec, *key)
    assert code == 0 and out.count("\n") == 1 and "5 images encrypted with al_amin" in out
    assert "encrypting images" in err
    code, out, err = run(capsys, "decrypt", room / "out", room / "back", *key, "--quiet")
    assert (code, err) == (0, "") and out.startswith("5 images decrypted")
    assert_same_pixels(room / "in", room / "back")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["encrypt", "in", "out", "--cipher", "vit_blok", "--key", "k"], 2, "did you mean"),
        (["encrypt", "in", "out", "--cipher", "etc[", "--key", "k"], 2, "cipher 'etc['"),
        (["encrypt", "in", "out", "--cipher", "etc"], 2, "Missing option '--key'"),
        (["encrypt", "gone", "out", "--cipher", "etc", "--key", "k"], 2, "gone does not exist"),
        (["decrypt", "in", "out", "--key", "k"], 2, "not an encrypted folder"),
        (["decrypt", "broken", "out", "--key", "k"], 4, "not a manifest that this program"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    room: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(room)
    (room / "broken").mkdir()
    (room / "broken" / MANIFEST).write_text("{}")
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert err.startswith("error: ") and err.count("\n") <= 2 and said in err


def test_compare_has_both_commands(room: Path) -> None:
    common = [sys.executable, "-m", "comparisons"]
    key = ["--key", str(room / "client.key")]
    there = ["encrypt", str(room / "in"), str(room / "out"), "--cipher", "vit_block", *key]
    back = ["decrypt", str(room / "out"), str(room / "back"), *key]
    for arguments in (there, back):
        subprocess.run([*common, *arguments], check=True, capture_output=True)
    assert_same_pixels(room / "in", room / "back")

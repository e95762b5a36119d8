"""`compare audit attack-file` on npz files, the blind rotation behind it, and hostile arrays."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.errors import DataError
from he_compare.common.similarity import ssim
from he_compare.common.types import Float32Array, UInt8Array
from he_compare.comparisons.attack_file.attack_folder import attack_folder
from he_compare.comparisons.attack_file.writing import FolderAttack
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.rotation import find_rotation, guess_rotated_side
from he_compare.comparisons.cli.app import app
from tests.support.oneattack import detail, outcome
from tests.support.smoothimages import scrambled, smooth_images

SIDE, PATCH = 64, 8


def rotated(images: UInt8Array, patch: int, seed: int = 0) -> Float32Array:
    """Every block times one random orthogonal matrix, written apart from the cipher."""
    n, height, width, channels = images.shape
    values = patch * patch * channels
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(values, values)))[0]
    grid = (n, height // patch, patch, width // patch, patch, channels)
    blocks = images.reshape(grid).transpose(0, 1, 3, 2, 4, 5).reshape(-1, values) @ matrix
    laid = blocks.reshape(n, height // patch, width // patch, patch, patch, channels)
    return laid.transpose(0, 1, 3, 2, 4, 5).reshape(images.shape).astype(np.float32)


def save(folder: Path, arrays: Any, name: str = "ciphertext") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, array in enumerate(arrays):
        np.savez(folder / f"patient {number}.npz", **{name: array})


def attack(folder: Path, patch: int | None = None) -> FolderAttack:
    return attack_folder(folder, patch, None, lambda what, done, total: None)


def pictures(done: FolderAttack) -> UInt8Array:
    return np.stack([np.asarray(Image.open(done.out / name)) for name in done.written])


def test_a_secret_rotation_of_blocks_is_undone_from_ciphertexts_alone(tmp_path: Path) -> None:
    images = smooth_images(12, SIDE)
    save(tmp_path / "in", rotated(images, PATCH))
    done = attack(tmp_path / "in")
    assert (done.patch, done.guessed, done.sureness) == (PATCH, True, Sureness.SURE)
    assert done.written == [f"patient {i}.png" for i in sorted(range(12), key=str)]
    order = [int(name.split()[1].split(".")[0]) for name in done.written]
    assert ssim(pictures(done)[..., None], images[order]).mean() > 0.9
    assert "do not apply" in done.lines[1]


@pytest.mark.parametrize("patch", [4, 16])
def test_a_wrong_side_is_not_called_sure_and_the_right_one_named(
    tmp_path: Path, patch: int
) -> None:
    save(tmp_path / "in", rotated(smooth_images(12, SIDE), PATCH))
    done = attack(tmp_path / "in", patch)
    assert done.sureness is not Sureness.SURE
    assert any(f"try --patch {PATCH}" in line for line in done.lines)


def test_noise_and_one_image_are_not_called_sure(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 60, (8, SIDE, SIDE, 1)).astype(np.float32)
    assert guess_rotated_side(noise, [4, 8, 16]) is None
    save(tmp_path / "noise", noise)
    call = ["audit", "attack-file", str(tmp_path / "noise"), "--quiet"]
    call += ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 3 and result.stdout.startswith("unknown: 8 arrays; no blocks")
    assert "no evidence that the images are safe" in result.stdout and "--patch" in result.stdout
    assert json.loads((tmp_path / "out" / "attack.json").read_text())["state"] == "unknown"
    assert attack(tmp_path / "noise", PATCH).sureness is Sureness.NOTHING
    assert find_rotation(rotated(smooth_images(1, SIDE), PATCH), PATCH).agreement == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bytes_in_arrays_are_attacked_like_pictures(tmp_path: Path, dtype: Any) -> None:
    images = smooth_images(4, SIDE)
    hidden = scrambled(images, PATCH, seed=1, negate=True).images
    save(tmp_path / "in", hidden[..., 0].astype(dtype), name="any")
    done = attack(tmp_path / "in")
    assert done.sureness is Sureness.SURE and done.patch == PATCH
    assert np.array_equal(aligned_together(pictures(done), images), images[..., 0])


def test_what_compare_encrypt_writes_under_orthogonal_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, image in enumerate(smooth_images(10, SIDE)):
        Image.fromarray(image[..., 0]).save(tmp_path / "in" / f"{number}.png")
    call = ["encrypt", str(tmp_path / "in"), str(tmp_path / "sent"), "--quiet"]
    call += ["--cipher", f"orthogonal[patch={PATCH}]", "--key", str(tmp_path / "key")]
    assert CliRunner().invoke(app, call).exit_code == 0
    done = attack(tmp_path / "sent")
    assert (done.sureness, done.patch) == (Sureness.SURE, PATCH)


def test_the_audit_runs_the_blind_rotation_where_it_applies(tmp_path: Path) -> None:
    found = outcome(tmp_path / "a", "blind_rotation", "orthogonal[patch=8]", SIDE)
    assert found.advantage is not None and found.advantage > 0.5, found.headline
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > detail(found, "SSIM of block means alone")
    for cipher in ("vit_block[patch=8]", "pixel_np"):
        assert outcome(tmp_path / cipher, "blind_rotation", cipher, SIDE).verdict == (
            "not applicable"
        )


def npz(path: Path, header: bytes, numbers: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ciphertext.npy", header + numbers)


def header_of(text: str) -> bytes:
    spelt = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(spelt)) + spelt


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (200000, 200000, 3), }"
FEW = "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 16, 1), }"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (16, 16, 1), }"
CODE = "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (16, 16), }"


@pytest.mark.parametrize(
    ("header", "numbers"),
    [
        (HUGE, b""),
        (FEW, b"\0" * 8),
        (FEW, b"\0" * 4096),
        (OBJECTS, b"cos\nsystem\n"),
        (CODE, b""),
    ],
)
def test_hostile_arrays_are_refused_by_name_in_one_line(
    tmp_path: Path, header: str, numbers: bytes
) -> None:
    npz(tmp_path / "in" / "x.npz", header_of(header), numbers)
    with pytest.raises(DataError, match=r"x\.npz") as caught:
        attack(tmp_path / "in")
    assert "\n" not in str(caught.value)


def test_other_bytes_other_types_and_other_shapes_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "b.npz", first=np.zeros((16, 16)), second=np.zeros((16, 16)))
    wrong: dict[str, Any] = {
        "c": np.zeros((16, 16, 4), np.float32),
        "d": np.zeros((16, 16), np.int64),
        "e": np.full((16, 16), np.nan, np.float32),
        "f": np.array([[None]], dtype=object),
        "g": np.full((16, 16), 1e30, np.float32),
    }
    (tmp_path / "b").mkdir()
    (tmp_path / "b.npz").rename(tmp_path / "b" / "x.npz")
    for name, array in wrong.items():
        (tmp_path / name).mkdir()
        buffer = io.BytesIO()
        np.savez(buffer, array)
        (tmp_path / name / "x.npz").write_bytes(buffer.getvalue())
    for name in ("a", "b", *wrong):
        with pytest.raises(DataError, match=r"x\.npz") as caught:
            attack(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_arrays_of_two_sizes_and_arrays_among_pictures_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "in", [np.zeros((16, 16), np.uint8), np.zeros((32, 16), np.uint8)])
    with pytest.raises(DataError, match="2 sizes"):
        attack(tmp_path / "in")
    save(tmp_path / "mixed", [np.zeros((16, 16), np.uint8)])
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "mixed" / "a.png")
    with pytest.raises(DataError, match="1 pictures and 1 arrays"):
        attack(tmp_path / "mixed")


def test_noise_among_rotated_arrays_is_counted(tmp_path: Path) -> None:
    arrays = rotated(smooth_images(14, SIDE), PATCH)
    arrays[12:] = np.random.default_rng(3).normal(0, 5, arrays[12:].shape)
    save(tmp_path / "in", arrays)
    done = attack(tmp_path / "in", PATCH)
    each = dict(zip(done.written, done.each, strict=True))
    assert each["patient 12.png"] is each["patient 13.png"] is Sureness.NOTHING
    assert done.sureness is Sureness.PARTLY and "2 show nothing" in done.lines[0]

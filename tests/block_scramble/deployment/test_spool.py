"""A server's ciphertexts on disk: what is read is what was sent, and a full disk is said."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from he_compare.block_scramble.deployment.spool import SpooledCiphertexts
from he_compare.common.backbones.deit import build_vit, pixel_statistics
from he_compare.common.backbones.finetune import Budget, VitTrainer
from he_compare.common.types import PixelSource, Split, UInt8Array

SHAPE = (6, 6, 3)
RANDOM = np.random.default_rng(0)


def made(count: int, dtype: str) -> npt.NDArray[Any]:
    return RANDOM.integers(0, 256, (count, *SHAPE)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_read_by_slice_or_position_is_what_was_sent(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, parts = (
        SpooledCiphertexts(SHAPE, dtype),
        [made(5, dtype), made(1, dtype), made(4, dtype)],
    )
    for name in ("pread", "preadv", "pwrite", "pwritev"):  # as on Windows
        monkeypatch.delattr(f"os.{name}", raising=False)
    for part in parts:
        spool.append(part)
    sent = np.concatenate(parts)
    assert len(spool) == len(sent)
    for index in (slice(None), slice(3, 8), slice(8, 99), np.array([9, 0, 5, 5]), slice(0, 0)):
        found = spool[index]
        assert found.dtype == sent.dtype and np.array_equal(found, sent[index])
    with pytest.raises(IndexError):
        spool[np.array([10])]


@pytest.mark.parametrize("wrong", [made(2, "int16"), np.zeros((2, 6, 5, 3), np.uint8)])
def test_another_shape_or_type_is_refused(wrong: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="ciphertexts are"):
        SpooledCiphertexts(SHAPE, "uint8").append(wrong)


def test_training_on_ciphertexts_in_files_gives_the_very_weights_of_those_in_memory() -> None:
    images = RANDOM.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(30) % 2
    name = "deit_tiny_patch16_224"

    def trained(*parts: PixelSource) -> bytes:
        model = build_vit(name, image_size=32, classes=2, weights="untrained", seed=0)
        budget = Budget(epochs=2, batch_size=8, learning_rate=1e-4, seed=1)
        trainer = VitTrainer(model, *pixel_statistics(name), budget, flip=True)
        start = 0
        for part in parts:
            trainer.add(Split.TRAIN, part, labels[start : start + len(part)])
            start += len(part)
        trainer.add(Split.VAL, parts[0], labels[: len(parts[0])])
        while not trainer.finished:
            trainer.run_epoch()
        return trainer.best_state()

    files = []
    for part in (images[:20], images[20:]):
        files.append(SpooledCiphertexts((32, 32, 3), "uint8"))
        files[-1].append(part)
    assert trained(images[:20], images[20:]) == trained(*files)
    assert trained(images) == trained(spooled(images))


def spooled(images: UInt8Array) -> SpooledCiphertexts:
    spool = SpooledCiphertexts(images.shape[1:], "uint8")
    for start in range(0, len(images), 7):
        spool.append(images[start : start + 7])
    return spool


FULL = f"""
import resource
import numpy as np
from he_compare.block_scramble.deployment.spool import SpooledCiphertexts
from he_compare.common.errors import CellError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
spool = SpooledCiphertexts({SHAPE}, "uint8")
spool.append(np.full((5, *{SHAPE}), 7, np.uint8))
try:
    spool.append(np.full((9, *{SHAPE}), 8, np.uint8))
except CellError as error:
    print(error)
print(len(spool), int(spool[:].min()), int(spool[:].max()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are those of Unix")
def test_a_full_disk_is_said_and_what_was_there_before_is_kept() -> None:
    said = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    assert "cannot keep 9 more ciphertexts of 108 bytes beside the 5" in said.stdout
    assert "the disk is full" in said.stdout and "TMPDIR" in said.stdout
    assert said.stdout.endswith("\n5 7 7\n")

"""What the npz file of a MedMNIST set holds: images and labels by split, validated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.npz import read_npz
from he_compare.common.errors import DataError
from he_compare.common.types import IntArray, Split, UInt8Array


def read_splits(
    path: Path, size: int, channels: int
) -> tuple[dict[Split, UInt8Array], dict[Split, npt.NDArray[Any]]]:
    """Read images uint8 (n, size, size[, 3]) and labels as stored by split. Raises DataError."""
    keys = tuple(f"{split}_{part}" for split in Split for part in ("images", "labels"))
    arrays = read_npz(path, keys)
    shape = (size, size) if channels == 1 else (size, size, channels)
    images: dict[Split, UInt8Array] = {}
    for split in Split:
        pixels = arrays[f"{split}_images"]
        if pixels.dtype != np.uint8 or pixels.shape[1:] != shape:
            wanted = ", ".join(str(extent) for extent in shape)
            raise _wrong(path, f"{split}_images", pixels, f"uint8 (n, {wanted})")
        if len(pixels) != len(np.atleast_1d(arrays[f"{split}_labels"])):
            raise _wrong(path, f"{split}_labels", arrays[f"{split}_labels"], f"({len(pixels)}, k)")
        images[split] = pixels
    return images, {split: arrays[f"{split}_labels"] for split in Split}


def single_labels(
    path: Path, split: Split, values: npt.NDArray[Any], classes: Sequence[str]
) -> IntArray:
    """Return labels int64 (n,) of a set with one label per image. Raises DataError."""
    key, n = f"{split}_labels", len(values)
    if values.dtype.kind not in "ui" or values.shape not in ((n,), (n, 1)):
        raise _wrong(path, key, values, f"integers ({n}, 1)")
    return _in_range(path, key, values.reshape(-1), len(classes))


def finding_table(
    path: Path, split: Split, values: npt.NDArray[Any], findings: Sequence[str]
) -> IntArray:
    """Return int64 (n, k) of 0 and 1 of a set with many findings per image. Raises DataError."""
    key, n, k = f"{split}_labels", len(values), len(findings)
    if values.dtype.kind not in "ui" or values.shape != (n, k):
        raise _wrong(path, key, values, f"integers ({n}, {k})")
    return _in_range(path, key, values, 2)


def _in_range(path: Path, key: str, values: npt.NDArray[Any], k: int) -> IntArray:
    labels: IntArray = values.astype(np.int64)
    outside = labels[(labels < 0) | (labels >= k)]
    if outside.size:
        raise DataError(
            f"array {key!r} of {path.name} has the label {outside.flat[0]}, known are 0 to {k - 1}",
            fix="fetch the file again",
        )
    return labels


def _wrong(path: Path, key: str, array: npt.NDArray[Any], expected: str) -> DataError:
    return DataError(
        f"array {key!r} of {path.name} is {array.dtype} {array.shape}, expected {expected}",
        fix="use the file of that size in MedMNIST layout",
    )

"""A tiny npz file in the layout of a MedMNIST set, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.embedded.example_pictures import example_picture
from he_compare.common.datasets.medmnist_sets.known_sets import SIZES
from he_compare.common.types import IntArray, Split, UInt8Array

PER_CLASS = {Split.TRAIN: 6, Split.VAL: 2, Split.TEST: 4}


def write_example_npz(
    path: Path, classes: int, channels: int, stored: Callable[[IntArray], UInt8Array]
) -> None:
    """Write 28-pixel images of each class in every split.

    ``stored``: turns labels (n,) into the array of labels that is stored.
    """
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for place, (split, per_class) in enumerate(PER_CLASS.items()):
        labels: IntArray = np.tile(np.arange(classes), per_class)
        first = 1000 * place
        pictures = [example_picture(int(x), first + i, SIZES[0]) for i, x in enumerate(labels)]
        grey = np.stack(pictures)
        arrays[f"{split}_images"] = grey if channels == 1 else np.stack([grey] * channels, axis=-1)
        arrays[f"{split}_labels"] = stored(labels)
    np.savez_compressed(path, **arrays)

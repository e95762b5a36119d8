"""Folders of pictures in two classes, to be decoded into a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.folder import DATASET

Opened = Callable[[], OpenDataset]
COUNT = 20


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write a folder of grey pictures of several shapes, ``COUNT`` a class."""
    root = tmp_path / "films"
    random = np.random.default_rng(3)
    for label in ("ill", "well"):
        (root / label).mkdir(parents=True)
        for number in range(COUNT):
            image = random.integers(0, 256, (40 + number, 36), dtype=np.uint8)
            Image.fromarray(image).save(root / label / f"{number:02d}.png")
    return root


@pytest.fixture
def opened(pictures: Path) -> Opened:
    """Return a function that opens the folder as it is then."""
    return lambda: DATASET.open(str(pictures), None, "", 0)

"""Tiny synthetic pictures with which a family writes an example of its layout, for tests.

A picture is a noisy gradient, with a bright square where the label is odd. Nothing is medical.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from he_compare.common.types import UInt8Array

SIDE = 24


def example_picture(label: int, number: int, side: int = SIDE) -> UInt8Array:
    """Return the grey picture ``number`` of a label: uint8 (side, side), no two alike."""
    noise = np.random.default_rng((label, number)).normal(0, 8, (side, side))
    grey = np.linspace(60, 110, side)[:, None] + noise
    if label % 2:
        grey[side // 4 : side // 2, side // 4 : side // 2] += 90
    return np.clip(grey, 0, 255).astype(np.uint8)


def write_example_picture(path: Path, label: int, number: int) -> None:
    """Write a picture in the format of the file's ending, and the folders above it."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(example_picture(label, number)).save(path)

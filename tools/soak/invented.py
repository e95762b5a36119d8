"""Invented images in two classes, so that every run of the soak is small and needs no dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE, A_CLASS = 32, 70
# Words of a run on them: small, and of one thread per process.
SMALL = (
    *("--profile", "smoke", "--offline", "--image-size", str(SIDE), "--epochs", "1"),
    *("--train-limit", "60", "--val-limit", "20", "--test-limit", "40", "--threads", "1"),
    *("--latency-images", "2", "--latency-rounds", "2"),
)


def invented_images(folder: Path, a_class: int = A_CLASS) -> tuple[str, ...]:
    """Write the images where they are not there yet; return the words that name them to a run."""
    random, beside = np.random.default_rng(1), folder.with_name(f"{folder.name}-made")
    if not folder.is_dir():
        for number in range(2 * a_class):
            label, least = ("bright", 120) if number % 2 else ("dark", 0)
            pixels = random.integers(0, 136, (SIDE, SIDE)) + least
            path = beside / label / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        beside.rename(folder)
    return ("--dataset", f"folder:{folder}")

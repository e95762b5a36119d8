"""What the perceptual hash of near copies finds, and how often it errs (``opened/looks.py``).

On the folders that COMPARE_DATA names and that tell patients or photographs apart (chest X-rays,
histology split by photograph): the share of made near copies that are found, edit by edit, and the
images that look like one of another patient or photograph, exact copies apart, although none is a
copy; also those that look like another one of their own. On the brain MRI and on PneumoniaMNIST
(28 px), which name no patients, only the former. Peer: the usual hash of 63 bits, of
which the same share may differ. Also processor seconds for 1,000 images, decoding included.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.rows import Row, main
from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.opened.fingerprint import native_pixels
from he_compare.common.datasets.opened.looks import (
    NEAR_BITS,
    bits_of,
    frequencies_of,
    nearest_looks,
    turned,
)
from he_compare.common.types import Float32Array, IntArray, Split, UInt8Array
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.comparisons.measuring.opening_options import DataOptions

FOLDERS = {
    "chestxray": "chestxray",
    "histology": "folder:{}/histology",
    "brainmri": "folder:{}/brainmri",
    "pneumoniamnist": "pneumoniamnist",
}
NO_GROUPS = ("brainmri", "pneumoniamnist")
EDITED, QUICK_EDITED = 300, 40
USUAL = 8
AT_ONCE = 256
Picture = Image.Image


def _jpeg(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def _scaled(picture: Picture, share: float) -> Picture:
    width, height = (max(8, round(side * share)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _cropped(picture: Picture, share: float) -> Picture:
    across, down = (round(side * share / 2) for side in picture.size)
    return picture.crop((across, down, picture.width - across, picture.height - down))


EDITS: Mapping[str, Callable[[Picture], Picture]] = {
    "JPEG, quality 95": lambda picture: _jpeg(picture, 95),
    "JPEG, quality 75": lambda picture: _jpeg(picture, 75),
    "JPEG, quality 50": lambda picture: _jpeg(picture, 50),
    "half the size": lambda picture: _scaled(picture, 0.5),
    "a quarter of the size": lambda picture: _scaled(picture, 0.25),
    "1.14 times the size": lambda picture: _scaled(picture, 1.14),
    "cropped by 2%": lambda picture: _cropped(picture, 0.02),
    "cropped by 4%": lambda picture: _cropped(picture, 0.04),
    "cropped by 10%": lambda picture: _cropped(picture, 0.1),
    "brightness 0.8": lambda picture: ImageEnhance.Brightness(picture).enhance(0.8),
    "brightness 1.2": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "contrast 1.3": lambda picture: ImageEnhance.Contrast(picture).enhance(1.3),
    "histogram equalised": ImageOps.equalize,
    "mirrored": ImageOps.mirror,
    "turned by 90 degrees": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "turned by 2 degrees": lambda picture: picture.rotate(2, Image.Resampling.BICUBIC),
    "turned by 10 degrees": lambda picture: picture.rotate(10, Image.Resampling.BICUBIC),
}


@dataclass(frozen=True)
class Looks:
    """Frequencies of all images, float32 (n, 16, 16), with a number for each group and picture."""

    frequencies: Float32Array
    groups: IntArray
    keys: IntArray
    seconds: float


def measure(quick: bool) -> list[Row]:
    """Return the rows of every folder that is there."""
    named = os.environ.get("COMPARE_DATA", "")
    rows = []
    for name, spec in FOLDERS.items():
        if named and (Path(named) / name).is_dir():
            dataset = open_dataset(spec.format(named), None, "", 0, DataOptions(copies="keep"))
            rows += list(_rows(name, dataset, QUICK_EDITED if quick else EDITED))
    return rows


def _rows(name: str, dataset: OpenDataset, edited: int) -> Iterator[Row]:
    looks = _looks_of(dataset)
    n = len(looks.groups)
    yield Row(f"{name}: processor seconds for 1,000 images", 1e3 * looks.seconds / n, "s", n)
    if name not in NO_GROUPS:
        usual = looks.frequencies[:, :USUAL, :USUAL]
        yield Row(
            f"{name}: images that look like one of another group",
            _near(looks.frequencies, looks, NEAR_BITS),
            "images",
            n,
            f"{USUAL**2 - 1} bits, at most {USUAL} differ, upright only",
            _near(usual, looks, USUAL, turns=False),
        )
        yield Row(
            f"{name}: images that look like another one of their group",
            _near(looks.frequencies, looks, NEAR_BITS, own=True),
            "images",
            int((np.bincount(looks.groups)[looks.groups] > 1).sum()),
        )
    chosen = np.linspace(0, n - 1, edited).astype(np.int64)
    for edit, change in EDITS.items():
        made = np.stack([frequencies_of(_changed(dataset, int(i), change)) for i in chosen])
        distance = _each(made, looks.frequencies[chosen])
        yield Row(f"{name}: {edit}", float((distance <= NEAR_BITS).mean()), "share", edited)


def _each(made: Float32Array, of: Float32Array) -> IntArray:
    """Return the bits apart of each made image and the one it was made of."""
    pairs = zip(made, of, strict=True)
    return np.concatenate([nearest_looks(one[None], other[None])[1] for one, other in pairs])


def _looks_of(dataset: OpenDataset) -> Looks:
    begun = time.process_time()
    frequencies = [frequencies_of(image) for split in Split for image in _images(dataset, split)]
    seconds = time.process_time() - begun
    # An id that restarts in another split may be the same patient: it counts as no other one.
    groups = [group.split("/")[-1] for split in Split for group in dataset.index(split).groups]
    found = np.stack(frequencies)
    group_numbers = np.unique(np.array(groups), return_inverse=True)[1]
    keys = np.unique(found.reshape(len(found), -1), axis=0, return_inverse=True)[1]
    return Looks(found, group_numbers, keys.ravel(), seconds)


def _images(dataset: OpenDataset, split: Split) -> Iterator[UInt8Array]:
    count = len(dataset.index(split).ids)
    return native_pixels(dataset, split, np.arange(count, dtype=np.int64))


def _changed(dataset: OpenDataset, number: int, change: Callable[[Picture], Picture]) -> UInt8Array:
    for split in Split:
        count = len(dataset.index(split).ids)
        if number < count:
            (image,) = native_pixels(dataset, split, np.array([number], dtype=np.int64))
            return np.asarray(change(Image.fromarray(image)).convert("RGB"), dtype=np.uint8)
        number -= count
    raise IndexError(number)


def _near(
    frequencies: Float32Array, looks: Looks, most: int, *, turns: bool = True, own: bool = False
) -> int:
    """Count the images near one of another group, or of their own: at most ``most`` bits apart.

    Equal images do not count. ``frequencies``: (n, k, k), of which all bits are used.
    """
    bits = bits_of(frequencies)
    near = np.zeros(len(bits), dtype=bool)
    for variant in turned(frequencies) if turns else (frequencies,):
        for start in range(0, len(bits), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            differ = (bits.shape[1] - bits_of(variant[part]) @ bits.T) / 2
            counts = (looks.groups[part, None] == looks.groups[None]) == own
            counts &= looks.keys[part, None] != looks.keys[None]
            near[part] |= ((differ <= most) & counts).any(axis=1)
    return int(near.sum())


if __name__ == "__main__":
    main(measure, threads=1)

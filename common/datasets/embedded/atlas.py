"""A synthetic cohort that ships with the package: radiographs drawn from a statistical atlas.

The atlas is a mean image, principal components and a Gaussian for each class in their space, fitted
by ``tools/build_atlas.py`` on the train split of Kermany et al. 2018 (doi:10.17632/rscbjbr9sj.2,
CC BY 4.0). ``embedded/chestxray_atlas.json`` says how, and how far samples are from real images.

Image ``number`` of a seed depends on nothing but both and its label. Every value is a multiple of a
power of two and no sum needs more than 53 bits, so that the pixels are equal bit for bit on every
machine, whatever the order in which a linear algebra library adds up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError

from he_compare.common.contracts import SplitIndex
from he_compare.common.dataset import choose_subset
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.datasets.reading.decoding import to_square
from he_compare.common.errors import DataError, IntegrityError, MessageError
from he_compare.common.run.records import DatasetCard
from he_compare.common.seeds import seed_for
from he_compare.common.service.wire import unpack
from he_compare.common.types import Float64Array, IntArray, Split, UInt8Array

ATLAS_FILE = Path(__file__).parent / "chestxray_atlas.safetensors"
MAX_ATLAS_BYTES = 3_000_000
MAX_SAMPLES = 1_000_000
SUBSETS = ("published", "balanced")
# Images of each class; "published" has the numbers of the real data, a tenth of train being val.
SIZES = {
    "published": {Split.TRAIN: (1207, 3487), Split.VAL: (134, 388), Split.TEST: (234, 390)},
    "balanced": {Split.TRAIN: (400, 400), Split.VAL: (100, 100), Split.TEST: (200, 200)},
}
_LAYOUT = {
    "mean": ("float32", 2),
    "components": ("int8", 3),
    "class_means": ("float16", 2),
    "class_factors": ("float16", 3),
}
_FIX = "reinstall the package, or build it again with tools/build_atlas.py"
_MAX_COMPONENTS = 256
_LARGEST_COEFFICIENT = 4.0
_COEFFICIENT_GRID = 2.0**24
_MEAN_GRID = 2.0**8
_PORTION = 256
_UNIFORMS = 12


@dataclass(frozen=True)
class Atlas:
    """Pixels = mean + components^T (class mean + class factor z), z standard normal.

    ``mean`` (side^2,) in grey levels; ``components`` (k, side^2), whole numbers up to 127;
    ``class_means`` (2, k); ``class_factors`` (2, k, k). All float64.
    """

    side: int
    mean: Float64Array
    components: Float64Array
    class_means: Float64Array
    class_factors: Float64Array

    def draw(self, seed: int, numbers: IntArray, labels: IntArray) -> UInt8Array:
        """Return the images of these numbers with these labels: uint8 (n, side, side)."""
        images = np.empty((len(numbers), self.side, self.side), dtype=np.uint8)
        for start in range(0, len(numbers), _PORTION):
            part = slice(start, start + _PORTION)
            grey = self._coefficients(seed, numbers[part], labels[part]) @ self.components
            grey += self.mean
            images[part] = np.rint(np.clip(grey, 0, 255)).reshape(-1, self.side, self.side)
        return images

    def _coefficients(self, seed: int, numbers: IntArray, labels: IntArray) -> Float64Array:
        normal = np.stack([standard_normal(seed, int(i), len(self.components)) for i in numbers])
        coefficients = self.class_means[labels]
        for label in (0, 1):
            of_class = labels == label
            coefficients[of_class] += normal[of_class] @ self.class_factors[label].T
        return np.rint(coefficients * _COEFFICIENT_GRID) / _COEFFICIENT_GRID


def standard_normal(seed: int, number: int, k: int) -> Float64Array:
    """Return k nearly normal values, mean 0 and variance 1, as sums of 12 uniform 16-bit integers.

    They are whole multiples of 2^-16 made of raw generator bits, which NumPy keeps stable between
    versions as it does not the values of its own ``standard_normal``.
    """
    raw = np.random.PCG64(seed_for(seed, "atlas", number)).random_raw(k * _UNIFORMS // 4)
    uniform = raw.astype("<u8").view("<u2").reshape(k, _UNIFORMS).astype(np.int64)
    return (uniform.sum(axis=1) - _UNIFORMS * 65535 // 2) / 65536


@dataclass(frozen=True)
class Samples:
    """Images uint8 (n, size, size, 3), labels int64 (n,), ids, and groups: one for each image."""

    images: UInt8Array
    labels: IntArray
    ids: tuple[str, ...]
    groups: tuple[str, ...]


def sample(n: int, seed: int, size: int = 224, prevalence: float = 0.5) -> Samples:
    """Draw n labelled synthetic radiographs; the first of them do not depend on n.

    ``prevalence``: probability of label 1 (PNEUMONIA). Raises DataError on a value out of range.
    """
    if not 1 <= n <= MAX_SAMPLES or size < 8 or not 0 <= prevalence <= 1:
        raise DataError(
            f"cannot draw {n} images of {size} px with prevalence {prevalence}",
            fix=f"ask for 1 to {MAX_SAMPLES:,} images of at least 8 px, prevalence from 0 to 1",
        )
    numbers = np.arange(n, dtype=np.int64)
    drawn = [seed_for(seed, "atlas label", int(i)) / 2.0**63 < prevalence for i in numbers]
    labels = np.array(drawn, dtype=np.int64)
    ids = identities(seed, numbers)
    return Samples(squares(shipped_atlas().draw(seed, numbers, labels), size), labels, ids, ids)


def identities(seed: int, numbers: IntArray) -> tuple[str, ...]:
    """Return ids that name the seed, so that equal ids mean equal numbers of one seed."""
    return tuple(f"synthetic-{seed}-{int(number):07d}" for number in numbers)


def squares(grey: UInt8Array, size: int) -> UInt8Array:
    """Resize uint8 (n, side, side) to uint8 (n, size, size, 3) with Pillow's bicubic filter."""
    from PIL import Image

    images = np.empty((len(grey), size, size, 3), dtype=np.uint8)
    for position, pixels in enumerate(grey):
        images[position] = to_square(Image.fromarray(pixels), size)
    return images


@dataclass
class EmbeddedCohort:
    """The cohort as an open dataset, in place of ``chestxray``; images are drawn as they are read.

    Every split of every subset has numbers of its own, so that no two of them share an image.
    """

    card: DatasetCard
    subset: str
    seed: int
    notes: list[str]
    splits: dict[Split, SplitIndex]
    # ``read`` is ``decoding.to_square`` of ``native``: a pass may decode once for both.
    reads_by_scaling: ClassVar[bool] = True

    @classmethod
    def open(cls, subset: str, seed: int) -> EmbeddedCohort:
        """Check the shipped atlas and lay out the splits.

        Raises UnknownNameError on an unknown subset, IntegrityError on a damaged atlas.
        """
        subset = choose_subset("chestxray", subset, SUBSETS)
        shipped_atlas()
        splits = {split: _lay_out(subset, split, seed) for split in Split}
        counts = ", ".join(f"{len(splits[split].ids)} {split}" for split in Split)
        notes = [f"synthetic cohort: says nothing about patients; {counts} images of seed {seed}"]
        return cls(cohort_card(), subset, seed, notes, splits)

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of a split in order of id."""
        return self.splits[split]

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Draw images of a split: uint8 (n, size, size, 3)."""
        return squares(self._grey(split, positions), size)

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images of a split as drawn, uint8 (side, side, 3) each."""
        for pixels in self._grey(split, positions):
            yield np.repeat(pixels[:, :, None], 3, axis=2)

    def _grey(self, split: Split, positions: IntArray) -> UInt8Array:
        numbers, labels = _numbers(self.subset, split), self.splits[split].labels
        return shipped_atlas().draw(self.seed, numbers[positions], labels[positions])


def _numbers(subset: str, split: Split) -> IntArray:
    """Return the numbers of a split's images; those below a million are left to ``sample``."""
    block = 1 + len(Split) * SUBSETS.index(subset) + list(Split).index(split)
    return 1_000_000 * block + np.arange(sum(SIZES[subset][split]), dtype=np.int64)


def _lay_out(subset: str, split: Split, seed: int) -> SplitIndex:
    ids = identities(seed, _numbers(subset, split))
    negative = set(hashed_order(ids, seed, "atlas labels", split)[: SIZES[subset][split][0]])
    labels = np.array([name not in negative for name in ids], dtype=np.int64)
    return SplitIndex(ids, labels, ids)


@cache
def shipped_atlas() -> Atlas:
    """Return the atlas of the package, read once. Raises IntegrityError."""
    return load_atlas(ATLAS_FILE)


@cache
def cohort_card() -> DatasetCard:
    """Return the cohort's card with the figures of its privacy check. Raises IntegrityError."""
    try:
        return DatasetCard.model_validate(load_card(ATLAS_FILE)["dataset"])
    except (KeyError, ValidationError) as error:
        raise IntegrityError(f"card of {ATLAS_FILE.name}: {error}", fix=_FIX) from None


def load_card(path: Path) -> dict[str, Any]:
    """Return the JSON card beside an atlas. Raises IntegrityError."""
    file = path.with_suffix(".json")
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{file.name} cannot be read: {error}", fix=_FIX) from None
    if not isinstance(card, dict):
        raise IntegrityError(f"{file.name} holds no object", fix=_FIX)
    return card


def load_atlas(path: Path) -> Atlas:
    """Read an atlas whose card, beside it, names its SHA-256.

    Raises IntegrityError on a file that is missing, too large, altered or does not hold together.
    """
    try:
        size = path.stat().st_size
        if size > MAX_ATLAS_BYTES:
            raise IntegrityError(
                f"{path.name} has {size:,} bytes, limit {MAX_ATLAS_BYTES:,}", fix=_FIX
            )
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{path.name} cannot be read: {error.strerror}", fix=_FIX) from None
    expected, found = load_card(path).get("sha256"), hashlib.sha256(data).hexdigest()
    if found != expected:
        raise IntegrityError(f"{path.name} has SHA-256 {found}, not {expected}", fix=_FIX)
    return parse_atlas(data, path.name)


def parse_atlas(data: bytes, name: str) -> Atlas:
    """Turn packed arrays into an atlas. Raises IntegrityError on what cannot be one."""
    try:
        arrays, _ = unpack(data, expect=_LAYOUT)
    except MessageError as error:
        raise IntegrityError(f"{name}: {error.problem}", fix=_FIX) from None
    k, side, _ = arrays["components"].shape
    if not 1 <= k <= _MAX_COMPONENTS or side < 8:
        raise IntegrityError(f"{name}: {k} components of {side} pixels per side", fix=_FIX)
    shapes = {
        "mean": (side, side),
        "components": (k, side, side),
        "class_means": (2, k),
        "class_factors": (2, k, k),
    }
    bounds = {"mean": 255.0, "components": 127.0}
    values: dict[str, Float64Array] = {}
    for array, shape in shapes.items():
        values[array] = arrays[array].astype(np.float64)
        if arrays[array].shape != shape:
            raise IntegrityError(f"{name}: {array} has shape {arrays[array].shape}", fix=_FIX)
        largest = bounds.get(array, _LARGEST_COEFFICIENT)
        if not (np.abs(values[array]) <= largest).all():
            raise IntegrityError(f"{name}: {array} has values larger than {largest:g}", fix=_FIX)
    return Atlas(
        side,
        (np.rint(values["mean"] * _MEAN_GRID) / _MEAN_GRID).reshape(-1),
        values["components"].reshape(k, -1),
        values["class_means"],
        values["class_factors"],
    )

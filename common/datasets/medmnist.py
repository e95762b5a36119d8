"""The 2-D sets of MedMNIST v2: what is known of each, its npz file, and the family they share.

``NAME`` is the 28-pixel set, ``NAME:224`` (64, 128) a larger one. The npz is read from where data
is looked for, or fetched once into the user cache from the address, and against the MD5, that the
``medmnist`` package states. Facts are copied here, because importing that package takes seconds; a
test holds them against it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.opened.arrays import (
    ArrayImages,
    index_of,
    pixel_digests,
    shared_pixels_note,
)
from he_compare.common.datasets.opened.labels import choose_subset
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.datasets.reading.download import DownloadError, fetch
from he_compare.common.datasets.reading.npz import read_npz
from he_compare.common.datasets.reading.search import (
    ENVIRONMENT_VARIABLE,
    current_policy,
    data_cache,
    locate,
    passed_over,
)
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard
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
    """Return labels int64 (n,) of a set with one label an image. Raises DataError."""
    key, n = f"{split}_labels", len(values)
    if values.dtype.kind not in "ui" or values.shape not in ((n,), (n, 1)):
        raise _wrong(path, key, values, f"integers ({n}, 1)")
    return _in_range(path, key, values.reshape(-1), len(classes))


def finding_table(
    path: Path, split: Split, values: npt.NDArray[Any], findings: Sequence[str]
) -> IntArray:
    """Return int64 (n, k) of 0 and 1 of a set with many findings an image. Raises DataError."""
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


SIZES = (28, 64, 128, 224)
ARCHIVE = "doi:10.5281/zenodo.10519652"
PAPER = "Yang et al.: MedMNIST v2, Scientific Data 10:41, 2023, doi:10.1038/s41597-022-01721-8"
HASHED_FILE_BYTES = 1024**3
NO_PATIENTS = (
    "Patients are not known: every image counts as a patient of its own, so that splits may share "
    "patients and intervals may be too narrow."
)
SMALL = "28 x 28 pixels keep little of what a physician looks at; not for clinical use."


@dataclass(frozen=True)
class MedMnistFacts:
    """What is known of one set without opening it.

    ``counts``: images of train, val and test. ``task``: as MedMNIST calls it. ``md5``: of the npz
    file by size in pixels. ``source`` and ``paper`` are those of the original images.
    """

    name: str
    title: str
    description: str
    source: str
    paper: str
    task: str
    classes: tuple[str, ...]
    channels: int
    counts: tuple[int, int, int]
    md5: Mapping[int, str]
    caveats: tuple[str, ...]
    positive_class: str = ""
    licence: str = "CC BY 4.0"

    def card(self) -> DatasetCard:
        """Return the card of the set."""
        train, val, test = (f"{count:,}" for count in self.counts)
        return DatasetCard(
            name=self.name,
            title=self.title,
            description=f"{self.description} Published split: {train} train, {val} validation and "
            f"{test} test images.",
            source=f"MedMNIST v2, {ARCHIVE}; images of {self.source}",
            licence=self.licence,
            citation=f"{PAPER}; {self.paper}",
            caveats=[*self.caveats, SMALL, NO_PATIENTS],
            classes=list(self.classes),
            positive_class=self.positive_class,
            native_size="28 x 28; 64, 128 or 224 in the larger sets",
        )


class MedMnistFamily:
    """The family of one single-label set: one npz file a size."""

    subsets = ("published",)

    def __init__(self, facts: MedMnistFacts) -> None:
        self.facts = facts
        self.name = facts.name

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return self.facts.card()

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Find or fetch the npz and validate it. ``argument``: pixels a side. Raises DataError."""
        subset = choose_subset(self.name, subset, self.subsets)
        size = size_of(self.name, argument)
        path = find_or_fetch(self.facts, size, data_dir)
        return open_single_label(self.facts, path, size, subset)


def open_single_label(facts: MedMnistFacts, path: Path, size: int, subset: str) -> ArrayImages:
    """Open the npz of a single-label set with its published split. Raises DataError."""
    images, stored = read_splits(path, size, facts.channels)
    labels = {split: single_labels(path, split, stored[split], facts.classes) for split in Split}
    splits = {split: index_of(split, labels[split]) for split in Split}
    check_splits(splits, facts.classes)
    notes = [*origin_notes(facts, path, size), shared_pixels_note(pixel_digests(images))]
    return ArrayImages(facts.card(), subset, images, splits, notes)


def size_of(name: str, argument: str) -> int:
    """Return the pixels a side that the argument asks for, 28 where it is ''."""
    if argument and argument not in {str(size) for size in SIZES}:
        raise DataError(
            f"{name} has no size {argument!r}", fix="sizes: " + ", ".join(map(str, SIZES))
        )
    return int(argument or SIZES[0])


def file_name(name: str, size: int) -> str:
    """Return the name MedMNIST gives the file of a size."""
    return f"{name}.npz" if size == 28 else f"{name}_{size}.npz"


def find(name: str, size: int, data_dir: Path | None) -> tuple[Path | None, str]:
    """Return the npz where data is looked for, or None and an account of the places."""
    wanted = file_name(name, size)
    if data_dir is not None and data_dir.is_file():
        raise DataError(f"--data-dir {data_dir} is a file", fix="name the folder that holds it")

    def there(folder: Path) -> Path | None:
        return folder / wanted if (folder / wanted).is_file() else None

    return locate(name, data_dir, there, wanted)


def find_or_fetch(facts: MedMnistFacts, size: int, data_dir: Path | None) -> Path:
    """Return the npz from where data is looked for, else from a download into the user cache.

    With ``data_dir`` nothing is fetched. Raises DataError listing the places looked at.
    """
    name = file_name(facts.name, size)
    path, account = find(facts.name, size, data_dir)
    if path is not None:
        return path
    if data_dir is not None:
        raise DataError(
            f"no {facts.name} data found; looked in {account}",
            fix=f"put {name} there, or leave --data-dir away to have it downloaded",
        )
    try:
        return fetch_npz(facts, size)
    except DownloadError as error:
        raise DataError(
            f"no {facts.name} data found; looked in {account}; download of {name}: {error}",
            fix=f"fetch {name} from {ARCHIVE} and name its folder with --data-dir or "
            f"{ENVIRONMENT_VARIABLE}",
        ) from None


def fetch_npz(facts: MedMnistFacts, size: int) -> Path:
    """Download the npz of a size into the user cache. Raises DownloadError."""
    if current_policy().offline:
        raise DownloadError("not tried: downloads are off (offline)")
    name = file_name(facts.name, size)
    try:
        from medmnist import INFO
    except ImportError as error:
        raise DownloadError(f"the medmnist package cannot be imported: {error}") from None
    stated = INFO[facts.name]
    part = "" if size == SIZES[0] else f"_{size}"
    address, md5 = str(stated[f"url{part}"]), str(stated[f"MD5{part}"])
    return fetch(address, md5, data_cache(facts.name) / name)


def origin_notes(facts: MedMnistFacts, path: Path, size: int) -> list[str]:
    """Say whose split it is, whether the file is the official one, and what was passed over."""
    notes = ["split of MedMNIST v2", *passed_over(facts.name, path)]
    if path.stat().st_size > HASHED_FILE_BYTES:
        return [*notes, f"{path.name} was not held against its official MD5: it is too large"]
    if _md5(path) == facts.md5[size]:
        return [*notes, f"{path.name} is the official file (MD5)"]
    return [*notes, f"{path.name} is not byte for byte the official file: its MD5 differs"]


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

"""Datasets held as an index of files: rows of (id, label, group, split) over one folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from he_compare.common.contracts import SplitIndex
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.datasets.reading.copies import KnownCopies, equal_files
from he_compare.common.datasets.reading.decoding import (
    as_rgb,
    map_threaded,
    open_image,
    read_squares,
)
from he_compare.common.identity import file_digest
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split, UInt8Array

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class ImageRow:
    """One image: posix path relative to the folder, label, patient-like group and split.

    ``twin`` is equal for images with equal pixels, '' where nothing is known.
    """

    id: str
    label: int
    group: str
    split: Split
    twin: str = ""


def index_rows(rows: Iterable[ImageRow]) -> dict[Split, SplitIndex]:
    """Group rows by split, each in order of id."""
    ordered = sorted(rows, key=lambda row: row.id)
    splits = {}
    for split in Split:
        chosen = [row for row in ordered if row.split is split]
        splits[split] = SplitIndex(
            ids=tuple(row.id for row in chosen),
            labels=np.array([row.label for row in chosen], dtype=np.int64),
            groups=tuple(row.group for row in chosen),
        )
    return splits


@dataclass
class IndexedImages:
    """An open dataset whose ids are posix paths of image files below ``root``.

    ``files`` gives the path of those ids that are not their path; ``opener`` turns a file into an
    image of mode L or RGB. ``twins``: keys of images with a copy, as far as the family compared
    them by ``compared``; '' where it did not. ``reads_files``: other processes may decode them too.
    """

    card: DatasetCard
    subset: str
    root: Path
    splits: Mapping[Split, SplitIndex]
    notes: list[str] = field(default_factory=list)
    files: Mapping[str, str] = field(default_factory=dict)
    opener: Callable[[Path, str], Image.Image] = open_image
    twins: Mapping[str, str] = field(default_factory=dict)
    compared: str = ""
    reads_files: ClassVar[bool] = True
    # ``read`` is ``decoding.to_square`` of ``native``: a pass may decode once for both.
    reads_by_scaling: ClassVar[bool] = True

    @classmethod
    def from_rows(
        cls,
        card: DatasetCard,
        subset: str,
        root: Path,
        rows: Iterable[ImageRow],
        notes: list[str],
        compared: str = "",
    ) -> IndexedImages:
        """Index rows and check their splits; copies are left to ``screening``. Raises DataError.

        ``compared``: how the twins of the rows were found.
        """
        rows = list(rows)
        splits = index_rows(rows)
        check_splits(splits, card.classes)
        twins = {row.id: row.twin for row in rows if row.twin}
        return cls(card, subset, root, splits, notes, twins=twins, compared=compared)

    def known_copies(self) -> KnownCopies:
        """Return the copies that the family found, else files with equal bytes."""
        if self.compared:
            return KnownCopies(self.twins, self.compared)
        files = {
            name: self.files.get(name, name) for split in Split for name in self.splits[split].ids
        }
        keys, rule = equal_files(self.root, list(files.values()))
        return KnownCopies({name: keys[file] for name, file in files.items() if file in keys}, rule)

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of a split in order of id."""
        return self.splits[split]

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Decode images of a split: uint8 (n, size, size, 3). Raises DataError naming the file."""
        return read_squares(self._opened(split, positions), len(positions), size)

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images of a split as stored, uint8 (height, width, 3) each."""
        opened = self._opened(split, positions)
        return map_threaded(lambda i: as_rgb(opened(i)), range(len(positions)))

    def own_channels(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images as stored, uint8 (height, width, 1) where they are grey, else with 3."""
        opened = self._opened(split, positions)

        def read(i: int) -> UInt8Array:
            pixels: UInt8Array = np.asarray(opened(i), dtype=np.uint8)
            return pixels[:, :, None] if pixels.ndim == 2 else pixels

        return map_threaded(read, range(len(positions)))

    def place(self) -> str:
        """Return where the files lie; it is used in hashes only."""
        return str(self.root.resolve())

    def sources(self, split: Split, positions: IntArray) -> Iterator[bytes]:
        """Yield the SHA-256 of what each image is read from; b"" where the opener does not say."""
        ids = self.splits[split].ids
        names = [self.files.get(ids[int(p)], ids[int(p)]) for p in positions]
        return map_threaded(lambda i: self._source(names[i]), range(len(names)))

    def _source(self, name: str) -> bytes:
        found = _file_behind(self.opener, self.root / name, name)
        if found is None:
            return b""
        file, part = found
        try:
            return hashlib.sha256(f"{part}\x00{file_digest(file)}".encode()).digest()
        except OSError:
            return b""

    def _opened(self, split: Split, positions: IntArray) -> Callable[[int], Image.Image]:
        ids = self.splits[split].ids
        files = [self.files.get(ids[int(p)], ids[int(p)]) for p in positions]
        return lambda i: self.opener(self.root / files[i], files[i])


def _file_behind(
    opener: Callable[[Path, str], Image.Image], path: Path, name: str
) -> tuple[Path, str] | None:
    """Return the file that an opener reads, and what of it and how; None where it does not say."""
    if opener is open_image:
        return path, ""
    told = getattr(getattr(opener, "__self__", opener), "file_behind", None)
    return None if told is None else told(path, name)

"""The store of decoded images in the cache: found again where nothing changed, else made.

A file belongs to a list of images at a place and a size. It is used again only where the bytes that
every image is read from have the digests they had (time stamps and lengths are not asked), the code
that reads images is the same, and every pixel is what was written; else it is made anew, which is
said. A dataset that cannot tell its bytes without decoding is decoded again in every run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.invariants import read_images
from he_compare.common.datasets.reading.source_policy import say
from he_compare.common.datasets.stored.one_pass import (
    Portion,
    TellsSources,
    Wanted,
    look_through,
    portions_of,
)
from he_compare.common.datasets.stored.picture_file import PictureFile, StoredPictures
from he_compare.common.datasets.stored.picture_writer import (
    PictureWriter,
    bytes_needed,
    clear_leftovers,
    close_to_others,
    new_file,
    require_room,
    sole_builder,
)
from he_compare.common.datasets.stored.reader_code import reader_version
from he_compare.common.errors import DataError, IntegrityError
from he_compare.common.identity import digest_of
from he_compare.common.types import Float32Array, IntArray, Split

STORE_FOLDER = "images"
SUFFIX = ".pictures"
IMAGES_TRIED = 4
HASHED_AT_A_TIME = 512


@dataclass(frozen=True)
class StoreWish:
    """Where decoded images are to be kept, and their size in pixels."""

    cache_dir: Path
    size: int

    @property
    def folder(self) -> Path:
        """The folder of the stores."""
        return self.cache_dir / STORE_FOLDER


@dataclass(frozen=True)
class DecodedImages:
    """What a pass over some images of a dataset told, kept in a file.

    ``rows``: the row of each image by split and position; ``seconds``: what making or checking the
    file took; ``reused``: whether it was there.
    """

    file: PictureFile
    rows: Mapping[Split, Mapping[int, int]]
    seconds: float
    reused: bool

    def pictures(self, dataset: OpenDataset, split: Split, positions: IntArray) -> StoredPictures:
        """Return images at the size of the store.

        Raises DataError as the dataset itself does, where one of them cannot be decoded.
        """
        rows = self._rows(split, positions)
        natives = self.file.facts.natives
        for position, row in zip(positions, rows, strict=True):
            if not natives[row]:
                size, one = self.file.header.side, np.array([position], dtype=np.int64)
                read_images(dataset, split, one, size)
                raise DataError(
                    f"image {dataset.index(split).ids[int(position)]!r} could not be decoded "
                    "before and can be now",
                    fix="start again when nothing writes to the images",
                )
        return StoredPictures(self.file, rows)

    def natives(self, split: Split, positions: IntArray) -> list[str]:
        """Return the hexadecimal SHA-256 of shape and pixels as stored, '' where unreadable."""
        facts = self.file.facts
        return [facts.natives[row].hex() for row in self._rows(split, positions)]

    def looks(self, split: Split, positions: IntArray) -> Float32Array:
        """Return the looks, float32 (n, 16, 16)."""
        looks = self.file.facts.looks
        assert looks is not None
        return looks[self._rows(split, positions)]

    def _rows(self, split: Split, positions: IntArray) -> IntArray:
        rows = self.rows[split]
        return np.array([rows[int(position)] for position in positions], dtype=np.int64)


def decoded_images(
    dataset: OpenDataset,
    chosen: Mapping[Split, IntArray],
    wish: StoreWish,
    *,
    looks: bool,
    progress: Progress | None = None,
) -> DecodedImages:
    """Return the chosen images decoded, from a file that fits or after decoding them once.

    Raises DataError with both figures where the disk has too little room.
    """
    start = time.perf_counter()
    portions = [one for split in Split for one in portions_of(split, chosen[split])]
    rows: dict[Split, dict[int, int]] = {split: {} for split in Split}
    for portion in portions:
        held = rows[portion.split]
        for position in portion.positions:
            held[int(position)] = sum(map(len, rows.values()))
    listing = _listing(dataset, portions, wish.size, looks)
    path = wish.folder / f"{listing[:32]}{SUFFIX}"
    close_to_others(wish.folder)
    clear_leftovers(wish.folder)
    with sole_builder(path):
        found = _found(path, listing, dataset, portions, progress)
        reused = found is not None
        if found is None:
            _make(path, listing, dataset, portions, wish, looks, progress)
            found = PictureFile(path)
    return DecodedImages(found, rows, time.perf_counter() - start, reused)


def stored_bytes(cache_dir: Path) -> tuple[Path, int, int]:
    """Return the folder of the stores, how many there are, and the bytes of all that lies there."""
    folder = cache_dir / STORE_FOLDER
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    taken = sum(path.stat().st_size for path in files)
    return folder, sum(path.suffix == SUFFIX for path in files), taken


def _listing(dataset: OpenDataset, portions: list[Portion], size: int, looks: bool) -> str:
    place = dataset.place() if isinstance(dataset, TellsSources) else dataset.card.name
    ids = [
        [p.split.value, [dataset.index(p.split).ids[int(i)] for i in p.positions]] for p in portions
    ]
    return digest_of([place, ids, size, looks])


def _found(
    path: Path,
    listing: str,
    dataset: OpenDataset,
    portions: list[Portion],
    progress: Progress | None,
) -> PictureFile | None:
    """Open the file if it is that of these very images; say why not where there is one."""
    if not path.exists() or not isinstance(dataset, TellsSources):
        return None
    again = "so that the images are decoded again"
    try:
        file = PictureFile(path)
        if file.header.listing != listing:
            raise IntegrityError("it is of other images")
        if file.header.reader != reader_version(dataset):
            say(f"the stored images are of another version of the reader, {again}")
            return None
        if not _same_sources(file, dataset, portions, progress):
            return None
        file.check()
    except IntegrityError as error:
        say(f"the file of stored images is not used, {error.problem}, {again}")
        return None
    return file


def _same_sources(
    file: PictureFile, dataset: TellsSources, portions: list[Portion], progress: Progress | None
) -> bool:
    row, count = 0, file.header.count
    if count != sum(len(portion.positions) for portion in portions):
        raise IntegrityError("it is of other images")
    for split in Split:
        held = [one.positions for one in portions if one.split is split]
        positions = np.concatenate(held) if held else np.empty(0, dtype=np.int64)
        for start in range(0, len(positions), HASHED_AT_A_TIME):
            for source in dataset.sources(split, positions[start : start + HASHED_AT_A_TIME]):
                if not source or source != file.facts.sources[row]:
                    if file.facts.sources[row]:
                        say("images changed since they were decoded, so that all are decoded again")
                    return False
                row += 1
            if progress is not None:
                progress("checking stored images", row, count)
    return True


def _make(
    path: Path,
    listing: str,
    dataset: OpenDataset,
    portions: list[Portion],
    wish: StoreWish,
    looks: bool,
    progress: Progress | None,
) -> None:
    count = sum(len(portion.positions) for portion in portions)
    needed = bytes_needed(count, wish.size, _channels(dataset, portions, wish.size), looks)
    require_room(wish.folder, needed)
    wanted = Wanted(wish.size, looks, sources=True)
    with new_file(path, needed) as stream:
        writer = PictureWriter(stream, count, wish.size, looks)
        for seen in look_through(dataset, portions, wanted, progress):
            assert seen.pixels is not None
            writer.add(seen.pixels, seen.native, seen.source, seen.look)
        writer.finish(listing, reader_version(dataset))


def _channels(dataset: OpenDataset, portions: list[Portion], size: int) -> int:
    """Return how many channels the images seem to have, from a few of them."""
    for number in np.unique(np.linspace(0, len(portions) - 1, IMAGES_TRIED).astype(int)):
        try:
            image = read_images(
                dataset, portions[number].split, portions[number].positions[:1], size
            )
        except DataError:
            continue
        if (image != image[..., :1]).any():
            return 3
    return 1

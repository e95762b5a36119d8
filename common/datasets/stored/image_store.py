"""The store of decoded images in the cache: found again where nothing changed, else made.

A file belongs to a list of images at a place and a size. It is used again only where the bytes that
every image is read from have the digests they had (time stamps and lengths are not asked), the code
that reads images is the same, and every pixel is what was written; else it is made anew, which is
said. A dataset that cannot tell its bytes without decoding is decoded again in every run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.invariants import read_images
from he_compare.common.datasets.reading.source_policy import say
from he_compare.common.datasets.stored.nameless import nameless_files
from he_compare.common.datasets.stored.one_pass import (
    Portion,
    TellsSources,
    Wanted,
    look_through,
    portions_of,
)
from he_compare.common.datasets.stored.picture_file import PictureFile, StoredPictures
from he_compare.common.datasets.stored.picture_writer import (
    NoRoomError,
    PictureWriter,
    bytes_needed,
    clear_leftovers,
    new_file,
    require_room,
    sole_builder,
)
from he_compare.common.datasets.stored.reader_code import reader_version
from he_compare.common.errors import DataError, IntegrityError
from he_compare.common.files import close_to_others
from he_compare.common.identity import digest_of
from he_compare.common.run.spelling import size as with_unit
from he_compare.common.types import Float32Array, IntArray, Split

STORE_FOLDER = "images"
SUFFIX = ".pictures"
IMAGES_TRIED = 4
HASHED_AT_A_TIME = 512
# A store of fewer bytes is made without a word.
SAID_BYTES = 100_000_000


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


@dataclass(frozen=True)
class Decoding:
    """Which images of a dataset are to be decoded, at which size, and why all of these are.

    ``listing``: their digest. ``why``: a sentence, '' for images that a run has chosen.
    """

    dataset: OpenDataset
    portions: list[Portion]
    listing: str
    size: int
    looks: bool
    progress: Progress | None
    why: str = ""

    def announce(self, needed: int) -> None:
        """Say before a long decoding how many images it is of, and how large the file will be."""
        if needed < SAID_BYTES:
            return
        reason = f": {self.why}" if self.why else ""
        say(f"decoding {self._count:,} images into the cache, about {with_unit(needed)}{reason}")

    @property
    def _count(self) -> int:
        return sum(len(portion.positions) for portion in self.portions)

    def bytes_needed(self) -> int:
        """Return the bytes of the file, as far as a few of the images tell."""
        channels = _channels(self.dataset, self.portions, self.size)
        return bytes_needed(self._count, self.size, channels, self.looks)

    def write(self, stream: IO[bytes]) -> None:
        """Decode every image into a file. Raises DataError, OSError where it cannot be written."""
        writer = PictureWriter(stream, self._count, self.size, self.looks)
        wanted = Wanted(self.size, self.looks, sources=True)
        for seen in look_through(self.dataset, self.portions, wanted, self.progress):
            assert seen.pixels is not None
            writer.add(seen.pixels, seen.native, seen.source, seen.look)
        writer.finish(self.listing, reader_version(self.dataset))


def decoded_images(
    dataset: OpenDataset,
    chosen: Mapping[Split, IntArray],
    wish: StoreWish,
    *,
    looks: bool,
    progress: Progress | None = None,
    why: str = "",
) -> DecodedImages:
    """Return the chosen images decoded, from a file that fits or after decoding them once.

    ``why``: said before a long decoding, where it is of more images than will be used. Raises
    DataError with both figures where the disk has too little room.
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
    decoding = Decoding(dataset, portions, listing, wish.size, looks, progress, why)
    try:
        found, reused = _in_the_cache(path, decoding)
    except (OSError, NoRoomError) as error:
        found, reused = _not_kept(decoding, error), False
    return DecodedImages(found, rows, time.perf_counter() - start, reused)


def _in_the_cache(path: Path, decoding: Decoding) -> tuple[PictureFile, bool]:
    """Return a file in the cache, and whether it was there."""
    close_to_others(path.parent)
    clear_leftovers(path.parent)
    with sole_builder(path):
        found = _found(path, decoding)
        if found is not None:
            return found, True
        needed = decoding.bytes_needed()
        require_room(path.parent, needed)
        decoding.announce(needed)
        with new_file(path, needed) as stream:
            decoding.write(stream)
        return PictureFile(path), False


def _not_kept(decoding: Decoding, why: OSError | NoRoomError) -> PictureFile:
    """Decode images into a file without a name: it goes with this process.

    Raises the NoRoomError where neither the disk for temporary files nor the memory has room.
    """
    reason = why.problem if isinstance(why, NoRoomError) else why.strerror or type(why).__name__
    for place, descriptor in nameless_files(decoding.bytes_needed()):
        say(
            f"decoded images are not kept in the cache ({reason}): they lie in {place} until the "
            "command ends"
        )
        try:
            with os.fdopen(descriptor, "r+b", closefd=False) as stream:
                decoding.write(stream)
            return PictureFile(Path(place), descriptor)
        except OSError as error:
            say(f"{place} cannot be used either: {error.strerror or type(error).__name__}")
        finally:
            os.close(descriptor)
    if isinstance(why, NoRoomError):
        raise why
    raise DataError(
        f"decoded images cannot be written into the cache: {why.strerror}",
        fix="set XDG_CACHE_HOME to a folder that can be written, or free some space for temporary "
        "files",
    )


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


def _found(path: Path, decoding: Decoding) -> PictureFile | None:
    """Open the file if it is that of these very images; say why not where there is one."""
    dataset = decoding.dataset
    if not path.exists() or not isinstance(dataset, TellsSources):
        return None
    again = "so that the images are decoded again"
    try:
        file = PictureFile(path)
        if file.header.listing != decoding.listing:
            raise IntegrityError("it is of other images")
        if file.header.reader != reader_version(dataset):
            say(f"the stored images are of another version of the reader, {again}")
            return None
        if not _same_sources(file, dataset, decoding.portions, decoding.progress):
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

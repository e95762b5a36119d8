"""The file of decoded images: its layout, its reading by portions, and the check of every byte.

Layout::

    magic, header length (4 bytes, little endian), header (JSON), zeros up to ``PIXELS_AT``
    pixels      count x height x width x channels, uint8; one channel where all images are grey
    facts       count x 96: SHA-256 of the image, of its native pixels, of what it was read from
    looks       count x 1024: float32 (16, 16) of ``looks.frequencies_of``; absent where not asked

A file is used only after all of it was read and found to be what its digests say. This finds
accidents, not somebody who can write in the user's cache and makes a file that is right in itself.
The file is held open by descriptor and read by ``pread``: one that is replaced or deleted goes on
being read, and no page of it counts as memory of the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.environment import usable_cores
from he_compare.common.errors import IntegrityError
from he_compare.common.types import (
    Float32Array,
    IntArray,
    UInt8Array,
    joint_digest,
    picture_digest,
)

STORE_MAGIC = b"HECPICS\x01"
PIXELS_AT = 4096
FACT_BYTES = 96
LOOK_SHAPE = (16, 16)
LOOK_BYTES = 1024
MOST_PIXELS_A_SIDE = 4096
# Bytes that are read at a time while a file is checked.
CHECKED_AT_A_TIME = 4 << 20


class StoreHeader(BaseModel):
    """What the file says of itself. ``listing``: of which images; ``reader``: who decoded them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    listing: str = Field(pattern="^[0-9a-f]{64}$")
    reader: str = Field(pattern="^[0-9a-f]{64}$")
    count: int = Field(ge=1, le=1 << 40)
    side: int = Field(ge=1, le=MOST_PIXELS_A_SIDE)
    channels: int = Field(ge=1, le=3)
    looks: bool
    facts_sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @property
    def record(self) -> int:
        """Bytes of an image."""
        return self.side * self.side * self.channels

    @property
    def facts_at(self) -> int:
        """Where the facts begin."""
        return PIXELS_AT + self.count * self.record

    @property
    def bytes(self) -> int:
        """Bytes of the whole file."""
        each = FACT_BYTES + (LOOK_BYTES if self.looks else 0)
        return self.facts_at + self.count * each


@dataclass(frozen=True)
class StoredFacts:
    """By image: ``digests`` as of ``picture_digest``; ``natives`` and ``sources`` as of the pass.

    A native digest is b"" where an image could not be decoded, a source where it is not known.
    ``looks``: float32 (n, 16, 16), None where none were asked for.
    """

    digests: tuple[bytes, ...]
    natives: tuple[bytes, ...]
    sources: tuple[bytes, ...]
    looks: Float32Array | None


class PictureFile:
    """An open file of decoded images. Raises IntegrityError on one that is not as it should be."""

    def __init__(self, path: Path, descriptor: int = -1) -> None:
        """Open and read header, facts and looks; ``check`` reads the pixels.

        ``descriptor``: of a file that is open and has no name; ``path`` then only says what it is.
        """
        self.path = path
        self.has_name = descriptor < 0
        try:
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags) if self.has_name else os.dup(descriptor)
        except OSError as error:
            raise IntegrityError(f"it cannot be opened: {error.strerror}") from None
        weakref.finalize(self, os.close, self._descriptor)
        self._lock = threading.Lock()
        self.header = self._read_header()
        self.facts = self._read_facts()

    def _read_header(self) -> StoreHeader:
        size = os.fstat(self._descriptor).st_size
        return _parsed(bytes(self.bytes_at(0, min(size, PIXELS_AT))), size)

    def _read_facts(self) -> StoredFacts:
        header = self.header
        raw = self.bytes_at(header.facts_at, header.bytes - header.facts_at)
        if hashlib.sha256(raw.data).hexdigest() != header.facts_sha256:
            raise IntegrityError("its facts are damaged")
        facts = raw[: header.count * FACT_BYTES].reshape(header.count, 3, 32)
        looks = None
        if header.looks:
            looks = raw[header.count * FACT_BYTES :].view("<f4").reshape(-1, *LOOK_SHAPE)
        columns = [
            tuple(row.tobytes() if row.any() else b"" for row in facts[:, column])
            for column in range(3)
        ]
        return StoredFacts(columns[0], columns[1], columns[2], looks)

    def check(self) -> None:
        """Compare all pixels with their digests. Raises IntegrityError that names the image."""
        rows = max(1, CHECKED_AT_A_TIME // self.header.record)
        starts = range(0, self.header.count, rows)
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(starts), 64):
                part = starts[start : start + 64]
                for wrong in pool.map(lambda first: self._first_wrong(first, rows), part):
                    if wrong is not None:
                        raise IntegrityError(f"image {wrong + 1:,} in it is damaged")

    def _first_wrong(self, first: int, rows: int) -> int | None:
        stop = min(first + rows, self.header.count)
        for row, image in zip(range(first, stop), self.rows(first, stop), strict=True):
            if picture_digest(_expanded(image)) != self.facts.digests[row]:
                return row
        return None

    def rows(self, start: int, stop: int) -> UInt8Array:
        """Return the images of some rows as they are kept: uint8 (n, side, side, channels)."""
        header = self.header
        raw = self.bytes_at(PIXELS_AT + start * header.record, (stop - start) * header.record)
        return raw.reshape(stop - start, header.side, header.side, header.channels)

    def bytes_at(self, offset: int, count: int) -> UInt8Array:
        """Read bytes. Raises IntegrityError where the file has become shorter or is unreadable."""
        held = np.empty(count, dtype=np.uint8)
        view, done = held.data, 0
        while done < count:
            try:
                read = self._read_into(view[done:], offset + done)
            except OSError as error:
                raise IntegrityError(f"stored images cannot be read: {error.strerror}") from None
            if not read:
                raise IntegrityError("stored images became shorter while they were used")
            done += read
        return held

    def _read_into(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [view], offset)
        with self._lock:  # no pread on Windows
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            part = os.read(self._descriptor, len(view))
        view[: len(part)] = part
        return len(part)


class StoredPictures:
    """Images in a file, as ``Pictures``: what is indexed is read, nothing is kept.

    ``positions``: the row of each image in the file. Indexing raises IntegrityError where the file
    cannot be read any more.
    """

    def __init__(self, file: PictureFile, positions: IntArray) -> None:
        self._file = file
        self._positions = positions

    @property
    def path(self) -> Path:
        """The file in which they lie."""
        return self._file.path

    @property
    def has_name(self) -> bool:
        """Whether another process can open that file."""
        return self._file.has_name

    @property
    def file_bytes(self) -> int:
        """Bytes of that file, with all images that lie in it."""
        return self._file.header.bytes

    @property
    def facts_bytes(self) -> int:
        """Bytes of that file that are read when it is opened, and stay in memory."""
        return self._file.header.bytes - self._file.header.facts_at

    @property
    def rows(self) -> IntArray:
        """The row of each image in the file."""
        return self._positions

    @property
    def shape(self) -> tuple[int, ...]:
        side = self._file.header.side
        return (len(self._positions), side, side, 3)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int | slice | IntArray) -> UInt8Array:
        chosen = self._positions[index]
        rows = np.atleast_1d(chosen)
        images = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        for start, stop in _runs(rows):
            first = int(rows[start])
            images[start:stop] = self._file.rows(first, first + stop - start)
        return images[0] if np.ndim(chosen) == 0 else images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Read all images at once: for code that knows arrays only."""
        return np.asarray(self[:], dtype=dtype)

    def select(self, positions: IntArray) -> StoredPictures:
        """Return the images at the positions, which stay in the file."""
        return StoredPictures(self._file, self._positions[positions])

    def digests(self) -> tuple[bytes, ...]:
        """Return the SHA-256 of every image, as they were when the file was checked."""
        return tuple(self._file.facts.digests[row] for row in self._positions)

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of shape and digests of all images."""
        return joint_digest(self.shape[1:], self.digests())


def header_of(path: Path) -> StoreHeader:
    """Return what a file says of itself; nothing else of it is read. Raises IntegrityError."""
    try:
        with path.open("rb") as stream:
            return _parsed(stream.read(PIXELS_AT), os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise IntegrityError(f"it cannot be opened: {error.strerror}") from None


def _parsed(head: bytes, size: int) -> StoreHeader:
    if len(head) < PIXELS_AT:
        raise IntegrityError("it is too short")
    length = int.from_bytes(head[len(STORE_MAGIC) : len(STORE_MAGIC) + 4], "little")
    if head[: len(STORE_MAGIC)] != STORE_MAGIC or length > PIXELS_AT - len(STORE_MAGIC) - 4:
        raise IntegrityError("it is no file of images of this version")
    try:
        header = StoreHeader.model_validate_json(head[len(STORE_MAGIC) + 4 :][:length])
    except ValidationError:
        raise IntegrityError("its header does not read") from None
    if header.channels == 2 or header.bytes != size:
        raise IntegrityError(f"it has {size:,} bytes instead of {header.bytes:,}")
    if head[:PIXELS_AT] != header_block(header):  # another spelling, or what stands behind it
        raise IntegrityError("its header is damaged")
    return header


def header_block(header: StoreHeader) -> bytes:
    """Return the first bytes of a file."""
    text = json.dumps(header.model_dump(), separators=(",", ":")).encode()
    return (STORE_MAGIC + len(text).to_bytes(4, "little") + text).ljust(PIXELS_AT, b"\0")


def _runs(rows: IntArray, most: int = 64) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of rows that follow each other in the file, at most ``most`` each."""
    start = 0
    for stop in range(1, len(rows) + 1):
        ends = stop == len(rows) or rows[stop] != rows[stop - 1] + 1 or stop - start == most
        if ends:
            yield start, stop
            start = stop


def _expanded(image: UInt8Array) -> UInt8Array:
    shape = (*image.shape[:2], 3)
    return np.broadcast_to(image, shape) if image.shape[2] == 1 else image

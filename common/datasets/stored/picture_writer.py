"""Writing a file of decoded images: under a temporary name, on a disk that has room, or not at all.

Images are written with one channel until the first that is not grey; what was written is then
copied with three. The file gets its name when all of it is on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from he_compare.common.datasets.stored.picture_file import (
    FACT_BYTES,
    LOOK_BYTES,
    PIXELS_AT,
    StoreHeader,
    header_block,
)
from he_compare.common.errors import DataError
from he_compare.common.exclusive import HeldElsewhereError, locked_now, one_at_a_time
from he_compare.common.files import PRIVATE_FILE, Draft, sweep
from he_compare.common.types import Float32Array, UInt8Array, picture_digest

# What stays free on the disk beside a store.
MARGIN_BYTES = 256 << 20
COPIED_AT_A_TIME = 64
UNFINISHED = ".part"


class NoRoomError(DataError):
    """The disk has too little room for a store."""


class PictureWriter:
    """Takes images in order. ``side``: pixels; ``looks``: whether every image brings its look."""

    def __init__(self, stream: IO[bytes], count: int, side: int, looks: bool) -> None:
        self._stream, self._count, self._side, self._looks = stream, count, side, looks
        self._channels = 1
        self._written = 0
        self._facts: list[bytes] = []
        self._seen: list[bytes] = []
        stream.write(bytes(PIXELS_AT))

    def add(
        self, image: UInt8Array, native: bytes, source: bytes, look: Float32Array | None
    ) -> None:
        """Append an image (side, side, 1 or 3) with its facts; b"" for what is not known."""
        if image.shape[2] > self._channels:
            self._widen()
        kept = np.broadcast_to(image, (self._side, self._side, self._channels))
        self._stream.write(np.ascontiguousarray(kept).tobytes())
        whole = np.broadcast_to(image, (self._side, self._side, 3))
        self._facts.append(picture_digest(whole) + (native or bytes(32)) + (source or bytes(32)))
        if self._looks:
            assert look is not None
            self._seen.append(look.astype("<f4").tobytes())
        self._written += 1

    def finish(self, listing: str, reader: str) -> StoreHeader:
        """Write facts and header, and see to it that all is on the disk."""
        assert self._written == self._count
        tail = b"".join(self._facts) + b"".join(self._seen)
        header = StoreHeader(
            listing=listing,
            reader=reader,
            count=self._count,
            side=self._side,
            channels=self._channels,
            looks=self._looks,
            facts_sha256=hashlib.sha256(tail).hexdigest(),
        )
        self._stream.write(tail)
        self._stream.seek(0)
        self._stream.write(header_block(header))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return header

    def _widen(self) -> None:
        """Give the images written so far three channels, from the last to the first."""
        old, new = self._side**2, 3 * self._side**2
        self._channels = 3
        for stop in range(self._written, 0, -COPIED_AT_A_TIME):
            start = max(0, stop - COPIED_AT_A_TIME)
            self._stream.seek(PIXELS_AT + start * old)
            grey = np.frombuffer(self._stream.read((stop - start) * old), dtype=np.uint8)
            self._stream.seek(PIXELS_AT + start * new)
            self._stream.write(np.repeat(grey, 3).tobytes())
        self._stream.seek(PIXELS_AT + self._written * new)


def bytes_needed(count: int, side: int, channels: int, looks: bool) -> int:
    """Return the bytes of a file of so many images."""
    return PIXELS_AT + count * (side * side * channels + FACT_BYTES + (LOOK_BYTES if looks else 0))


def require_room(folder: Path, needed: int) -> None:
    """Raise NoRoomError with both figures where the disk has too little room for a store."""
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN_BYTES:
        raise _no_room(needed, free)


def _no_room(needed: int, free: int) -> NoRoomError:
    return NoRoomError(
        f"the decoded images need {_mib(needed)} in the cache, with {_mib(MARGIN_BYTES)} left "
        f"over, and the disk has {_mib(free)} free",
        fix="free some space, use fewer images or a smaller --image-size, or set XDG_CACHE_HOME to "
        "a folder on another disk",
    )


@contextmanager
def new_file(path: Path, needed: int) -> Iterator[IO[bytes]]:
    """Open a file that gets the name ``path`` in the end, or is gone.

    Raises NoRoomError where the disk becomes full, OSError where nothing can be written.
    """
    draft = Draft(path.parent, PRIVATE_FILE)
    try:
        with os.fdopen(draft.handle, "r+b", closefd=False) as stream:
            yield stream
        draft.become(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _no_room(needed, shutil.disk_usage(path.parent).free) from None
    finally:
        draft.close()


@contextmanager
def sole_builder(path: Path) -> Iterator[None]:
    """Let one process at a time make the file ``path``; others wait.

    What killed builders of it left behind is removed.
    """
    with one_at_a_time(lock_file(path), "decodes the same images into the cache"):
        _remove_leftovers(path)
        yield


def clear_leftovers(folder: Path) -> None:
    """Remove what killed builders left of any file, unless somebody is making that file now."""
    for lock_path in folder.glob("*.lock"):
        with suppress(OSError, HeldElsewhereError), locked_now(lock_path):
            _remove_leftovers(lock_path.with_suffix(""))


def lock_file(path: Path) -> Path:
    """Return the file that is locked while ``path`` is made."""
    return path.with_name(f"{path.name}.lock")


def _remove_leftovers(path: Path) -> None:
    sweep(path.parent)
    # Of earlier versions, whose names tell of which file they are.
    for left in path.parent.glob(f".{path.name}.*{UNFINISHED}"):
        left.unlink(missing_ok=True)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"

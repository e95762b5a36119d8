"""One process at a time does something: locks that end with their process, however it ends.

flock(2) on a file: the system takes the lock from a process that ends in any way. Linux makes it a
lock of the server on NFS, which holds between machines unless the folder is mounted with
``nolock``. On Windows it is a lock on a byte of the file (``msvcrt.locking``).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNERS = 0o600


class HeldElsewhereError(Exception):
    """Another process holds the lock. ``said``: what it wrote into the file, b"" for nothing."""

    def __init__(self, said: bytes) -> None:
        super().__init__("held by another process")
        self.said = said


@contextmanager
def one_at_a_time(path: Path) -> Iterator[float]:
    """Hold the lock of a file, made if missing, and wait for it; yield the seconds waited.

    The file stays: who waits for it and who comes new mean the same one.
    """
    start = time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as handle:
        _lock(handle, wait=True)
        yield time.perf_counter() - start


@contextmanager
def locked_now(path: Path) -> Iterator[None]:
    """Hold the lock of a file that ``one_at_a_time`` keeps. Raises HeldElsewhereError at once."""
    with _opened(path) as handle:
        if not _lock(handle, wait=False):
            raise HeldElsewhereError(b"")
        yield


class LockFile:
    """A lock that leaves no file behind: it is removed by its holder, while it is held.

    So a file that is there and not locked was left by a process that was killed, and blocks nobody.
    A lock on a file that was removed meanwhile is no lock: it is taken anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    def take(self, note: bytes, unless: Callable[[bytes], bool] = lambda _: False) -> None:
        """Take the lock and leave a note in the file. A link is not followed.

        ``unless``: says of the note that is there whether the lock is held all the same; then the
        file stays as it is. Raises HeldElsewhereError where another process has it, OSError where
        none can be had.
        """
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_LINKS, _OWNERS)
            try:
                if not _lock(handle, wait=False):
                    raise HeldElsewhereError(os.pread(handle, 4096, 0) if _PREAD else b"")
                if _is_still(handle, self.path):
                    if unless(before := os.read(handle, 4096)):
                        raise HeldElsewhereError(before)
                    self._handle, held = handle, handle
                    handle = -1
                    self._leave(held, note)
                    return
            finally:
                if handle >= 0:
                    os.close(handle)

    def _leave(self, handle: int, note: bytes) -> None:
        try:
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, note)
        except OSError:  # the disk is full: not even an empty file is left
            self.release()
            raise

    def release(self) -> None:
        """Remove the file, then the lock."""
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        with contextlib.suppress(OSError):  # Windows does not remove a file that is open
            self.path.unlink()
        os.close(handle)
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                self.path.unlink()


_PREAD = hasattr(os, "pread")
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def _is_still(handle: int, path: Path) -> bool:
    """Say whether a path still names the file that is open."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, _OWNERS)
    try:
        yield handle
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    # Beyond what is written: a locked byte cannot be read by others.
    _LOCKED_BYTE = 1 << 20

    def _lock(handle: int, *, wait: bool) -> bool:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                break
            except OSError:
                if not wait:
                    return False
                time.sleep(0.1)
        os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> bool:
        """Lock an open file; say whether it is locked now. Raises OSError where that is unknown."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

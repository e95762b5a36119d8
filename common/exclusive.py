"""One process at a time does something: locks that end with their process, however it ends.

flock(2) on a file: the system takes the lock from a process that ends in any way. Linux makes it a
lock of the server on NFS, which holds between machines unless the folder is mounted with
``nolock``. On Windows it is a lock on a byte of the file (``msvcrt.locking``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from he_compare.common.errors import UsageError
from he_compare.common.kept import STORAGE_LOG

_OWNERS = 0o600
# Who waits longer than this for another process says so.
UNTOLD_SECONDS = 2.0
# What flock(2) answers where a file system has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)


class HeldElsewhereError(Exception):
    """Another process holds the lock. ``said``: what it wrote into the file, b"" for nothing."""

    def __init__(self, said: bytes) -> None:
        super().__init__("held by another process")
        self.said = said


class LockUnusableError(OSError):
    """A file that cannot serve as a lock, whoever asks. ``filename``: it; ``fix``: what helps."""

    def __init__(self, path: Path, number: int, why: str, fix: str) -> None:
        super().__init__(number, why, str(path))
        self.fix = fix

    def told(self, otherwise: str) -> UsageError:
        """Return it as one line. ``otherwise``: what else can be done."""
        return UsageError(
            f"cannot lock {self.filename}: {self.strerror}", fix=f"{self.fix}, or {otherwise}"
        )


@contextmanager
def one_at_a_time(path: Path, what: str) -> Iterator[float]:
    """Hold the lock of a file, made if missing, and wait for it; yield the seconds waited.

    The file stays: who waits for it and who comes new mean the same one. ``what``: is done under
    it, as words that follow "another process"; a wait of more than two seconds is said. Raises
    LockUnusableError.
    """
    start = time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as handle:
        _wait_for(handle, path, f"waiting for another process that {what}")
        yield time.perf_counter() - start


def _wait_for(handle: int, path: Path, words: str) -> None:
    begin, pause = time.monotonic(), 0.001
    while not _lock(handle, path, wait=False):
        if time.monotonic() - begin >= UNTOLD_SECONDS:
            STORAGE_LOG.warning("%s (it holds %s)", words, path)
            _lock(handle, path, wait=True)
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


@contextmanager
def locked_now(path: Path) -> Iterator[None]:
    """Hold the lock of a file that ``one_at_a_time`` keeps. Raises HeldElsewhereError at once."""
    with _opened(path) as handle:
        if not _lock(handle, path, wait=False):
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
        file stays as it is. Raises HeldElsewhereError where another process has it,
        LockUnusableError where the file cannot serve, another OSError where none can be made.
        """
        while True:
            handle, made = _open(self.path)
            try:
                if not self._lock_or_remove(handle, made=made):
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

    def _lock_or_remove(self, handle: int, *, made: bool) -> bool:
        """Lock the open file; where locks do not work, one that was made for it is not left."""
        try:
            return _lock(handle, self.path, wait=False)
        except OSError:
            if made:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            raise

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
    handle, _ = _open(path)
    try:
        yield handle
    finally:
        os.close(handle)


def _open(path: Path) -> tuple[int, bool]:
    """Open the file of a lock, made if missing; say whether it was made. A link is not followed.

    What is there is opened without O_CREAT: a system may refuse that for files of other users
    (proc(5), protected_regular). Raises LockUnusableError where it is there and cannot be opened.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            try:
                return os.open(path, os.O_RDWR | _NO_LINKS), False
            except FileNotFoundError:
                raise
            except OSError as error:
                raise _unusable(path, error) or error from None
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, _OWNERS), True


def _unusable(path: Path, error: OSError) -> LockUnusableError | None:
    """Return what is wrong with a file that is there; None where it is not the file's fault."""
    number = error.errno or 0
    if number in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
        kind = {errno.ELOOP: "a link", errno.EISDIR: "a folder"}.get(number, "no regular file")
        return LockUnusableError(path, number, f"it is {kind}, and no lock", "remove it")
    if number in (errno.EACCES, errno.EPERM) and os.path.lexists(path):
        whose, who = _whose(path)
        return LockUnusableError(
            path,
            number,
            f"it is a file of {whose}, and you may not open it",
            f"wait until the command of {who} has ended; where none runs, have the file removed",
        )
    return None


def _whose(path: Path) -> tuple[str, str]:
    """Name the owner of a file, and say it again."""
    try:
        if hasattr(os, "getuid") and path.lstat().st_uid == os.getuid():
            return "yours whose permissions were changed", "yours"
        return f"another user ({path.owner()})", "that user"
    except (KeyError, OSError, NotImplementedError):
        return "another user", "that user"


if sys.platform == "win32":
    import msvcrt

    # Beyond what is written: a locked byte cannot be read by others.
    _LOCKED_BYTE = 1 << 20

    def _lock(handle: int, path: Path, *, wait: bool) -> bool:
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

    def _lock(handle: int, path: Path, *, wait: bool) -> bool:
        """Lock an open file; say whether it is locked now. Raises OSError where that is unknown."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise LockUnusableError(
                path,
                error.errno,
                f"its file system has no locks (flock: {error.strerror})",
                "use a folder on a file system that has them; on NFS, mount it without `nolock`",
            ) from None
        return True

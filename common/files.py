"""Files that appear whole or not at all, and the sweeping of what killed writers left behind.

Where the system can (Linux: O_TMPFILE, then linkat(2)) a file has no name while it is written: of a
writer that is killed nothing stays. To take the place of a file that is there, it has a temporary
name between two system calls; elsewhere, for as long as it is written. A writer locks its file
(flock(2)), and ``sweep`` removes temporary files that nobody holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody sees who writes, so that age decides
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX_OF_DRAFTS = ".hec-", ".part"
TEMPORARY = re.compile(r"\.hec-[0-9a-f]{16}\.part")
# How earlier versions named theirs: after the file, with the letters of ``tempfile``.
EARLIER = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
# Where nobody can see who holds a file, it is swept when it is this old.
STALE_SECONDS = 24 * 3600.0
# What open(2) answers where a file system knows no files without a name.
_NAMES_ONLY = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_DESCRIPTORS = Path("/proc/self/fd")
# What others may not read, as patients' pictures in the clear: files, and the folders they are in.
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def close_to_others(folder: Path) -> None:
    """Make a folder that only its owner can look into; one that is there is closed to others.

    Folders above it that are missing are made like it. Raises OSError.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    if stat.S_IMODE(folder.stat().st_mode) != PRIVATE_FOLDER:
        # Another owner's folder stays as it is: the files in it are closed by themselves.
        with contextlib.suppress(PermissionError):
            folder.chmod(PRIVATE_FOLDER)


class Draft:
    """A file under way in a folder: locked, and without a name where the system can do that."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._name = ""
        self.handle = _unnamed(folder)
        if self.handle < 0:
            self._name, self.handle = _named(folder)
        else:
            _locked(self.handle)
        if hasattr(os, "fchmod"):
            os.fchmod(self.handle, mode)

    def fill(self, data: bytes, *, lasting: bool) -> None:
        """Write the whole content. ``lasting``: it is on the disk when this returns."""
        with os.fdopen(self.handle, "wb", closefd=False) as stream:
            stream.write(data)
            stream.flush()
            if lasting:
                os.fsync(self.handle)

    def become(self, path: Path) -> None:
        """Take the name of a file of this folder, in the place of one that is there."""
        if not self._name:
            try:
                self._link(path)
                return
            except FileExistsError:
                self._name = _fresh_name()
                self._link(self._folder / self._name)
        self._let_go()
        (self._folder / self._name).replace(path)
        self._name = ""

    def become_new(self, path: Path) -> None:
        """Take the name of a file of this folder. Raises FileExistsError where there is one."""
        if self._name:
            os.link(self._folder / self._name, path)
        else:
            self._link(path)

    def close(self) -> None:
        """End the draft; what has only a temporary name is removed."""
        if self.handle >= 0:
            if self._name:
                (self._folder / self._name).unlink(missing_ok=True)
            os.close(self.handle)
            self.handle = -1

    def _link(self, path: Path) -> None:
        # A descriptor of a folder is named so that links are followed; the path is absolute.
        os.link(_DESCRIPTORS / str(self.handle), path, src_dir_fd=self.handle, follow_symlinks=True)

    def _let_go(self) -> None:
        """Close the file where one that is open cannot be renamed."""
        if fcntl is None:
            os.close(self.handle)
            self.handle = -1


@contextmanager
def _draft(folder: Path, mode: int) -> Iterator[Draft]:
    draft = Draft(folder, mode)
    try:
        yield draft
    finally:
        draft.close()


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, lasting: bool = True) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never half of them.

    ``lasting``: it is on the disk when this returns; else it is there after a kill, and not for
    certain after a loss of power. An OSError names the file.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path.parent, mode) as draft:
            draft.fill(data, lasting=lasting)
            draft.become(path)
        if lasting:
            sync_folder(path.parent)


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file that is not there yet, whole. Raises FileExistsError where it is there."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path.parent, mode) as draft:
            draft.fill(data, lasting=True)
            draft.become_new(path)
        sync_folder(path.parent)


@contextmanager
def replacing(path: Path, data: bytes, *, mode: int) -> Iterator[None]:
    """Have a file written whole beside ``path``; it takes its place when the ``with`` block ends.

    Where the block raises, it is gone.
    """
    with naming(path), _draft(path.parent, mode) as draft:
        draft.fill(data, lasting=True)
        yield
        draft.become(path)
        sync_folder(path.parent)


def append_lasting(path: Path, data: bytes) -> None:
    """Append bytes to a file, made if missing, and see to it that they are on the disk.

    Where that fails the file is as it was. An OSError names the file.
    """
    # Without a buffer: one that is left would be written when the file is closed.
    with naming(path), path.open("ab", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[stream.write(left) :]
            os.fsync(stream.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(stream.fileno(), end)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that is meant: not a temporary one, and not only its folder."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(
    folder: Path, *, deep: bool = False, earlier: Callable[[str], bool] = lambda _: False
) -> int:
    """Remove temporary files that nobody holds; return how many. Nothing is raised.

    ``deep``: also in the folders below. ``earlier``: says of the file that a temporary file of an
    earlier version was named after whether it is to go: such files tell nobody who writes them.
    """
    swept = 0
    for path in _hidden_files(folder, deep):
        if TEMPORARY.fullmatch(path.name):
            swept += _removed_if_left(path)
        elif (named := EARLIER.fullmatch(path.name)) and earlier(named[1]):
            with contextlib.suppress(OSError):
                path.unlink()
                swept += 1
    return swept


def is_stale(path: Path) -> bool:
    """Say whether a file is so old that whoever made it is gone."""
    return time.time() - path.lstat().st_mtime > STALE_SECONDS


def _hidden_files(folder: Path, deep: bool) -> list[Path]:
    found = []
    for here, folders, files in os.walk(folder):
        found += [Path(here) / name for name in files if name.startswith(".")]
        if not deep:
            folders.clear()
    return found


def _removed_if_left(path: Path) -> bool:
    """Remove a temporary file if its writer is gone; say whether it was."""
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        left = is_stale(path) if (held := _locked(handle)) is None else held
        if left:
            path.unlink()
        return left
    except OSError:
        return False
    finally:
        os.close(handle)


def _fresh_name() -> str:
    return f"{PREFIX}{secrets.token_hex(8)}{SUFFIX_OF_DRAFTS}"


def _unnamed(folder: Path) -> int:
    """Open a file without a name; -1 where the system has none."""
    if not hasattr(os, "O_TMPFILE") or not _DESCRIPTORS.is_dir():
        return -1
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno in _NAMES_ONLY and folder.is_dir():
            return -1
        raise


def _named(folder: Path) -> tuple[str, int]:
    """Open a file with a temporary name that is locked; a sweeper may take one before it is."""
    while True:
        name = _fresh_name()
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if _locked(handle) is not False and (folder / name).exists():
            return name, handle
        os.close(handle)


def _locked(handle: int) -> bool | None:
    """Lock a file at once; False where somebody holds it, None where there are no such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True

"""Errors of the system about files: told in one line, and which of them end a run.

A cell that fails for a full disk would be followed by all the others: the run stops instead, and
goes on with the same command where there is room.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from he_compare.common.errors import UsageError

# No room: the disk, the user's share of it, or a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR)

_FIXES = {
    **dict.fromkeys(FULL, "free space there, or name a folder on another disk"),
    errno.EROFS: "name a folder that is not read-only",
    errno.EACCES: "name a file or folder that you may write, or change its permissions",
    errno.EPERM: "name a file or folder that you may write, or change its permissions",
    errno.ENOENT: "see that it exists",
    errno.ENOTDIR: "a part of this path is a file: name another folder",
    errno.EISDIR: "this is a folder: name a file",
    errno.EEXIST: "name another file or folder, or move this one away",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "links point at each other there: name another path",
    errno.EMFILE: "allow this process more open files (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: end other programs",
    errno.EAGAIN: "allow more processes (ulimit -u), or pass fewer --workers",
    errno.EIO: "look at the disk and at the system's log",
    errno.ESTALE: "the folder is on a server that has changed: mount it again",
}


def is_full(error: BaseException) -> bool:
    """Say whether an error means that there is no room for a file."""
    return isinstance(error, OSError) and error.errno in FULL


def stops_a_run(error: BaseException, folder: Path) -> bool:
    """Say whether an error of one cell would be that of all others: ``folder`` takes no files.

    That is a full disk, wherever it is, and a folder of the run that may not be written any more.
    """
    if is_full(error):
        return True
    closed = isinstance(error, OSError) and error.errno in _CLOSED
    return closed and _lies_in(getattr(error, "filename", None), folder)


def _lies_in(name: object, folder: Path) -> bool:
    try:
        named = Path(os.fsdecode(name)) if isinstance(name, str | bytes) and name else None
        return named is not None and named.absolute().is_relative_to(folder.absolute())
    except OSError:  # no working folder: then a relative name is no file of the run either
        return False


def file_error(error: OSError) -> UsageError | None:
    """Return an error of the system as one line with the file and the fix; None where it has none.

    An error that names no file is told where the working folder is gone, or the system has no
    room: nothing else of it is known.
    """
    fix = getattr(error, "fix", "") or _FIXES.get(error.errno or 0, "")
    why = error.strerror or str(error)
    named = [one for one in (error.filename, error.filename2) if isinstance(one, str | bytes)]
    if named:
        names = " and ".join(map(os.fsdecode, named))
        return UsageError(f"cannot use {names}: {why}", fix=fix)
    if error.errno in _NO_FOLDER and _working_folder_is_gone():
        return UsageError(
            "the working folder does not exist any more", fix="change to one that exists (cd)"
        )
    if error.errno == errno.ENOENT and "temporary directory" in why:
        return UsageError(
            "there is no folder for temporary files that may be written",
            fix="name one in the environment variable TMPDIR",
        )
    if error.errno in (*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return UsageError(f"the system refuses: {why}", fix=fix)
    return None


def _working_folder_is_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False

"""Where folders may lie: what is read, what is written, and that neither is inside the other."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from he_compare.common.errors import UsageError
from he_compare.common.exclusive import HeldElsewhereError, LockFile, LockUnusableError
from he_compare.common.files import sweep, write_atomic

LOCK_NAME = ".compare-lock"


def existing_folder(path: Path) -> Path:
    """Return the folder that images are read from. Raises UsageError where there is none."""
    if not path.is_dir():
        raise UsageError(
            f"{path} {'is not a folder' if path.exists() else 'does not exist'}",
            fix="pass a folder of images",
        )
    return path


def check_apart(source: Path, target: Path) -> None:
    """Raise UsageError where the target is not a folder, or inside the source, or around it."""
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is not a folder", fix="pass a new or empty folder")
    inner, outer = target.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UsageError(
            f"{target} and {source} are inside each other",
            fix="pass a folder outside the one that is read",
        )


def check_writable(target: Path) -> None:
    """Raise UsageError where a folder cannot be made or written into."""
    there = target
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into {there}", fix="pass a folder that may be written")


def check_key_outside(key_file: Path, target: Path) -> None:
    """Raise UsageError where the key file lies in the folder that is going to be shared."""
    if key_file.resolve().is_relative_to(target.resolve()):
        raise UsageError(
            f"the key file {key_file} lies in {target}: whoever gets the folder gets the key",
            fix="keep the key file outside it",
        )


def is_empty(folder: Path) -> bool:
    """Say whether a folder is missing or has no visible entries."""
    return not folder.is_dir() or all(entry.name.startswith(".") for entry in folder.iterdir())


@contextmanager
def alone_in(target: Path, names: Collection[str]) -> Iterator[None]:
    """Have a folder for this process alone, made if missing; what killed ones left goes first.

    ``names``: of the files that are written, relative: earlier versions left temporary ones named
    after them. Raises UsageError while another process writes there, or where nobody can.
    """
    lock, made = LockFile(target / LOCK_NAME), not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        lock.take(b"")
    except HeldElsewhereError:
        raise UsageError(
            f"{target} is being written by another process",
            fix="wait for it to end, or pass another folder",
        ) from None
    except LockUnusableError as error:
        raise error.told("pass another folder") from None
    except OSError as error:
        raise UsageError(
            f"cannot write into {target}: {error.strerror}", fix="pass a folder that may be written"
        ) from None
    try:
        written = {PurePosixPath(name).name for name in names}
        sweep(target, deep=True, earlier=written.__contains__)
        yield
    finally:
        lock.release()
        if made:  # and nothing was written
            with suppress(OSError):
                target.rmdir()


def write_inside(root: Path, name: str, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file below ``root``, atomically. Raises UsageError where a link leads out of it."""
    path = root / name
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{path.parent} is a link that leads out of {root}", fix="pass another folder"
        )
    try:
        write_atomic(path, data, mode=mode)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", fix="pass a writable folder with free space"
        ) from None

"""Private temporary folders that are swept: none outlives its process for longer than the next one.

A folder of mode 0700 in the system's place for temporary files, with a lock in it that its process
holds (flock(2)). Of a process that was killed the folder stays, unlocked: the next one that makes a
folder, or claims a run, removes it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from he_compare.common.exclusive import HeldElsewhereError, LockUnusableError, locked_now
from he_compare.common.files import is_stale

FOLDERS = "compare-tmp-"
HELD = ".held"
PRIVATE = 0o700
# As ``tempfile`` ends names.
_NAMED = re.compile(FOLDERS + r"[a-z-]+-[a-z0-9_]{8}")


class TemporaryFolder:
    """An empty private folder. ``what``: in its name; ``inside``: where it lies."""

    def __init__(self, what: str, inside: Path | None = None) -> None:
        sweep_folders(inside)
        self._held = ExitStack()
        self.path = self._make(what, inside)

    def _make(self, what: str, inside: Path | None) -> Path:
        """Make the folder and hold it; another one where it was swept before it was held.

        Raises UsageError where the file system has no locks.
        """
        while True:
            path = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{what}-", dir=inside))
            with suppress(HeldElsewhereError, FileNotFoundError):
                try:
                    self._held.enter_context(locked_now(path / HELD))
                except LockUnusableError as error:
                    shutil.rmtree(path, ignore_errors=True)
                    raise error.told("name one in the environment variable TMPDIR") from None
                if (path / HELD).exists():
                    return path
                self._held.close()

    @property
    def name(self) -> str:
        """The path of the folder."""
        return str(self.path)

    def cleanup(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._held.close()


@contextmanager
def swept_folder(what: str, inside: Path | None = None) -> Iterator[Path]:
    """Have an empty private folder for the ``with`` block."""
    folder = TemporaryFolder(what, inside)
    try:
        yield folder.path
    finally:
        folder.cleanup()


def sweep_folders(inside: Path | None = None) -> None:
    """Remove temporary folders of this user whose process is gone. Nothing is raised."""
    place = inside or Path(tempfile.gettempdir())
    with suppress(OSError):
        for folder in place.glob(f"{FOLDERS}*"):
            with suppress(OSError, HeldElsewhereError):
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose process is gone. Raises HeldElsewhereError where it lives."""
    about = folder.lstat()
    if not _NAMED.fullmatch(folder.name) or not stat.S_ISDIR(about.st_mode):
        return
    if hasattr(os, "getuid") and (
        about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) != PRIVATE
    ):
        return
    if not (folder / HELD).exists():  # killed before it was locked, or not locked yet
        if is_stale(folder):
            folder.rmdir()  # which is refused where anything is in it
        return
    with locked_now(folder / HELD):
        shutil.rmtree(folder, ignore_errors=True)

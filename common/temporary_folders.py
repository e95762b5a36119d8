"""Private temporary folders that are swept: none outlives its process for longer than the next one.

A folder of mode 0700 in the system's place for temporary files, with a lock in it that its process
holds (flock(2)). Of a process that was killed the folder stays, unlocked: the next one that makes a
folder, or claims a run, removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from he_compare.common.exclusive import HeldElsewhereError, locked_now
from he_compare.common.files import is_stale

FOLDERS = "compare-tmp-"
HELD = ".held"


class TemporaryFolder:
    """An empty private folder. ``what``: in its name; ``inside``: where it lies."""

    def __init__(self, what: str, inside: Path | None = None) -> None:
        sweep_folders(inside)
        self.path = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{what}-", dir=inside))
        self._held = ExitStack()
        self._held.enter_context(locked_now(self.path / HELD))

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
                if _is_left(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Say whether the process of a folder is gone. Raises HeldElsewhereError where it lives."""
    about = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        return False
    if hasattr(os, "getuid") and about.st_uid != os.getuid():
        return False
    if not (folder / HELD).exists():  # killed before it was locked, or not locked yet
        return is_stale(folder)
    with locked_now(folder / HELD):
        return True

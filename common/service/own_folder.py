"""A temporary folder of one process: private, removed with it, and never left for good.

A process that is killed cannot remove its folder. The next one of the same kind does: a folder
whose lock nobody holds belongs to nobody (flock(2): the system takes it from a process that ends in
any way). Where the system has no such locks (Windows) nothing is swept.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

LOCK_FILE = "lock"


class OwnFolder:
    """A new folder of mode 0700 under the folder of temporary files. ``name``: its path."""

    def __init__(self, prefix: str) -> None:
        """Make it, after removing what processes of this kind left that were killed."""
        sweep_folders(prefix)
        self._folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
        self.name = self._folder.name
        # Held before it has its name: who sweeps takes no lock of a folder that is in use.
        made = Path(self.name) / f".{LOCK_FILE}"
        self._lock = made.open("wb")
        _hold(self._lock)
        made.rename(Path(self.name) / LOCK_FILE)

    def cleanup(self) -> None:
        """Remove it; may be called twice."""
        self._folder.cleanup()
        self._lock.close()


def sweep_folders(prefix: str) -> None:
    """Remove folders whose process has ended without removing them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (folder / LOCK_FILE).open("r+b") as lock:
            if _hold(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _hold(lock: BinaryIO) -> bool:
    """Take a lock, and say whether that could be done."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True

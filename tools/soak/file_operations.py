"""The file operations of a process, which are counted, and before one of which it kills itself.

Counted are operations that change something below one of some folders: opening for writing,
renaming, linking, deleting, making and removing folders, changing modes and sizes, locking, and
fsync. Before the k-th of them the process sends itself SIGKILL. Processes that it starts are not
counted and not killed.

Opening and the like are told by audit events (PEP 578). fsync raises none: it is wrapped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Of each event: the arguments that name what is changed. Those of directories are descriptors.
CHANGES: dict[str, tuple[int, ...]] = {
    "os.rename": (0, 1),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.remove": (0,),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.chmod": (0,),
    "os.truncate": (0,),
    "fcntl.flock": (0,),
}
# Where the descriptors of directories stand that relative names of an event belong to.
RELATIVE_TO = {
    "os.rename": (2, 3),
    "os.link": (2, 3),
    "os.symlink": (2,),
    "os.remove": (1,),
    "os.mkdir": (2,),
    "os.rmdir": (1,),
    "os.chmod": (2,),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class FileOperations:
    """Counts the file operations of this process.

    ``at``: the number before which it is killed, from 1; 0 for none. ``log``: an open descriptor
    that gets a line per operation, -1 for none.
    """

    folders: tuple[str, ...]
    at: int = 0
    log: int = -1
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _inside: threading.local = field(default_factory=threading.local)

    def arm(self) -> None:
        """Count from now on, until the process ends: an audit hook cannot be taken back."""
        sync = os.fsync

        def counted_fsync(descriptor: Any) -> None:
            self.before("os.fsync", (descriptor,))
            sync(descriptor)

        os.fsync = counted_fsync  # type: ignore[assignment]
        sys.addaudithook(self.before)

    def before(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an event; kill the process where it is the one before which that is due."""
        if event != "open" and event != "os.fsync" and event not in CHANGES:
            return
        if getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            changed = self._changed(event, arguments)
            if changed:
                self._note(event, changed)
        finally:
            self._inside.busy = False

    def _note(self, event: str, changed: str) -> None:
        with self._lock:
            self.count += 1
            if self.log >= 0:
                os.write(self.log, f"{self.count} {event} {changed}\n".encode())
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def _changed(self, event: str, arguments: tuple[Any, ...]) -> str:
        """Return the path below one of the folders that an event changes; '' for none."""
        if event == "open":
            path, mode, flags = arguments[:3]
            writing = flags & WRITING if isinstance(flags, int) else 0
            # A descriptor that is made a file is no second opening.
            new = not isinstance(path, int) and (writing or set("wax+") & set(mode or ""))
            paths = [_place(path)] if new else []
        elif event == "os.fsync":
            paths = [_place(arguments[0])]
        else:
            places = RELATIVE_TO.get(event, ())
            paths = [
                _place(arguments[one], arguments[at] if (at := _nth(places, number)) else -1)
                for number, one in enumerate(CHANGES[event])
            ]
        return next((one for one in reversed(paths) if self._is_counted(one)), "")

    def _is_counted(self, path: str) -> bool:
        return any(path == one or path.startswith(one + os.sep) for one in self.folders)


def _nth(places: Sequence[int], number: int) -> int:
    return places[number] if number < len(places) else 0


def _place(named: Any, folder: int = -1) -> str:
    """Return the absolute path of what an event names: a path, or a descriptor."""
    if hasattr(named, "fileno"):
        named = named.fileno()
    if isinstance(named, int):
        return _of_descriptor(named)
    path = Path(os.fsdecode(os.fspath(named)))
    if isinstance(folder, int) and folder >= 0 and not path.is_absolute():
        path = Path(_of_descriptor(folder)) / path
    return os.path.normpath(path.absolute())


def _of_descriptor(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""

"""Where the soak tries things: folders of its own, and all processes that are started below it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from he_compare.common.environment import thread_environment

_SET_CHILD_SUBREAPER = 36
# The command as a terminal starts it, also where the soak itself runs in the background, with
# signals ignored that every process below it would ignore as well.
COMMAND = """\
import signal, sys
for one in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, one):
        signal.signal(getattr(signal, one), signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from he_compare.comparisons.cli.entry import main
main()
"""


def adopt_orphans() -> bool:
    """Become the parent of every process below this one whose own parent ends (Linux).

    Where it cannot be done, processes that lost their parent are not found.
    """
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).prctl
    return bool(call(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0) == 0)


@dataclass(frozen=True)
class Room:
    """A folder with caches, keys and temporary files of its own, for commands that run in it.

    ``cache``: its cache; several rooms may share one.
    """

    folder: Path
    cache: Path
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place in (self.folder, self.cache, self.temporary):
            place.mkdir(parents=True, exist_ok=True)

    @property
    def temporary(self) -> Path:
        """Its folder of temporary files."""
        return self.folder / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command in it."""
        own = {
            "XDG_CACHE_HOME": str(self.cache),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.temporary),
        }
        return {**os.environ, **thread_environment(1), **own, **self.more}

    def start(self, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start the command with these words, in a session of its own; output goes to ``log``."""
        with log.open("ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def run(self, words: Sequence[str], seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run the command to its end. Raises TimeoutExpired."""
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )


def below(pid: int | None = None) -> list[psutil.Process]:
    """Return the running processes below one, None for this one."""
    found = []
    with suppress(psutil.Error):
        for one in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                if one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
    return found


def pids_below() -> list[int]:
    """Return the numbers of the processes that run below this one now."""
    return [one.pid for one in below()]


def words_of(process: psutil.Process) -> str:
    """Return the command line of a process, '' where it ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def left_after(
    seconds: float,
    expected: Collection[int],
    keep_below: Collection[int] = (),
    top: int | None = None,
) -> list[str]:
    """Wait for every process below one to end; return those that did not, and kill them.

    ``expected``: processes that may go on; ``keep_below``: processes that may go on with all that
    runs below them; ``top``: below whom, None for this process.
    """
    end = time.monotonic() + seconds
    while left := _unexpected(expected, keep_below, top):
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    told = [words_of(one)[-100:] or str(one.pid) for one in left]
    for one in left:
        with suppress(psutil.Error):
            one.kill()
    _wait_for(left)
    return told


def _wait_for(killed: Collection[psutil.Process]) -> None:
    with suppress(psutil.Error):
        psutil.wait_procs(list(killed), timeout=5)


def _unexpected(
    expected: Collection[int], keep_below: Collection[int], top: int | None
) -> list[psutil.Process]:
    kept = {*expected, *keep_below}
    kept |= {one.pid for each in keep_below for one in below(each)}
    return [one for one in below(top) if one.pid not in kept]

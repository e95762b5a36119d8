"""A process that has the command loaded, and forks one that runs it as often as it is asked.

Loading takes most of the time of a small command. ``Warm`` starts ``python -m tools.soak.warm`` and
gives it orders; each is done by a process of its own, forked from one that has loaded what the
command was seen to load, has done nothing else, and has no thread but its first. From there on it
is as any other: it has its own session, environment, folder and file operations, which are counted
(``file_operations``), and ends as the interpreter ends. Servers and workers that it starts are
started as ever. What loses its parent is adopted by the process that forks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.soak.room import adopt_orphans, left_after

DOOR = "he_compare.comparisons.cli.app"
PAUSE_SECONDS = 0.005
START_SECONDS, MOST_SECONDS = 120.0, 600.0


@dataclass(frozen=True)
class WarmOrder:
    """A command to be run. ``under``: folders whose file operations are counted.

    ``at``: it is killed before that one, from 1; 0: not at all. ``log``: gets a line per operation;
    '': none. ``output``: the file of what it prints. ``seconds``: when it is killed as hanging.
    """

    words: list[str]
    folder: str
    environment: dict[str, str]
    output: str
    under: list[str]
    at: int = 0
    log: str = ""
    seconds: float = MOST_SECONDS


class Warm:
    """Runs commands, one after the other, in processes forked from one that has them loaded."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment``: of the process that forks; each command has one of its own."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.soak.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )

    def run(self, order: WarmOrder) -> int:
        """Run a command; return its exit code, that of a signal as a negative number.

        Raises RuntimeError where the process that forks has ended.
        """
        stream, answers = self._process.stdin, self._process.stdout
        assert stream is not None and answers is not None
        with contextlib.suppress(BrokenPipeError):
            stream.write((json.dumps(asdict(order)) + "\n").encode())
            stream.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"the process that forks ended with {self._process.wait()}")
        return int(line)

    def left_after(self, seconds: float) -> list[str]:
        """Wait for all that the last command started; return what did not end, and kill it."""
        return left_after(seconds, (), top=self._process.pid)

    def close(self) -> None:
        """End it, and all that is below it."""
        left_after(0.0, (), top=self._process.pid)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# In the process that forks ------------------------------------------------------------------------


def forked(order: WarmOrder, learnt: Path) -> int:
    """Fork a process for an order and wait; return its exit code. In the child it does not return.

    ``learnt``: gets the names of all modules that it had loaded when it ended.
    """
    pid = os.fork()
    if pid == 0:
        _become(order, learnt)
    end = time.monotonic() + order.seconds
    while True:
        found, status = os.waitpid(-1, os.WNOHANG)
        if found == pid:
            return os.waitstatus_to_exitcode(status)
        if not found:  # others are what was adopted
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(PAUSE_SECONDS)


def _become(order: WarmOrder, learnt: Path) -> None:
    """Be the command of an order, in this process. Raises SystemExit."""
    import atexit

    from tools.soak.file_operations import FileOperations

    os.setsid()
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    tempfile.tempdir = None
    output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit.register(lambda: learnt.write_text("\n".join(sorted(sys.modules))))
    sys.argv = ["compare", *order.words]
    door = importlib.import_module(DOOR)
    log = -1
    if order.log:
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    folders = tuple(os.path.realpath(one) for one in order.under)
    FileOperations(folders, order.at, log).arm()
    door.main()


def _load(names: Sequence[str]) -> None:
    """Load what a command was seen to load; what cannot be loaded by its name is left out."""
    for name in names:
        if name not in sys.modules and not name.startswith("__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _next_line() -> str:
    """Return the next order, '' at the end; what was adopted is buried meanwhile."""
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return sys.stdin.readline()


def _serve(answers: int, learnt: Path) -> None:
    while line := _next_line():
        asked: dict[str, Any] = json.loads(line)
        code = forked(WarmOrder(**asked), learnt)
        if learnt.is_file():
            _load(learnt.read_text().splitlines())
            learnt.unlink()
        os.write(answers, f"{code}\n".encode())


def main() -> None:
    """Do the orders of standard input, one after the other; answer each by an exit code."""
    adopt_orphans()
    answers = os.dup(1)
    os.dup2(2, 1)
    importlib.import_module(DOOR)
    me, folder = os.getpid(), Path(tempfile.mkdtemp())
    try:
        _serve(answers, folder / "modules")
    finally:
        if os.getpid() == me:  # else a command ends here, as in a process of its own
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

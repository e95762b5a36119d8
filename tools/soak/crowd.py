"""Many `compare run` in one folder: ``python -m tools.soak.crowd HOW COUNT -- WORDS``.

The command is loaded once and the process then forks, so that so many of them fit into memory and
really begin together. Each is a process of its own from there on. The one that has the folder is
held (SIGSTOP) as soon as another one names it, until all others have ended: on few cores the run
might end before the last of them has come so far, which would then find a finished run.

``HOW``: ``together``: all begin at once, the one that is held goes on when all others have ended.
``kill``: then it is killed instead, and as many begin again. ``end``: it goes on, and as many begin
one after the other until it has ended; then one more. Standard output gets one line of JSON per
process: its wave from 1, its exit code and its last line.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

TOGETHER, KILL, END = "together", "kill", "end"
# What the command loads before it claims the folder; it would load it in every process else.
LOADED = (
    "torch",
    "he_compare.comparisons.one_run",
    "he_compare.comparisons.cli.app",
    "he_compare.comparisons.measuring.planning",
    "he_compare.comparisons.measuring.measurer",
    "he_compare.comparisons.measuring.resuming",
    "he_compare.comparisons.estimating.announcing",
    "he_compare.comparisons.auditing.audit",
    "he_compare.reports",
)
MOST_SECONDS, EACH_SECONDS = 3000.0, 0.25
OWNER = re.compile(r"process (\d+)")


@dataclass(frozen=True)
class Start:
    """What became of a process. ``wave``: in which it began; ``code``: its exit code."""

    wave: int
    code: int
    last: str


class Crowd:
    """Processes that run one command. ``folder``: for what they print."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._words, self._folder = words, folder
        self._end = time.monotonic() + MOST_SECONDS
        self._outputs: dict[int, Path] = {}
        self._waves: dict[int, int] = {}
        self.running: set[int] = set()
        self.ended: list[Start] = []

    def begin(self, wave: int, count: int, apart: float = 0.0) -> None:
        """Fork so many; they begin at the same moment, or so many seconds after each other."""
        ready, go = os.pipe()
        for number in range(count):
            output = self._folder / f"{wave}-{number}.txt"
            pid = os.fork()
            if pid == 0:
                os.close(go)
                os.read(ready, 1)
                time.sleep(number * apart)
                _be_the_command(self._words, output)
            self._outputs[pid], self._waves[pid] = output, wave
            self.running.add(pid)
        os.close(ready)
        os.close(go)  # all that wait read the end of the file now

    def wait_for_others(self) -> int:
        """Hold the process that others name, and wait for them; return it, 0 where none is left."""
        held = 0
        while self.running and self.running != {held}:
            ended = self._one_ended()
            owner = OWNER.search(ended.last) if ended else None
            if not held and owner and int(owner[1]) in self.running:
                held = int(owner[1])
                os.kill(held, signal.SIGSTOP)
        return held if self.running else 0

    def wait_for_all(self) -> None:
        """Wait until all have ended."""
        while self.running:
            self._one_ended()

    def _one_ended(self) -> Start | None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            if time.monotonic() > self._end:
                for one in self.running:
                    os.kill(one, signal.SIGKILL)
            time.sleep(0.02)
            return None
        if pid not in self.running:
            return None
        self.running.discard(pid)
        code, last = os.waitstatus_to_exitcode(status), _last_line(self._outputs[pid])
        self.ended.append(Start(self._waves[pid], code, last))
        return self.ended[-1]


def _be_the_command(words: Sequence[str], output: Path) -> None:
    """Run the command and end. Never returns."""
    code = 1
    try:
        os.setsid()
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (stream, 1), (stream, 2)):
            os.dup2(source, target)
        from he_compare.comparisons.cli import app

        sys.argv = ["compare", *words]
        app.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _last_line(path: Path) -> str:
    text = path.read_text(errors="replace") if path.is_file() else ""
    lines = [one for one in text.splitlines() if one.strip()]
    return lines[-1] if lines else ""


def crowd(how: str, count: int, words: Sequence[str], folder: Path) -> list[Start]:
    """Start, hold, end and kill them; return what became of each."""
    for name in LOADED:
        importlib.import_module(name)
    made = Crowd(words, folder)
    made.begin(1, count)
    held = made.wait_for_others()
    if how == KILL and held:
        os.kill(held, signal.SIGKILL)
        made.wait_for_all()
        made.begin(2, count)
        held = made.wait_for_others()
    if held:
        with suppress(ProcessLookupError):
            os.kill(held, signal.SIGCONT)
    if how == END:
        made.begin(2, count, EACH_SECONDS)
        made.wait_for_all()
        made.begin(3, 1)
    made.wait_for_all()
    return made.ended


def main() -> None:
    """Start them, wait for them, and print what became of each."""
    how, count, words = sys.argv[1], int(sys.argv[2]), sys.argv[4:]
    with tempfile.TemporaryDirectory() as folder:
        for one in crowd(how, count, words, Path(folder)):
            print(json.dumps(asdict(one)), flush=True)


if __name__ == "__main__":
    main()

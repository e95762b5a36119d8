"""Progress of long work on stderr: rich bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from he_compare.common.kept import STORAGE_LOG

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0


@dataclass
class _Step:
    """A step under way: its line on a terminal, and when it was last printed elsewhere."""

    what: str
    task: TaskID | None = None
    last_line: float = -PLAIN_SECONDS


class NotesHandler(logging.Handler):
    """Shows what a logger says among the lines of a command."""

    def __init__(self, progress: ProgressReporter) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message as a note, even if the command is quiet."""
        self._progress.say(f"note: {record.getMessage()}")


class ProgressReporter:
    """Shows one line for the run and one for every step under way."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich: Progress | None = None
        self._steps: dict[str, _Step] = {}
        self._notes = NotesHandler(self)

    def __enter__(self) -> ProgressReporter:
        STORAGE_LOG.addHandler(self._notes)
        if not self.quiet and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._rich = Progress(
                TextColumn("  {task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        STORAGE_LOG.removeHandler(self._notes)
        if self._rich is not None:
            self._rich.stop()

    def line(self, text: str) -> None:
        """Print a line that stays, unless the run is quiet."""
        if not self.quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """Print a line that stays, even if the run is quiet."""
        if self._rich is not None:
            self._rich.console.print(text, markup=False, highlight=False)
        else:
            _print_line(text)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report a step: ``done`` of ``total`` units."""
        self.step("", what, done, total)

    def step(self, who: str, what: str, done: int, total: int) -> None:
        """Report a step of one of several workers, named ``who``."""
        if self.quiet:
            return
        shown, known = f"{who}: {what}" if who else what, self._steps.get(who)
        if known is None or known.what != what:
            self.end_step(who)
            known = self._steps[who] = _Step(what)
            if self._rich is not None:
                known.task = self._rich.add_task(shown, total=total)
        if self._rich is not None and known.task is not None:
            self._rich.update(known.task, completed=done, total=total)
            if done >= total:
                self.end_step(who)
        elif time.monotonic() - known.last_line >= PLAIN_SECONDS:
            known.last_line = time.monotonic()
            _print_line(f"    {shown}: {done}/{total}")

    def end_step(self, who: str = "") -> None:
        """Take away the line of a step that is over."""
        known = self._steps.pop(who, None)
        if known is not None and known.task is not None and self._rich is not None:
            self._rich.remove_task(known.task)


def _print_line(text: str) -> None:
    """Print a line where there is a standard error and it takes it: no work is lost for a line."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

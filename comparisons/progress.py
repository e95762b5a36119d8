"""Progress of long work on stderr: rich bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0


class ProgressReporter:
    """Shows one line for the run and one for the step under way."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich: Progress | None = None
        self._step: TaskID | None = None
        self._what = ""
        self._last_line = 0.0

    def __enter__(self) -> ProgressReporter:
        if not self.quiet and sys.stderr.isatty():
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
            print(text, file=sys.stderr, flush=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report a step: ``done`` of ``total`` units."""
        if self.quiet:
            return
        if self._rich is not None:
            if self._step is None or what != self._what:
                if self._step is not None:
                    self._rich.remove_task(self._step)
                self._step = self._rich.add_task(what, total=total)
            self._rich.update(self._step, completed=done, total=total)
        elif what != self._what or time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._last_line = time.monotonic()
            print(f"    {what}: {done}/{total}", file=sys.stderr, flush=True)
        self._what = what

"""Signals that ask the command to end: Ctrl-C, SIGTERM and SIGHUP all end it in the same way.

The first one stops what is under way; what is open is closed, and the command ends with one line
and 128 and the signal's number. Another one, while things are being closed, ends what they wait
for. A signal that the command was started to ignore (nohup) is ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from he_compare.common.stopping import StopSignal, as_stop_signal

# How long closing may take before the process ends without it.
CLOSING_SECONDS = 60.0
# After which a signal is sent again that a library has swallowed.
AGAIN_SECONDS = 0.05


class StopListener:
    """Raises StopSignal in the main thread. For one command in a process of its own.

    Closing that takes too long is given up. When the command is over, the signals are ignored: the
    process is ending anyway, with the code of the command. Inside another listener it does nothing.
    """

    def __init__(self) -> None:
        self._first: StopSignal | None = None
        self._heard_here: list[int] = []
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> StopListener:
        if threading.current_thread() is not threading.main_thread():
            return self
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._hear)
                self._heard_here.append(number)
        if self._heard_here:
            self._unraisable = sys.unraisablehook
            sys.unraisablehook = self._say_again
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._heard_here:
            signal.signal(number, signal.SIG_IGN)
        if self._heard_here:
            sys.unraisablehook = self._unraisable

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = StopSignal(number)
            watch = threading.Timer(CLOSING_SECONDS, self._end, (self._first,))
            watch.daemon = True
            watch.start()
        if stop_in(sys.exc_info()[1]) is not None:  # things are being closed
            end_children()
            return
        raise StopSignal(self._first.signum)

    def _end(self, first: StopSignal) -> None:
        with contextlib.suppress(Exception):
            stopped(first)
        end_children()
        os._exit(first.exit_code)

    def _say_again(self, lost: Any) -> None:
        """Send a signal again whose error was raised where Python drops errors (destructors)."""
        if not isinstance(lost.exc_value, StopSignal):
            self._unraisable(lost)
            return
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), lost.exc_value.signum))
        again.daemon = True
        again.start()


def stop_in(error: BaseException | None) -> StopSignal | None:
    """Return what asked to end, where an error is that or was raised because of it; else None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return as_stop_signal(error)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def stopped(stop: StopSignal) -> int:
    """Say that the command was asked to end; return its exit code."""
    by = "" if stop.signum == signal.SIGINT else f" by {stop.name}"
    say_line(f"interrupted{by}; run the same command again to resume")
    return stop.exit_code


def say_line(line: str) -> None:
    """Print a line on the standard error, whatever state that is in."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def end_children() -> None:
    """Kill the processes that this one started, and theirs: servers and workers keep nothing.

    Not the one that keeps count of what multiprocessing shares: it ends by itself, and another one
    would be started in its place, which knows nothing of what is given back and says so.
    """
    import psutil

    tracker = getattr(
        sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None
    )
    spared = getattr(tracker, "_pid", None)
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.pid != spared:
                    child.kill()

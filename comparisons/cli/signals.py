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
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from he_compare.common.stopping import StopSignal

# How long closing may take before the process ends without it.
CLOSING_SECONDS = 60.0
# After which a signal is sent again that a library has swallowed.
AGAIN_SECONDS = 0.05


class StopListener:
    """Raises StopSignal in the main thread. For one command in a process of its own.

    ``give_up``: says that closing takes too long; the process ends afterwards. When the command
    is over, the signals are ignored: the process is ending anyway, with the code of the command.
    """

    def __init__(self, give_up: Callable[[StopSignal], object]) -> None:
        self._give_up = give_up
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
        if threading.current_thread() is threading.main_thread():
            sys.unraisablehook = self._unraisable

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = StopSignal(number)
            watch = threading.Timer(CLOSING_SECONDS, self._end, (self._first,))
            watch.daemon = True
            watch.start()
        if _is_closing():
            end_children()
            return
        raise StopSignal(self._first.signum)

    def _end(self, first: StopSignal) -> None:
        with contextlib.suppress(Exception):
            self._give_up(first)
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


def _is_closing() -> bool:
    """Say whether the main thread, which is here, closes things after a StopSignal."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, StopSignal):
            return True
        error = error.__context__
    return False


def end_children() -> None:
    """Kill the processes that this one started, and theirs: servers and workers keep nothing."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()

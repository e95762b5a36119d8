"""A time limit around an attack, so that one of them cannot use up the budget of the others.

In the main thread a timer signal ends the block. A worker of Dask runs its tasks in another
thread, where signals do not arrive: there a second thread raises the error in the first one
(``PyThreadState_SetAsyncExc`` of CPython). Either way it is raised between two steps of Python
code: a single call into a library runs to its end.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class OverTimeError(Exception):
    """The time limit was reached."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise ``OverTimeError`` in the block after ``seconds``, in whatever thread it runs.

    Blocks do not nest. Outside the main thread a Python that is not CPython has no limit, and the
    seconds that were spent are recorded all the same.
    """
    main = threading.current_thread() is threading.main_thread()
    limit = _by_signal if main and hasattr(signal, "setitimer") else _by_thread
    with limit(seconds):
        yield


def _told(seconds: float) -> str:
    return f"over its limit of {seconds:g} s"


@contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise OverTimeError(_told(seconds))

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Interruption(OverTimeError):
    """What the second thread raises: a class, for CPython makes the error itself."""


class _Alarm:
    """Raises in one thread, once, unless it was called off before."""

    def __init__(self, interrupt: Callable[[int, bool], None]) -> None:
        self._interrupt = interrupt
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._over = False

    def ring(self) -> None:
        with self._lock:
            if not self._over:
                self._over = True
                self._interrupt(self._thread, True)

    def call_off(self) -> None:
        """From here on nothing is raised; what was on its way is taken back."""
        with self._lock:
            rang, self._over = self._over, True
            if rang:
                self._interrupt(self._thread, False)


def _interrupt(thread: int, wanted: bool) -> None:
    error = ctypes.py_object(_Interruption) if wanted else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


@contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    if not hasattr(ctypes, "pythonapi"):
        yield
        return
    alarm = _Alarm(_interrupt)
    timer = threading.Timer(seconds, alarm.ring)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            # The error may arrive at any step up to the one that takes it back.
            timer.cancel()
            alarm.call_off()
    except _Interruption:
        timer.cancel()
        alarm.call_off()
        raise OverTimeError(_told(seconds)) from None

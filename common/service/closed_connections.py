"""What a write to a connection does whose other end is closed: it raises, and ends nothing."""

from __future__ import annotations

import ctypes
import signal
import threading


def survive_closed_connections() -> None:
    """Let a write to a closed connection raise BrokenPipeError, as Python has it from the start.

    Compilers of circuits set a handler of SIGPIPE that ends the process without a word. Python lets
    only its main thread change that, and a worker's task runs on another: there libc is asked.
    """
    if not hasattr(signal, "SIGPIPE"):
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        return
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    set_handler(int(signal.SIGPIPE), int(signal.SIG_IGN))

"""Connections whose other end is closed or gone: a write raises and ends nothing, silence ends."""

from __future__ import annotations

import ctypes
import signal
import socket
import threading

# A connection whose other end vanished without a word is given up after about a minute.
PROBE_AFTER, PROBE_EVERY, PROBES = 30, 10, 3


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


def probe_options(*, unsent_too: bool = False) -> list[tuple[int, int, int]]:
    """Return options of a socket that let the system ask whether the other end is still there.

    ``unsent_too``: give a connection up as well on which nothing that was sent arrives for as long.
    """
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    wanted = [
        ("TCP_KEEPIDLE", PROBE_AFTER),
        ("TCP_KEEPINTVL", PROBE_EVERY),
        ("TCP_KEEPCNT", PROBES),
    ]
    if unsent_too:
        wanted.append(("TCP_USER_TIMEOUT", 1000 * (PROBE_AFTER + PROBE_EVERY * PROBES)))
    for name, value in wanted:
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options

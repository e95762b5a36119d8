"""Serves an application of HTTP on a socket: patient with nobody, over TLS where it is remote.

Whoever reaches the port may connect; what they do without the token must cost next to nothing, and
must not keep the driver out. Who keeps a connection is said by ``doorway``; a handshake of TLS has
a time limit, as headers and bodies have (``impatient``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from he_compare.common.service.closed_connections import probe_options
from he_compare.common.service.doorway import Doorway
from he_compare.common.service.impatient import MOST_HEADER_BYTES, ImpatientProtocol

HANDSHAKE_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 3600
LAST_ANSWERS_SECONDS = 2
SHUTDOWN_SECONDS = 2.0
# A service may be asked by its driver while strangers hold connections. Those that wait have no
# memory of this process.
WAITING = 128
# Python looks for garbage when so many connections were shown out.
TIDIED_AT = 64


class GuardedListener(socket.socket):
    """A listener whose connections go through a doorway."""

    def __init__(self, family: socket.AddressFamily, doorway: Doorway) -> None:
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.doorway = doorway
        self._tidied = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, which is a stranger's at first.

        Raises BlockingIOError where there is none, or where too many that were shown out still
        have memory: a connection gets its buffers and its TLS object after this.
        """
        if not self.doorway.is_clear:
            raise BlockingIOError("connections that were shown out are still being closed")
        connection, address = super().accept()
        self.doorway.enter(connection, str(address[0]))
        self._tidy_up()
        return connection, address

    def _tidy_up(self) -> None:
        """Give back what connections that were shown out had: objects of TLS refer to each other
        in circles, which Python would keep for as long as thousands of connections."""
        if self.doorway.shown_out - self._tidied >= TIDIED_AT:
            self._tidied = self.doorway.shown_out
            gc.collect()


def listen(host: str, port: int, *, doorway: Doorway | None = None) -> GuardedListener:
    """Open a listener whose connections send at once. Raises OSError.

    ``port``: 0 for any. Accepted connections have the listener's options, so that one whose other
    end vanished ends after about a minute. asyncio switches Nagle's algorithm off only for sockets
    that name TCP as their protocol; with it on, every reply waits some 40 ms for a delayed
    acknowledgement.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listener = GuardedListener(family, doorway or Doorway())
    try:
        for option in probe_options():
            listener.setsockopt(*option)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(WAITING)
    except OSError:
        listener.close()
        raise
    return listener


def serve(
    application: Any,
    listener: GuardedListener,
    *,
    context: ssl.SSLContext | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve until a signal ends it (uvicorn's handling of signals); see ``server_of``."""
    gc.collect()
    gc.freeze()  # what is there now stays: looking for garbage of connections passes over it
    server_of(application, listener, context=context, on_stop=on_stop).run(sockets=[listener])


def server_of(
    application: Any,
    listener: GuardedListener,
    *,
    context: ssl.SSLContext | None = None,
    on_stop: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """Return what is to serve a listener; it ends when its ``should_exit`` is set as well.

    ``application``: of ASGI. ``on_stop``: called once when it is to end, before the last answers
    are waited for: what keeps requests waiting has to end there.
    """
    protocol: Any = functools.partial(ImpatientProtocol, doorway=listener.doorway)
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=WAITING,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )
    config.load()
    config.ssl = context
    return _EndingServer(config, on_stop)


class _EndingServer(uvicorn.Server):
    """Ends what waits before it waits for answers, and gives a handshake no more than its time."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals; one that was ignored at the start (nohup) stays ignored."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        ignored = [one for one in numbers if signal.getsignal(one) is signal.SIG_IGN]
        with super().capture_signals():
            if threading.current_thread() is threading.main_thread():
                for one in ignored:
                    signal.signal(one, signal.SIG_IGN)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.ssl is not None:
            loop: Any = asyncio.get_running_loop()
            loop.create_server = functools.partial(
                loop.create_server,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        await super().startup(sockets=sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stop is not None:
            await asyncio.to_thread(self._on_stop)
        await super().shutdown(sockets=sockets)

"""An end for a whole exchange: whatever the other side does, it takes no longer than it may.

Time limits of httpx are for one read or write. A side that sends a byte at a time, or one interim
answer after the other (RFC 9110, 15.2), would never meet them. Here every read and write of a
connection has what is left of the exchange as its limit.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

# TLS copies what it is given before it sends any of it.
WRITTEN_AT_ONCE = 1 << 20
# By time.perf_counter; None: no end.
_END: ContextVar[float | None] = ContextVar("end of the exchange", default=None)


@contextlib.contextmanager
def until(end: float | None) -> Iterator[None]:
    """Let exchanges of this thread end at a time of ``time.perf_counter``; None: no end."""
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    """Return how long one step may take. Raises the error where nothing is left."""
    end = _END.get()
    if end is None:
        return timeout
    left = end - time.perf_counter()
    if left <= 0:
        raise error("the exchange took too long")
    return left if timeout is None else min(left, timeout)


class _EndingStream(httpcore.NetworkStream):
    """A connection whose steps end with the exchange."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._socket: socket.socket = inner.get_extra_info("socket")

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it. The inner stream would give each part that the other end takes in the
        whole limit; here every part has what is left then."""
        left = memoryview(buffer)
        try:
            while left:
                self._socket.settimeout(_left(timeout, httpcore.WriteTimeout))
                left = left[self._socket.send(left[:WRITTEN_AT_ONCE]) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _EndingStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        self._inner.close()


class _EndingBackend(httpcore.SyncBackend):
    """Makes such connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _EndingStream(super().connect_tcp(host, port, left, local_address, socket_options))


class EndingTransport(httpx.HTTPTransport):
    """httpx's own transport, over connections whose exchanges end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # httpx hands no backend through to the pool that it makes.
        self._pool._network_backend = _EndingBackend()

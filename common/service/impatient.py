"""HTTP on loopback that does not wait for ever: limits on headers, bodies and connections.

Anybody on the machine may connect to the port; what they send without the token must cost nothing.
uvicorn has no time limit for a request that never becomes whole, so it is set here.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS, BODY_IDLE_SECONDS = 10.0, 60.0
MOST_CONNECTIONS = 64
MOST_HEADER_BYTES = 16_384


class ImpatientProtocol(H11Protocol):
    """Ends a connection whose header is not whole in ``HEADER_SECONDS``, or whose body stalls."""

    _patience: asyncio.TimerHandle | None = None
    _waits_for: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header; one connection too many is not kept at all."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a header or a body."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Stop the clock: between two requests a client may take its time (keep-alive)."""
        self._stop()
        super().on_response_complete()

    def _watch(self) -> None:
        state = self.conn.their_state
        if state is h11.IDLE and state is self._waits_for:
            return  # of a header all of it counts, however many pieces it comes in
        self._stop()
        seconds = {h11.IDLE: HEADER_SECONDS, h11.SEND_BODY: BODY_IDLE_SECONDS}.get(cast(Any, state))
        if seconds is not None:
            self._waits_for = state
            self._patience = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        self._waits_for = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

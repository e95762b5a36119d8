"""HTTP that does not wait for ever: limits on headers, on bodies that stall and on slow readers.

Anybody may connect to the port; what they send without the token must cost nothing. uvicorn has no
time limit for a request that never becomes whole, nor for an answer that is never read, so they are
set here. How many connections there may be is said by the listener (``doorway``).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from he_compare.common.service.doorway import VISIT, Doorway, Visit

HEADER_SECONDS, BODY_IDLE_SECONDS, ANSWER_IDLE_SECONDS = 10.0, 60.0, 60.0
MOST_HEADER_BYTES = 16_384


class ImpatientProtocol(H11Protocol):
    """Ends a connection whose header is not whole in ``HEADER_SECONDS``, whose body stalls, or
    whose other end takes in nothing of an answer for ``ANSWER_IDLE_SECONDS``."""

    _patience: asyncio.TimerHandle | None = None
    _waits_for: Any = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, doorway: Doorway | None = None, **named: Any) -> None:
        """``doorway``: is told which connections have shown the token."""
        super().__init__(*arguments, **named)
        self._doorway = doorway
        self._visit = Visit(self._shown)
        self.app_state = {**self.app_state, VISIT: self._visit}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header."""
        super().connection_made(transport)
        held = transport.get_extra_info("socket")
        if self._doorway is not None and held is not None:
            self._doorway.serve(held.fileno(), transport.abort)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a header or a body."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._visit.open = False
        self._stop()
        self._was_read()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Stop the clock: between two requests a client may take its time (keep-alive)."""
        self._stop()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for the other end to read."""
        super().pause_writing()
        self._was_read()
        self._unread = self.loop.call_later(ANSWER_IDLE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The other end has read what was sent."""
        self._was_read()
        super().resume_writing()

    def _shown(self) -> None:
        held = self.transport.get_extra_info("socket")
        if self._doorway is not None and held is not None:
            self._doorway.know(held.fileno())

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

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

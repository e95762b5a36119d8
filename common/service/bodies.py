"""Bodies of requests and answers in a front's memory: counted together, and never without end.

Public material goes to a file and is not counted here. What a call sends, and what it is answered,
lies in memory until it has been handed on; of all calls together that is a bounded number of bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from he_compare.common.service.refusals import RefusedRequest

# An answer is sent in pieces, so that no more of it than one lies in the connection's own buffer.
ANSWER_PIECE = 1 << 20
MOST_DIGITS_OF_LENGTH = 18


class TooLargeError(RefusedRequest):
    """A body exceeds the limit that the front was started with."""

    def __init__(self, message: str) -> None:
        super().__init__(413, "TooLargeError", message)


class HeldBytes:
    """Counts the bytes of bodies that are in memory."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def share(self) -> HeldShare:
        """Return what one request holds of them: nothing yet."""
        return HeldShare(self)


class HeldShare:
    """What one request holds. ``close`` gives it back; it may be called twice."""

    def __init__(self, together: HeldBytes) -> None:
        self._together = together
        self._size = 0

    def hold(self, size: int) -> None:
        """Hold ``size`` bytes instead of what was held before.

        Raises RefusedRequest where all requests together would hold too much.
        """
        together = self._together
        if size > self._size and together.held - self._size + size > together.most:
            raise RefusedRequest(
                503,
                "TooMuchAtOnce",
                f"{size} bytes more than the {together.held - self._size} that other calls hold "
                f"are over the limit of {together.most}",
                "send one message after the other",
            )
        together.held += size - self._size
        self._size = size

    def close(self) -> None:
        """Hold nothing any more."""
        self.hold(0)


class HeldResponse(Response):
    """An answer that is counted until it has been sent, or cannot be."""

    def __init__(self, content: bytes, share: HeldShare, **options: Any) -> None:
        super().__init__(content, **options)
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, a piece at a time."""
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start"} | start)
            body, end = bytes(self.body), len(self.body)
            for begin in range(0, max(end, 1), ANSWER_PIECE):
                piece = body[begin : begin + ANSWER_PIECE] if end > ANSWER_PIECE else body
                more = begin + ANSWER_PIECE < end
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            self._share.close()


async def pieces_of(
    request: Request, most: int, share: HeldShare | None = None
) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes; ``share``: where it is held.

    Raises TooLargeError, before anything is read where the header says so already, and
    RefusedRequest where too much would be held.
    """
    declared = request.headers.get("content-length", "0")
    announced = 0
    if declared.isascii() and declared.isdigit():
        announced = int(declared[:MOST_DIGITS_OF_LENGTH])
    if announced > most:
        raise TooLargeError(f"body of {announced} bytes exceeds {most}")
    if share is not None:
        share.hold(announced)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLargeError(f"body exceeds {most} bytes")
        if share is not None and size > announced:
            share.hold(size)
        if piece:
            yield piece

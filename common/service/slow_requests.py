"""How long a request may take to be whole, whatever its sender does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from he_compare.common.service.refusals import RefusedRequest

# How long a small request may take.
REQUEST_SECONDS = 60.0
# A front tells by itself that a call took too long; this is for one that says nothing at all. It
# may have to start a new child and load the public material first.
CALLS_AT_MOST, GRACE_SECONDS = 2.0, 75.0


def longest_exchange(call_seconds: float) -> float:
    """Return after how many seconds a driver gives up waiting for an answer of ``call_seconds``."""
    return CALLS_AT_MOST * call_seconds + GRACE_SECONDS


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Let a body take so long and no longer, however it drips. Raises RefusedRequest."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError:
        words = f"the request was not whole within {seconds:g} s"
        raise RefusedRequest(408, "TooSlow", words, "send it faster, or less at a time") from None

"""The child of a session: asked under a time limit; counted, and let go, when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from he_compare.common.errors import MessageError
from he_compare.common.service.child_process import ChildEndedError, ChildOptions, ChildProcess
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.service.refusals import (
    TIMED_OUT_KIND,
    ChildReply,
    RefusedRequest,
    refusal_of,
    replaced,
    reply_of,
)
from he_compare.common.visible_text import visible

StartChild = Callable[[ChildOptions, Path, int], ChildProcess]
Found = TypeVar("Found")


@dataclass
class EndedChildren:
    """Children that ended. ``last``: how the last one did."""

    count: int = 0
    last: str = ""


@dataclass(frozen=True)
class Order:
    """What a child is to do. ``pieces``: the body, ``size`` bytes in all. ``when``: words for the
    client where the child ends; ``more_seconds``: what it may take beyond the time of an answer."""

    header: Mapping[str, Any]
    pieces: Iterable[bytes] = ()
    size: int = 0
    when: str = "while it was asked how it is"
    more_seconds: float = 0.0


@dataclass(frozen=True)
class ChildCare:
    """How the children of a session are kept.

    ``home``: a folder of the front's for this session alone, which need not be there yet.
    ``call_seconds``: the longest time of one answer; ``max_body``: its most bytes. ``child``: one
    that was started with these options already. ``start``: makes another one.
    """

    options: ChildOptions
    home: Path
    call_seconds: float
    max_body: int
    child: ChildProcess | None = None
    start: StartChild = ChildProcess


class KeptChild:
    """At most one child at a time, for one event loop; ``close`` alone may come from elsewhere.

    What waits for the end of a process, or removes its files, is done on another thread.
    """

    def __init__(self, care: ChildCare) -> None:
        self.options = care.options
        self.ended = EndedChildren()
        self._care = care
        self._child = care.child
        self._started = 0
        self._thread = ThreadPoolExecutor(1)  # waits for the child, and for nothing else
        self._closed = False

    @property
    def there(self) -> bool:
        """Whether there is a child, which may have ended since."""
        return self._child is not None

    @property
    def pid(self) -> int:
        """The number of its process; 0 where there is none at the moment."""
        return self._child.pid if self._child else 0

    def begin(self) -> None:
        """Start a child where there is none. Raises RefusedRequest where none can be started."""
        if self._child is not None:
            return
        if self._closed:
            raise session_ended()
        self._started += 1
        folder = self._care.home / f"child-{self._started}"
        try:
            self._child = self._care.start(self.options, folder, self._care.max_body)
        except OSError as error:
            words = f"no process could be started: {error.strerror}"
            raise RefusedRequest(503, "OSError", words, "try again later") from None
        if self._closed:  # from another thread, which did not see this child
            self._child.close()
            raise session_ended()

    async def let_go(self) -> None:
        """End the child, which is no loss."""
        child, self._child = self._child, None
        if child is not None:
            await self._aside(child.close)

    def close(self) -> None:
        """End the child for good; may be called twice, from any thread."""
        self._closed = True
        child = self._child
        if child is not None:
            child.close()
        self._thread.shutdown(wait=False)

    async def has_ended(self) -> bool:
        """Say whether the child has ended since it was last asked, and count it then."""
        child = self._child
        if child is None or child.alive:
            return False
        await self._lose((await self._aside(child.ending)).problem)
        return True

    async def reply(self, order: Order) -> ChildReply:
        """Give an order that is answered with what a client is told. Raises RefusedRequest."""
        frame = await self.answer(order)
        try:
            return reply_of(frame)
        except MessageError as error:
            await self._lose(f"it answered what is no answer: {error.problem}")
            raise self._told(order) from None

    async def answer(self, order: Order) -> PipeFrame:
        """Give an order; errors that the child tells, and its end, become RefusedRequest."""
        child, loop = self._child, asyncio.get_running_loop()
        if child is None or self._closed:
            raise session_ended()
        seconds = self._care.call_seconds + order.more_seconds
        late = f"no answer within {seconds:g} s"
        timer = loop.call_later(seconds, lambda: child.end(late, late=True))
        try:
            frame = await self._aside(child.ask, order.header, order.pieces, order.size)
        except ChildEndedError as error:
            if self._closed:
                raise session_ended() from None
            await self._lose(error.problem)
            if error.late:
                raise RefusedRequest(504, TIMED_OUT_KIND, late) from None
            raise self._told(order) from None
        finally:
            timer.cancel()
        if "error" not in frame.header:
            return frame
        refusal = refusal_of(frame.header["error"])
        if "ends" in frame.header:
            limit = child.memory_words()
            await self._lose(f"its memory was too small (limit: {limit}): {refusal.message}")
            raise self._told(order)
        raise refusal

    async def _aside(self, what: Callable[..., Found], *arguments: Any) -> Found:
        """Do something on the thread that waits for the child. Raises RefusedRequest at the end."""
        try:
            waits = asyncio.get_running_loop().run_in_executor(self._thread, what, *arguments)
        except RuntimeError:  # the session was ended from another thread in the meantime
            raise session_ended() from None
        return await waits

    def _told(self, order: Order) -> RefusedRequest:
        return replaced(f"the server was lost {order.when}: {self.ended.last}")

    async def _lose(self, why: str) -> None:
        self.ended.count += 1
        self.ended.last = visible(" ".join(why.split()))
        await self.let_go()


def session_ended() -> RefusedRequest:
    """Return what is answered where a session was ended while something was under way."""
    return RefusedRequest(410, "SessionEnded", "this session has ended", "open another one")

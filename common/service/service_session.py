"""One pipeline's server half as a front serves it: its child, and what a new child starts from.

The public material lies in a file of the front's (mode 0600). A child that ends is told to the
client and counted, and the next request is answered by another one. What a client sent beside the
public material is gone then, and is never taken to be there: where a call other than ``infer`` may
have left something with a child that ended unasked, the next such call is refused once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from he_compare.common.service.kept_child import (
    ChildCare,
    EndedChildren,
    KeptChild,
    Order,
    session_ended,
)
from he_compare.common.service.refusals import ChildReply, RefusedRequest, replaced
from he_compare.common.service.slow_requests import in_time, longest_exchange

INFER = "infer"
READ_BYTES = 1 << 20
# What a child may take to start, beside the time of one answer.
START_SECONDS = 60.0
# A child that ends while it loads what another one had loaded is started once more, no oftener.
MOST_FAILED_STARTS = 2
# A larger number of bytes or processes is none that a child could have measured.
MOST_TOLD = 1 << 50


class ServiceSession:
    """The server half of one pipeline for one driver.

    Made in an event loop, which alone may use it; ``close`` may come from any thread.
    """

    def __init__(self, care: ChildCare) -> None:
        """Start a child where there is none yet, which imports while the public material is still
        on its way. Raises RefusedRequest where none can be."""
        self.home = care.home
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.verbs: tuple[str, ...] = ()
        self._peak_bytes = self._processes = 0
        self._child = KeptChild(care)
        self._body_seconds = longest_exchange(care.call_seconds)
        self._loop = asyncio.get_running_loop()
        self._uploads: set[asyncio.Timeout] = set()
        self._closed = False
        self._turn = asyncio.Lock()
        self._taken = False
        self._failed_starts = 0
        # Whether the child may hold what a client sent it; how one ended that did.
        self._holds = False
        self._forgot = ""
        self._child.begin()

    @property
    def public_file(self) -> Path:
        """Where the public material lies."""
        return self.home / "public"

    @property
    def pid(self) -> int:
        """The number of the child's process; 0 where there is none at the moment."""
        return self._child.pid

    @property
    def ended(self) -> EndedChildren:
        """The children that ended."""
        return self._child.ended

    async def give_public(self, body: AsyncIterator[bytes]) -> ChildReply:
        """Take the public material and have it loaded; exactly one request does.

        Raises RefusedRequest; where the child refuses it, another request may try again.
        """
        if self._taken:
            raise RefusedRequest(409, "Conflict", "the public material was already given")
        self._taken = True  # before anything is waited for
        try:
            async with self.receiving():
                await self._keep(body)
            async with self._turn:
                reply = await self._load()
            self.verbs = reply.verbs
            return reply
        finally:
            if not self.verbs:
                self._taken = False
                self.public_file.unlink(missing_ok=True)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Let a body come in: for no longer than its sender would wait for an answer, and not
        beyond the end of the session. Raises RefusedRequest."""
        if self._closed:
            raise session_ended()
        try:
            async with in_time(self._body_seconds) as limit:
                self._uploads.add(limit)
                try:
                    yield
                finally:
                    self._uploads.discard(limit)
        except RefusedRequest:
            if self._closed:
                raise session_ended() from None
            raise

    def require(self, verb: str) -> None:
        """Raise RefusedRequest unless a verb can be called here."""
        if not self.verbs:
            raise RefusedRequest(409, "Conflict", "no public material was given yet")
        if verb not in self.verbs:
            known = list(self.verbs)
            raise RefusedRequest(404, "UnknownVerb", f"verb {verb!r} is not one of {known}")

    async def call(self, verb: str, pieces: list[bytes]) -> ChildReply:
        """Have a verb answered; ``pieces``: framed messages. Raises RefusedRequest."""
        self.require(verb)
        async with self._turn:
            await self._revive(verb)
            self._holds = self._holds or verb != INFER
            header, size = {"order": "call", "verb": verb}, sum(map(len, pieces))
            return await self._child.reply(
                Order(header, pieces, size, "while it answered this message")
            )

    async def set_threads(self, threads: int) -> bool:
        """Have the child compute with so many threads; say whether it is the same child.

        Where it cannot change them, another one is started with them. Raises RefusedRequest.
        """
        async with self._turn:
            await self._notice()
            if threads == self._child.options.threads:
                return True
            if self._holds or self._forgot or not self.verbs:
                raise RefusedRequest(409, "Conflict", "threads are set before anything is sent")
            self._child.options = replace(self._child.options, threads=threads)
            if (await self._told({"order": "threads", "threads": threads})).get("changed") is True:
                return True
            await self._child.let_go()
            await self._load()
            return False

    async def status(self) -> dict[str, Any]:
        """Say how the child is; one that computes is not disturbed."""
        told: Mapping[str, Any] = {}
        if self.verbs and not self._turn.locked():
            async with self._turn:
                await self._notice()
                told = await self._told({"order": "status"})
        self._peak_bytes = max(self._peak_bytes, _whole(told.get("peak_bytes")) or 0)
        self._processes = max(self._processes, _whole(told.get("processes")) or 0)
        return {
            "pid": self.pid,
            "ready": bool(self.verbs),
            "peak_bytes": self._peak_bytes,
            "processes": self._processes or None,
            "batch_limit": _whole(told.get("batch_limit")),
            "replaced": self.ended.count,
            "last_replaced": self.ended.last,
        }

    def close(self) -> None:
        """End the child and remove everything of it; may be called twice, from any thread.

        Bodies that are still coming in are refused. Waits for the end of the child's process.
        """
        self._closed = True
        with suppress(RuntimeError):  # of a loop that has ended nothing comes in any more
            self._loop.call_soon_threadsafe(self._stop_uploads)
        self._child.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _stop_uploads(self) -> None:
        for limit in self._uploads:
            if not limit.expired():
                limit.reschedule(self._loop.time())

    async def _told(self, header: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer to an order without a body; {} where there is none.

        The next call tells of a child that ends at that.
        """
        count = self.ended.count
        try:
            return (await self._child.answer(Order(header))).header if self._child.there else {}
        except RefusedRequest:
            self._lost_unasked(self.ended.count > count)
            return {}

    async def _keep(self, body: AsyncIterator[bytes]) -> None:
        """Write the public material to its file as it comes: it is never whole in memory here."""
        try:
            handle = os.open(self.public_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                async for piece in body:
                    file.write(piece)
        except OSError as error:
            if self._closed:
                raise session_ended() from None
            words = f"the public material cannot be kept: {error.strerror}"
            raise RefusedRequest(507, "OSError", words, "make room for temporary files") from None

    async def _load(self) -> ChildReply:
        """Have the child, a new one where there is none, load the public material."""
        self._child.begin()
        self._holds = False
        size, begun = self.public_file.stat().st_size, time.perf_counter()
        when = "while it loaded the public material"
        pieces = _pieces_of(self.public_file)
        reply = await self._child.reply(
            Order({"order": "load"}, pieces, size, when, more_seconds=START_SECONDS)
        )
        # The rest of its start is part of what loading takes once all has been received.
        return replace(reply, seconds=time.perf_counter() - begun)

    async def _revive(self, verb: str) -> None:
        """Let a new child load the public material where the last one has ended."""
        await self._notice()
        if self._forgot and verb != INFER:
            told, self._forgot = self._forgot, ""
            raise replaced(f"the server was lost, with what it was sent: {told}", "send it again")
        if self._child.there:
            return
        if self._failed_starts >= MOST_FAILED_STARTS:
            words = f"no process of this server could be started again: {self.ended.last}"
            raise RefusedRequest(410, "ServerLost", words, "start another session")
        try:
            await self._load()
        except RefusedRequest:
            self._failed_starts += 1
            await self._child.let_go()
            raise
        self._failed_starts = 0

    async def _notice(self) -> None:
        """See whether the child has ended while nothing was asked of it."""
        self._lost_unasked(await self._child.has_ended())

    def _lost_unasked(self, ended: bool) -> None:
        if ended and self._holds:
            self._forgot, self._holds = self.ended.last, False


def _pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOLD else None

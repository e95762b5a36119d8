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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from he_compare.common.errors import MessageError
from he_compare.common.service.child_process import ChildEndedError, ChildOptions, ChildProcess
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.service.refusals import (
    TIMED_OUT,
    ChildReply,
    RefusedRequest,
    refusal_of,
    replaced,
    reply_of,
)

INFER = "infer"
READ_BYTES = 1 << 20
# What a child may take to start, beside the time of one answer.
START_SECONDS = 60.0
# A child that ends while it loads what another one had loaded is started once more, no oftener.
MOST_FAILED_STARTS = 2
StartChild = Callable[[ChildOptions, Path, int], ChildProcess]


@dataclass
class EndedChildren:
    """Children of a session that ended. ``last``: how the last one did; ``peak_bytes``,
    ``processes``: the most that was known of any child, with the processes that it started."""

    count: int = 0
    last: str = ""
    peak_bytes: int = 0
    processes: int = 0


class ServiceSession:
    """The server half of one pipeline for one driver; all but ``close`` is for one event loop."""

    def __init__(
        self,
        options: ChildOptions,
        home: Path,
        *,
        call_seconds: float,
        max_body: int,
        child: ChildProcess | None = None,
        start: StartChild = ChildProcess,
    ) -> None:
        """``home``: a folder of the front's for this session alone. ``child``: one that was
        started with these options already; without it one is started now, and imports while the
        public material is still on its way. Raises RefusedRequest where none can be."""
        self.options, self.home = options, home
        self.call_seconds = call_seconds
        self.verbs: tuple[str, ...] = ()
        self.ended = EndedChildren()
        self._max_body, self._start = max_body, start
        self._child = child
        self._children = 0
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1)  # waits for the child, and for nothing else
        self._taken = False
        self._closed = False
        self._failed_starts = 0
        # Whether the child may hold what a client sent it; how one ended that did.
        self._holds = False
        self._forgot = ""
        home.mkdir(mode=0o700, exist_ok=True)
        if child is None:
            self._begin()

    @property
    def public_file(self) -> Path:
        """Where the public material lies."""
        return self.home / "public"

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._turn.locked() or (self._taken and not self.verbs)

    @property
    def pid(self) -> int:
        """The number of the child's process; 0 where there is none at the moment."""
        return self._child.pid if self._child else 0

    async def give_public(self, body: AsyncIterator[bytes]) -> ChildReply:
        """Take the public material and have it loaded; exactly one request does.

        Raises RefusedRequest; where the child refuses it, another request may try again.
        """
        if self._taken:
            raise RefusedRequest(409, "Conflict", "the public material was already given")
        self._taken = True  # before anything is waited for
        try:
            await self._keep(body)
            async with self._turn:
                reply = await self._load()
            self.verbs = reply.verbs
            return reply
        finally:
            if not self.verbs:
                self._taken = False
                self.public_file.unlink(missing_ok=True)

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
            order = {"order": "call", "verb": verb}
            size = sum(map(len, pieces))
            return await self._reply(order, pieces, size, "while it answered this message")

    async def status(self) -> dict[str, Any]:
        """Say how the child is; one that computes is not disturbed."""
        told: Mapping[str, Any] = {}
        if self.verbs and not self._turn.locked():
            async with self._turn:
                self._notice()
                told = await self._ask_status()
        ended = self.ended
        ended.peak_bytes = max(ended.peak_bytes, _whole(told.get("peak_bytes")) or 0)
        ended.processes = max(ended.processes, _whole(told.get("processes")) or 0)
        return {
            "pid": self.pid,
            "ready": bool(self.verbs),
            "peak_bytes": ended.peak_bytes,
            "processes": ended.processes or None,
            "batch_limit": _whole(told.get("batch_limit")),
            "replaced": ended.count,
            "last_replaced": ended.last,
        }

    def close(self) -> None:
        """End the child and remove everything of it; may be called twice, from any thread."""
        self._closed = True
        if self._child:
            self._child.close()
        self._thread.shutdown(wait=False)
        shutil.rmtree(self.home, ignore_errors=True)

    async def _ask_status(self) -> Mapping[str, Any]:
        held = self._holds
        try:
            return (await self._answer({"order": "status"}, (), 0, "")).header if self._child else {}
        except RefusedRequest:  # the next call tells of a child that has ended
            self._forgot = self.ended.last if held else ""
            return {}

    async def _keep(self, body: AsyncIterator[bytes]) -> None:
        """Write the public material to its file as it comes: it is never whole in memory here."""
        try:
            handle = os.open(self.public_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                async for piece in body:
                    file.write(piece)
        except OSError as error:
            words = f"the public material cannot be kept: {error.strerror}"
            raise RefusedRequest(507, "OSError", words, "make room for temporary files") from None

    async def _load(self) -> ChildReply:
        """Have the child, a new one where there is none, load the public material."""
        if self._child is None:
            self._begin()
        self._holds = False
        size, begun = self.public_file.stat().st_size, time.perf_counter()
        when = "while it loaded the public material"
        pieces = _pieces_of(self.public_file)
        reply = await self._reply({"order": "load"}, pieces, size, when, START_SECONDS)
        # The rest of its start is part of what loading takes once all has been received.
        return replace(reply, seconds=time.perf_counter() - begun)

    async def _revive(self, verb: str) -> None:
        """Let a new child load the public material where the last one has ended."""
        self._notice()
        if self._forgot and verb != INFER:
            told, self._forgot = self._forgot, ""
            raise replaced(f"the server was lost, with what it was sent: {told}", "send it again")
        if self._child is not None:
            return
        if self._failed_starts >= MOST_FAILED_STARTS:
            words = f"no process of this server could be started again: {self.ended.last}"
            raise RefusedRequest(410, "ServerLost", words, "start another session")
        try:
            await self._load()
        except RefusedRequest:
            self._failed_starts += 1
            self._drop()
            raise
        self._failed_starts = 0

    def _notice(self) -> None:
        """Count a child that ended while nothing was asked of it."""
        if self._child is not None and not self._child.alive:
            held = self._holds
            self._lose(self._child.ending().problem)
            self._forgot = self.ended.last if held else ""

    async def _reply(
        self,
        order: Mapping[str, Any],
        pieces: Iterable[bytes],
        size: int,
        when: str,
        more_seconds: float = 0.0,
    ) -> ChildReply:
        frame = await self._answer(order, pieces, size, when, more_seconds)
        try:
            return reply_of(frame)
        except MessageError as error:
            self._lose(f"it answered what is no answer: {error.problem}")
            raise self._told(when) from None

    async def _answer(
        self,
        order: Mapping[str, Any],
        pieces: Iterable[bytes],
        size: int,
        when: str,
        more_seconds: float = 0.0,
    ) -> PipeFrame:
        """Give the child an order; errors that it tells, and its end, become refusals."""
        child, loop = self._child, asyncio.get_running_loop()
        if child is None or self._closed:
            raise RefusedRequest(410, "SessionEnded", "this session has ended")
        seconds = self.call_seconds + more_seconds
        late = f"no answer within {seconds:g} s"
        timer = loop.call_later(seconds, lambda: child.end(late, late=True))
        try:
            frame = await loop.run_in_executor(self._thread, child.ask, order, pieces, size)
        except ChildEndedError as error:
            self._lose(error.problem)
            raise RefusedRequest(504, TIMED_OUT, late) if error.late else self._told(when) from None
        finally:
            timer.cancel()
        if "error" not in frame.header:
            return frame
        refusal = refusal_of(frame.header["error"])
        if "ends" in frame.header:
            limit = child.memory_words()
            self._lose(f"its memory was too small (limit: {limit}): {refusal.message}")
            raise self._told(when)
        raise refusal

    def _told(self, when: str) -> RefusedRequest:
        return replaced(f"the server was lost {when}: {self.ended.last}")

    def _lose(self, why: str) -> None:
        """Count the child as ended."""
        self._drop()
        self.ended.count += 1
        self.ended.last = " ".join(why.split())
        self._holds, self._forgot = False, ""

    def _begin(self) -> None:
        if self._closed:
            raise RefusedRequest(410, "SessionEnded", "this session has ended")
        self._children += 1
        folder = self.home / f"child-{self._children}"
        try:
            self._child = self._start(self.options, folder, self._max_body)
        except OSError as error:
            words = f"no process could be started: {error.strerror}"
            raise RefusedRequest(503, "OSError", words, "try again later") from None

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None

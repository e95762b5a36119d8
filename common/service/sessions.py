"""The sessions of a front: opened, found by name, and ended by their driver, by silence or at once.

All sessions belong to one driver (``driver_lease``). What a session hears is whole requests: one
that drips in is no word of its driver, and neither is a child that computes.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from he_compare.common import plugins
from he_compare.common.errors import UsageError
from he_compare.common.service.child_process import ChildOptions, ChildProcess
from he_compare.common.service.driver_lease import DriverLease
from he_compare.common.service.kept_child import ChildCare, StartChild
from he_compare.common.service.refusals import RefusedRequest
from he_compare.common.service.service_session import ServiceSession

DEFAULT_CALL_SECONDS = 900.0
DEFAULT_MAX_BODY = 1 << 30


@dataclass(frozen=True)
class FrontLimits:
    """What a front allows. ``memory_bytes``: of each child; see ``ChildOptions``.

    ``call_seconds``: the longest time of one answer; a session may ask for less.
    ``silent_seconds``: how long a driver, and each session, of which nothing is heard stays; None:
    as long as the front. ``most_held``: bytes of all calls together that lie in memory.
    """

    max_body: int = DEFAULT_MAX_BODY
    most_held: int = 2 * DEFAULT_MAX_BODY
    call_seconds: float = DEFAULT_CALL_SECONDS
    memory_bytes: int | None = None
    most_sessions: int = 1
    silent_seconds: float | None = None
    searchable: bool = False


@dataclass(frozen=True)
class SessionRequest:
    """What a driver asks for. ``driver``: how it names itself; ``process``: a word that its process
    chose: another process of the same driver takes over from it. ``call_seconds``: None for the
    front's."""

    pipeline: str
    threads: int
    device: str = "cpu"
    driver: str = ""
    process: str = ""
    call_seconds: float | None = None


_Found = tuple[ServiceSession, SessionRequest] | None


class SessionTable:
    """The open sessions of a front. ``home``: the front's own folder."""

    def __init__(
        self,
        home: Path,
        limits: FrontLimits,
        *,
        told: Callable[[str], None] = lambda line: None,
        start: StartChild = ChildProcess,
    ) -> None:
        """``told``: gets a line whenever a session is opened or ended."""
        self.limits = limits
        self.lease = DriverLease(limits.silent_seconds)
        self._home, self._told, self._start = home, told, start
        self._sessions: dict[str, ServiceSession] = {}
        self._asked: dict[str, SessionRequest] = {}
        self._used: dict[str, float] = {}
        self._ending: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._ready: tuple[ChildOptions, ChildProcess] | None = None
        self._closed = self._watching = False

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def driver(self) -> str:
        """Who is served, as it named itself; '' for nobody."""
        return self.lease.driver

    def pipelines(self) -> list[str]:
        """Return the names of the pipelines that can be asked for."""
        return list(plugins.discover("pipelines"))

    def prepare(self, request: SessionRequest) -> None:
        """Start the child of a session that is about to be asked for. Raises OSError."""
        options = self._options(request)
        home = self._home / "child-0"
        self._ready = options, self._start(options, home, self.limits.max_body)

    def serve_driver(self, driver: str, process: str) -> None:
        """Serve a driver from now on, or go on with it. Raises RefusedRequest."""
        self._require_open()
        if self.lease.take(driver, process):
            for name in list(self._sessions):
                self._end_aside(name, "its driver was started again")
        self._watch_driver()

    async def leave_driver(self, process: str) -> None:
        """Serve a process no longer: its sessions end."""
        if self.lease.leave(process):
            await self.end_here(*self._sessions, why="its driver has ended")

    def open(self, request: SessionRequest) -> str:
        """Open a session and return its name. Raises RefusedRequest."""
        self.serve_driver(request.driver, request.process)
        self._require_room()
        try:
            plugins.find("pipelines", request.pipeline)
        except UsageError as error:
            words = f"{error.problem}: it cannot be served here"
            raise RefusedRequest(404, "UnknownPipeline", words, error.fix) from None
        options, child = self._options(request), None
        if self._ready is not None and self._ready[0] == options:
            child, self._ready = self._ready[1], None
        name = secrets.token_hex(16)
        limits = self.limits
        session = ServiceSession(
            ChildCare(
                options,
                self._home / name,
                call_seconds=min(request.call_seconds or limits.call_seconds, limits.call_seconds),
                max_body=limits.max_body,
                child=child,
                start=self._start,
            )
        )
        with self._lock:
            self._sessions[name], self._asked[name] = session, request
            if self._closed:
                session.close()
        self._told(f"a session of {request.pipeline} begins, for {request.driver or 'a driver'}")
        self._watch(name)
        return name

    def find(self, name: str) -> ServiceSession:
        """Return a session. Raises RefusedRequest."""
        session = self._sessions.get(name)
        if session is None:
            raise RefusedRequest(
                404, "UnknownSession", "there is no such session, or it has ended", "open one"
            )
        return session

    def heard(self, name: str) -> None:
        """Note that a whole request to a session has come: neither it nor its driver is silent."""
        self.lease.heard()
        if name in self._used:
            self._used[name] = time.monotonic()

    def end(self, name: str, why: str) -> None:
        """End a session, whatever it does, and wait until its child has ended."""
        found = self._take_out(name)
        if found is not None:
            self._close(found, why)

    async def end_here(self, *names: str, why: str) -> None:
        """End sessions from the event loop, which goes on meanwhile."""
        for thread in [self._end_aside(name, why) for name in names]:
            await asyncio.to_thread(thread.join)

    def _end_aside(self, name: str, why: str) -> threading.Thread:
        """Take a session out at once, and end it on the thread that is returned."""
        found = self._take_out(name)
        thread = threading.Thread(target=self._close, args=(found, why))
        with self._lock:
            self._ending = {one for one in self._ending if one.is_alive()}
            self._ending.add(thread)
            thread.start()
        return thread

    def _take_out(self, name: str) -> _Found:
        with self._lock:
            session, asked = self._sessions.pop(name, None), self._asked.pop(name, None)
            self._used.pop(name, None)
        return (session, asked) if session is not None and asked is not None else None

    def _close(self, found: _Found, why: str) -> None:
        if found is not None:
            session, asked = found
            session.close()
            replaced = session.ended.count
            ended = f"; its process had to be replaced {replaced}x" if replaced else ""
            self._told(f"a session of {asked.pipeline} ends: {why}{ended}")

    def end_all(self, why: str) -> None:
        """End all sessions and open no more; may be called from any thread."""
        self._closed = True
        if self._ready is not None:
            self._ready[1].close()
        for name in list(self._sessions):
            self.end(name, why)
        with self._lock:
            ending = list(self._ending)
        for thread in ending:
            thread.join()

    def _options(self, request: SessionRequest) -> ChildOptions:
        return ChildOptions(
            request.pipeline,
            request.threads,
            request.device,
            self.limits.searchable,
            self.limits.memory_bytes,
        )

    def _require_open(self) -> None:
        if self._closed:
            raise RefusedRequest(503, "Closing", "this server is being stopped")

    def _require_room(self) -> None:
        if len(self) >= self.limits.most_sessions:
            raise RefusedRequest(
                409,
                "TooManySessions",
                f"{len(self)} sessions are open, as many as there may be",
                "end one of them",
            )

    def _watch(self, name: str) -> None:
        """End a session when it has been silent for too long."""
        allowed = self.limits.silent_seconds
        self._used[name] = time.monotonic()
        if allowed is None:
            return
        loop = asyncio.get_running_loop()

        def look() -> None:
            used = self._used.get(name)
            if used is None:
                return
            left = used + allowed - time.monotonic()
            if left > 0:
                loop.call_later(left, look)
            else:
                self._end_aside(name, f"its driver was silent for {allowed:g} s")

        loop.call_later(allowed, look)

    def _watch_driver(self) -> None:
        """Serve a driver no longer that has been silent for too long."""
        allowed = self.limits.silent_seconds
        if allowed is None or self._watching:
            return
        loop, self._watching = asyncio.get_running_loop(), True

        def look() -> None:
            left = self.lease.silence()
            if left <= 0:
                self.lease.leave(self.lease.process or "")
                for name in list(self._sessions):
                    self._end_aside(name, f"its driver was silent for {allowed:g} s")
            self._watching = self.lease.process is not None
            if self._watching:
                loop.call_later(left, look)

        loop.call_later(allowed, look)

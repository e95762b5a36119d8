"""The sessions of a front: opened, found by name, and ended by their driver, by silence or at once.

All sessions belong to one driver: another one is refused while any is open.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from he_compare.common import plugins
from he_compare.common.errors import UsageError
from he_compare.common.service.child_process import ChildOptions, ChildProcess
from he_compare.common.service.kept_child import StartChild
from he_compare.common.service.refusals import RefusedRequest
from he_compare.common.service.service_session import ServiceSession

DEFAULT_CALL_SECONDS = 900.0
DEFAULT_MAX_BODY = 1 << 30


@dataclass(frozen=True)
class FrontLimits:
    """What a front allows. ``memory_bytes``: of each child; see ``ChildOptions``.

    ``call_seconds``: the longest time of one answer; a session may ask for less.
    ``silent_seconds``: how long a session without any request stays; None: as long as the front.
    """

    max_body: int = DEFAULT_MAX_BODY
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
        self._home, self._told, self._start = home, told, start
        self._sessions: dict[str, ServiceSession] = {}
        self._asked: dict[str, SessionRequest] = {}
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()
        self._ready: tuple[ChildOptions, ChildProcess] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def driver(self) -> str:
        """Who has the sessions that are open, as it named itself; '' for nobody."""
        return next((asked.driver for asked in self._asked.values()), "")

    def pipelines(self) -> list[str]:
        """Return the names of the pipelines that can be asked for."""
        return list(plugins.discover("pipelines"))

    def prepare(self, request: SessionRequest) -> None:
        """Start the child of a session that is about to be asked for. Raises OSError."""
        options = self._options(request)
        home = self._home / "child-0"
        self._ready = options, self._start(options, home, self.limits.max_body)

    def open(self, request: SessionRequest) -> str:
        """Open a session and return its name. Raises RefusedRequest."""
        self._make_room(request)
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
            options,
            self._home / name,
            call_seconds=min(request.call_seconds or limits.call_seconds, limits.call_seconds),
            max_body=limits.max_body,
            child=child,
            start=self._start,
        )
        with self._lock:
            self._sessions[name], self._asked[name] = session, request
            if self._closed:
                session.close()
        self._told(f"a session of {request.pipeline} begins, for {request.driver or 'a driver'}")
        self._watch(name)
        return name

    def find(self, name: str) -> ServiceSession:
        """Return a session, which is not silent then. Raises RefusedRequest."""
        session = self._sessions.get(name)
        if session is None:
            raise RefusedRequest(
                404, "UnknownSession", "there is no such session, or it has ended", "open one"
            )
        self._used[name] = asyncio.get_running_loop().time()
        return session

    def end(self, name: str, why: str) -> None:
        """End a session, whatever it does at the moment."""
        with self._lock:
            session, asked = self._sessions.pop(name, None), self._asked.pop(name, None)
            self._used.pop(name, None)
        if session is not None:
            session.close()
            self._told(f"a session of {asked.pipeline if asked else ''} ends: {why}")

    def end_all(self, why: str) -> None:
        """End all sessions and open no more; may be called from any thread."""
        self._closed = True
        if self._ready is not None:
            self._ready[1].close()
        for name in list(self._sessions):
            self.end(name, why)

    def _options(self, request: SessionRequest) -> ChildOptions:
        return ChildOptions(
            request.pipeline,
            request.threads,
            request.device,
            self.limits.searchable,
            self.limits.memory_bytes,
        )

    def _make_room(self, request: SessionRequest) -> None:
        if self._closed:
            raise RefusedRequest(503, "Closing", "this server is being stopped")
        for name, asked in list(self._asked.items()):
            if asked.driver != request.driver:
                raise RefusedRequest(
                    409,
                    "Busy",
                    f"{asked.driver or 'another driver'} is served at the moment",
                    "wait until its run has ended, or start another host",
                )
            if asked.process != request.process:
                self.end(name, "its driver was started again")
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
        loop = asyncio.get_running_loop()
        self._used[name] = loop.time()
        if allowed is None:
            return

        def look() -> None:
            session = self._sessions.get(name)
            if session is None:
                return
            if session.busy:
                self._used[name] = loop.time()
            left = self._used[name] + allowed - loop.time()
            if left > 0:
                loop.call_later(left, look)
            else:
                self.end(name, f"its driver was silent for {allowed:g} s")

        loop.call_later(allowed, look)

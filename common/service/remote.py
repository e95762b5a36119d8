"""The server half of a pipeline on a host: a session there, over TLS, called like one beside us."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx

from he_compare.common.clock import Clock
from he_compare.common.errors import CompareError, MessageError, ServiceError
from he_compare.common.machine import machine_word
from he_compare.common.service.answer import (
    CONNECT_SECONDS,
    Answer,
    exchange,
    read_held,
    read_seconds,
)
from he_compare.common.service.answer_words import error_kind
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.session_client import SessionClient
from he_compare.common.types import Side, Stage

UNKNOWN_SESSION, ENDED_SESSION = "UnknownSession", "SessionEnded"


class RemoteServer(SessionClient):
    """A pipeline's server half on a host, in a process of its own there.

    The time between sending and having the reply, less what the host held the request for, is
    measured network time, a stage of its own.
    """

    def __init__(
        self,
        host: RemoteHost,
        pipeline: str,
        public_material: bytes,
        clock: Clock,
        *,
        threads: int,
        device: str = "cpu",
    ) -> None:
        """Open a session and send the public material. Raises ServiceError, naming the host.

        The host's software is compared with what it was when the run began: it may have changed.
        """
        super().__init__(host.http, pipeline, call_seconds=host.call_seconds)
        self._host, self._threads = host, threads
        self._open = False
        host.require_unchanged()
        try:
            self.open(threads=threads, device=device, driver=host.driver, process=host.process)
            self._open = True
            host.keep(self)
            self.give_public(public_material, clock)
        except BaseException:
            self.close()
            raise

    @property
    def is_separate(self) -> bool | None:
        """Whether the server half runs in another process: on another machine it always does."""
        if self.pid and self._host.machine != machine_word():
            return True
        return super().is_separate

    def place(self) -> dict[str, Any]:
        """Return what a record says of where the server runs: its host, asked now.

        Raises ServiceError.
        """
        where, facts = self._host.place(self._threads)
        return {"server_on": where, "server_host": facts}

    def set_threads(self, threads: int) -> None:
        """Have the server compute with so many threads. Raises ServiceError."""
        super().set_threads(threads)
        self._threads = threads

    def undisturbed(self) -> contextlib.AbstractContextManager[None]:
        """Have nothing sent to the host beside the calls that are timed in the ``with`` block."""
        return self._host.undisturbed()

    def stay(self) -> None:
        """Tell the host that this side is still there; what goes wrong is told by the next call."""
        if self._open:
            with contextlib.suppress(httpx.HTTPError, OSError, CompareError):
                exchange(self._http, "GET", self._path("status"), seconds=CONNECT_SECONDS)

    def close(self) -> None:
        """End the session, where the host can be reached; may be called twice."""
        self._host.leave(self)
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(httpx.HTTPError, OSError, MessageError, CompareError):
            exchange(self._http, "DELETE", self._path("").rstrip("/"), seconds=CONNECT_SECONDS)

    def _time_transport(self, answer: Answer, elapsed: float, clock: Clock, items: int) -> None:
        """Add the network's time, and what the host took beside the server's work."""
        worked = self._read(answer, read_seconds)
        held = max(self._read(answer, read_held), worked)
        network = max(answer.elapsed - held, 0.0)
        clock.add(Stage.NETWORK, network, side=Side.NETWORK, items=items)
        clock.add(Stage.TRANSPORT, held - worked, side=Side.SERVER, items=items)

    def _refused(self, path: str, answer: Answer) -> ServiceError:
        if error_kind(answer) not in (UNKNOWN_SESSION, ENDED_SESSION):
            return super()._refused(path, answer)
        return ServiceError(
            f"the host {self._host.address.text} has ended the session of {self.pipeline}: it was "
            "started again, or heard nothing from here for too long",
            fix="run the same command again: finished cells are kept",
        )

    def _gone(self, what: str) -> ServiceError:
        short = what.replace(self._path(""), "")
        return self._host.gone(f"the server of {self.pipeline} {short}")

    def _nonsense(self, error: MessageError) -> ServiceError:
        return ServiceError(
            f"the host {self._host.address.text} sent an invalid answer for {self.pipeline}: "
            f"{error.problem}",
            fix="see what runs on the host; the same command redoes the cell",
        )

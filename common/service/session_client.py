"""The driver's end of one session of a front: call it, count the bytes, say what went wrong.

A front of this machine (``process``) and one on another (``remote``) are talked to alike.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from he_compare.common.clock import Clock
from he_compare.common.errors import (
    MessageError,
    ServerReplacedError,
    ServiceError,
    ServiceTimeoutError,
)
from he_compare.common.service.answer import (
    MOST_JSON_BYTES,
    MOST_REPLY_BYTES,
    Answer,
    exchange,
    read_object,
    read_pid,
    read_seconds,
    read_session_id,
    read_status,
    read_timings,
    read_verbs,
)
from he_compare.common.service.answer_words import broken_words, error_kind, error_words
from he_compare.common.service.closed_connections import survive_closed_connections
from he_compare.common.service.framing import join, split
from he_compare.common.service.refusals import REPLACED_KIND, TIMED_OUT_KIND
from he_compare.common.service.slow_requests import longest_exchange
from he_compare.common.types import Message, Per, Side, Stage

JSON, BYTES = "application/json", "application/octet-stream"
Found = TypeVar("Found")


@dataclass
class ByteCount:
    """Bytes of one kind of traffic, headers included; payload is without headers and framing."""

    requests: int = 0
    upload: int = 0
    download: int = 0
    payload_upload: int = 0
    payload_download: int = 0


class SessionClient:
    """One session: what was sent over it by kind of request, and what is known of the other side.

    ``pid``: of the process that the server half lives in, as it says itself; 0 before there is one.
    ``replaced``: how many such processes ended and were replaced, ``last_replaced``: how the last
    one ended. ``peak_bytes``, ``processes``, ``batch_limit``: as ``measure_peak`` last found them.
    """

    def __init__(self, http: httpx.Client, pipeline: str, *, call_seconds: float) -> None:
        """``http``: knows address and token. ``call_seconds``: the longest time of one answer."""
        self.pipeline = pipeline
        self.traffic: dict[str, ByteCount] = collections.defaultdict(ByteCount)
        self.pid = 0
        self.verbs: tuple[str, ...] = ()
        self.replaced, self.last_replaced = 0, ""
        self.peak_bytes: int | None = None
        self.processes: int | None = None
        # How many images its network takes at once since the device's memory was full.
        self.batch_limit: int | None = None
        self._seconds = call_seconds
        self._limit = longest_exchange(call_seconds)
        self._http = http
        self._session = ""

    @property
    def is_separate(self) -> bool | None:
        """Whether the server half runs in another process than this one, as it says itself."""
        return self.pid != os.getpid() if self.pid else None

    def open(self, *, threads: int, device: str, driver: str = "", process: str = "") -> None:
        """Open the session. Raises ServiceError."""
        asked = {
            "pipeline": self.pipeline,
            "threads": threads,
            "device": device,
            "driver": driver,
            "process": process,
            "call_seconds": self._seconds,
        }
        answer = self._send("POST", "/v1/sessions", json.dumps(asked).encode(), "session", JSON)
        self._session = self._read(answer, read_session_id)

    def give_public(self, public_material: bytes, clock: Clock) -> None:
        """Send the public material and have it loaded; both are timed on ``clock``."""
        answer = self._send("PUT", self._path("public"), public_material, "public")
        seconds = self._read(answer, read_seconds)
        self.verbs = self._read(answer, read_verbs)
        self.traffic["public"].payload_upload += len(public_material)
        clock.add(Stage.SERVER_LOAD, seconds, side=Side.SERVER, per=Per.ONCE)
        elapsed = max(answer.elapsed - seconds, 0.0)
        clock.add(Stage.KEY_UPLOAD, elapsed, side=Side.NETWORK, per=Per.ONCE)

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """POST messages to a verb; server-side stages and the transport are added to ``clock``.

        Raises ServiceError when the server refuses, times out or is gone; ServerReplacedError when
        its process ended and another one answers from now on.
        """
        start = time.perf_counter()
        answer = self._send("POST", self._path(f"call/{verb}"), join(messages), verb)
        replies = self._read(answer, lambda one: split(one.body))
        elapsed = time.perf_counter() - start
        if verb == "infer" and len(replies) != len(messages):
            raise ServiceError(
                f"server of {self.pipeline} answered {len(replies)} of {len(messages)} messages"
            )
        count = self.traffic[verb]
        count.payload_upload += sum(map(len, messages))
        count.payload_download += sum(map(len, replies))
        for stage, per, seconds, items in self._read(answer, read_timings):
            clock.add(stage, seconds, side=Side.SERVER, per=per, items=items)
        self._time_transport(answer, elapsed, clock, max(1, len(messages)))
        return replies

    def _time_transport(self, answer: Answer, elapsed: float, clock: Clock, items: int) -> None:
        """Add what a call took beside the server's work; ``elapsed``: with framing of messages."""
        seconds = max(elapsed - self._read(answer, read_seconds), 0.0)
        clock.add(Stage.TRANSPORT, seconds, side=Side.NETWORK, items=items)

    def set_threads(self, threads: int) -> None:
        """Have the server compute with so many threads, as if it had been started with them.

        Its process is changed where that is possible, and replaced by another one where not, which
        counts as no loss. Raises ServiceError.
        """
        told = json.dumps({"threads": threads}).encode()
        self._send("POST", self._path("threads"), told, "threads", JSON)

    def measure_peak(self) -> int | None:
        """Ask for the server's peak memory in bytes; None where it was never told.

        ``batch_limit``, ``processes`` and what is known of lost processes are renewed as well.
        """
        try:
            answer = exchange(self._http, "GET", self._path("status"), seconds=self._seconds)
            status = read_status(answer)
            processes = read_object(answer.body).get("processes")
        except (httpx.HTTPError, MessageError):
            return self.peak_bytes
        self.pid = status.pid or self.pid
        self.peak_bytes = status.peak_bytes or self.peak_bytes
        self.processes = processes if type(processes) is int else self.processes
        self.batch_limit = status.batch_limit
        self._count_replaced(status.replaced)
        self.last_replaced = status.last_replaced or self.last_replaced
        return self.peak_bytes

    def place(self) -> dict[str, Any]:
        """Return what a record says of where the server runs: beside the client."""
        return {"server_on": "same machine"}

    def undisturbed(self) -> contextlib.AbstractContextManager[None]:
        """Have nothing sent beside the calls that are timed in the ``with`` block: nothing is."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Let go of the connection; may be called twice."""
        self._http.close()

    def _path(self, rest: str) -> str:
        return f"/v1/sessions/{self._session}/{rest}"

    def _send(
        self, method: str, path: str, body: bytes, kind: str, content_type: str = BYTES
    ) -> Answer:
        """Send a request and count it. Raises ServiceError on any answer but a good one."""
        survive_closed_connections()
        try:
            answer = exchange(
                self._http,
                *(method, path, body),
                most=MOST_REPLY_BYTES if "/call/" in path else MOST_JSON_BYTES,
                seconds=self._limit,
                kind=content_type,
            )
        except httpx.TimeoutException:
            raise self._late(path) from None
        except httpx.HTTPError as error:
            raise self._gone(f"ended during {path}: {broken_words(error)}") from None
        except MessageError as error:
            raise self._nonsense(error) from None
        count = self.traffic[kind]
        count.requests += 1
        count.upload += answer.upload
        count.download += answer.download
        self._note(answer)
        if answer.status != httpx.codes.OK:
            raise self._refused(path, answer)
        return answer

    def _note(self, answer: Answer) -> None:
        """Keep what an answer tells of the process behind the session, where it does."""
        if "compare-pid" in answer.headers:
            self.pid = self._read(answer, read_pid) or self.pid
        replaced = answer.headers.get("compare-replaced", "")
        if replaced.isascii() and replaced.isdigit() and len(replaced) < 10:
            self._count_replaced(int(replaced))

    def _count_replaced(self, told: int) -> None:
        """Believe a count that grows: no process that was replaced comes back."""
        self.replaced = max(self.replaced, told)

    def _refused(self, path: str, answer: Answer) -> ServiceError:
        kind, words = error_kind(answer), error_words(answer)
        if kind == TIMED_OUT_KIND:
            return self._late(path)
        told = f"server of {self.pipeline} refused {path} ({answer.status}): {words}"
        if kind == REPLACED_KIND:
            self.last_replaced = words
            return ServerReplacedError(told)
        return ServiceError(told)

    def _late(self, path: str) -> ServiceTimeoutError:
        return ServiceTimeoutError(
            f"server of {self.pipeline} did not answer {path} in time",
            fix="raise --call-seconds or lower the batch",
        )

    def _gone(self, what: str) -> ServiceError:
        """Return the error for a server that is not there any more."""
        return ServiceError(f"server of {self.pipeline} {what}")

    def _nonsense(self, error: MessageError) -> ServiceError:
        return ServiceError(f"server of {self.pipeline} sent an invalid answer: {error}")

    def _read(self, answer: Answer, read: Callable[[Answer], Found]) -> Found:
        try:
            return read(answer)
        except MessageError as error:
            raise self._nonsense(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

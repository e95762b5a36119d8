"""The HTTP application of a server process: public material in once, then calls to its verbs.

Routes: ``PUT /v1/public`` (the public material), ``POST /v1/call/{verb}`` (framed messages),
``GET /v1/status``. Every request carries the bearer token that the driver chose. Errors are JSON
``{"error": {"kind", "message"}}``; a malformed message never ends the process. Headers that start
with ``compare-`` carry instrumentation and are left out of the bytes that are counted.
"""

from __future__ import annotations

import hmac
import json
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from he_compare.common.backbones.device import smallest_batch
from he_compare.common.clock import Clock
from he_compare.common.contracts import Server
from he_compare.common.environment import peak_memory_bytes
from he_compare.common.errors import CompareError, MessageError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Side

MAX_TIMING_ENTRIES = 400


class TooLargeError(MessageError):
    """A body exceeds the limit the server was started with."""


class ServiceApplication:
    """State of one server process: one pipeline's server half and the limits around it."""

    def __init__(self, load: Callable[[bytes], Server], *, token: str, max_body_bytes: int) -> None:
        self._load = load
        self._token = token
        self._max_body = max_body_bytes
        self._server: Server | None = None
        self._one_at_a_time = CapacityLimiter(1)

    def asgi(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/public", self._guard(self._put_public), methods=["PUT"]),
                Route("/v1/call/{verb}", self._guard(self._call), methods=["POST"]),
                Route("/v1/status", self._guard(self._status), methods=["GET"]),
            ]
        )

    def _guard(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            sent = request.headers.get("authorization", "")
            if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
                refusal = _error(401, "Unauthorized", "missing or wrong bearer token")
                refusal.headers["connection"] = "close"  # the body of a stranger is not read
                return refusal
            try:
                response: Response = await handler(request)
                return response
            except TooLargeError as error:
                return _error(413, "TooLargeError", str(error))
            except MessageError as error:
                return _error(400, "MessageError", str(error))
            except CompareError as error:
                return _error(422, type(error).__name__, str(error))
            except Exception as error:
                traceback.print_exc()
                return _error(500, type(error).__name__, " ".join(str(error).split())[:500])

        return guarded

    async def _put_public(self, request: Request) -> Response:
        if self._server is not None:
            return _error(409, "Conflict", "the public material was already given")
        body = await self._read(request)
        start = time.perf_counter()
        self._server = await self._compute(lambda: self._load(body))
        return JSONResponse(
            {"verbs": list(self._server.verbs)},
            headers={
                "compare-seconds": f"{time.perf_counter() - start:.9f}",
                "compare-pid": str(os.getpid()),
            },
        )

    async def _call(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        server = self._server
        if server is None:
            return _error(409, "Conflict", "no public material was given yet")
        if verb not in server.verbs:
            return _error(404, "UnknownVerb", f"verb {verb!r} is not one of {list(server.verbs)}")
        body = await self._read(request)
        start = time.perf_counter()
        clock = Clock(Side.SERVER)
        method = getattr(server, verb)
        replies = await self._compute(lambda: join(method(split(body), clock)))
        return Response(
            replies,
            media_type="application/octet-stream",
            headers={
                "compare-seconds": f"{time.perf_counter() - start:.9f}",
                "compare-timings": timings_to_header(clock),
            },
        )

    async def _status(self, request: Request) -> Response:
        return JSONResponse(
            {
                "pid": os.getpid(),
                "ready": self._server is not None,
                "peak_bytes": peak_memory_bytes(),
                "batch_limit": smallest_batch(),
            }
        )

    async def _compute(self, work: Callable[[], Any]) -> Any:
        return await to_thread.run_sync(work, limiter=self._one_at_a_time)

    async def _read(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_body:
            raise TooLargeError(f"body of {declared} bytes exceeds {self._max_body}")
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._max_body:
                raise TooLargeError(f"body exceeds {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status_code=status)


def timings_to_header(clock: Clock) -> str:
    """Serialise a clock's samples; many samples of one stage are summed into one."""
    entries = []
    count = sum(len(values) for values in clock.samples.values())
    for key, values in clock.samples.items():
        stage, _, per = key
        items = clock.items[key]
        if count > MAX_TIMING_ENTRIES:
            values, items = [sum(values)], [sum(items)]
        entries += [
            [stage.value, per.value, round(seconds, 9), n]
            for seconds, n in zip(values, items, strict=True)
        ]
    return json.dumps(entries, separators=(",", ":"))

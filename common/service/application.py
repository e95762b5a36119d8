"""The HTTP application of a front: sessions, public material in once, then calls to verbs.

Routes, all under ``/v1``: ``GET host``; ``POST sessions`` (JSON: pipeline, threads, device, driver,
process, call_seconds); in ``sessions/ID``: ``PUT public`` (the public material), ``POST call/VERB``
(framed messages), ``POST threads`` (JSON: threads), ``GET status``; ``DELETE sessions/ID``. Every
request carries the bearer token that the driver knows. Errors are JSON ``{"error": {"kind",
"message", "fix"}}``. Nothing that is sent is read or computed on in this process: it is kept, or
handed to the session's child. Headers that start with ``compare-`` carry instrumentation and are
left out of the bytes that are counted.
"""

from __future__ import annotations

import hmac
import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from he_compare.common.environment import tool_version
from he_compare.common.service.refusals import ChildReply, RefusedRequest
from he_compare.common.service.service_session import ServiceSession
from he_compare.common.service.sessions import SessionRequest, SessionTable

Handler = Callable[[Request], Awaitable[Response]]
MAX_REQUEST_JSON = 1 << 16
MAX_NAME = 200
MAX_THREADS = 1024
MAX_CALL_SECONDS = 1e9
CLIENT_IS_GONE = 499


class TooLargeError(RefusedRequest):
    """A body exceeds the limit that the front was started with."""

    def __init__(self, message: str) -> None:
        super().__init__(413, "TooLargeError", message)


class ServiceApplication:
    """What a front answers. ``facts``: makes the JSON of ``GET /v1/host``."""

    def __init__(
        self,
        table: SessionTable,
        *,
        token: str,
        facts: Callable[[SessionTable], str] | None = None,
    ) -> None:
        self._table = table
        self._expected = f"Bearer {token}".encode()
        self._facts = facts or plain_facts

    def asgi(self) -> ASGIApp:
        """Return the ASGI application: whoever has not the token learns nothing else of it."""
        session = "/v1/sessions/{session}"
        routes = [
            ("/v1/host", self._host, "GET"),
            ("/v1/sessions", self._open, "POST"),
            (session, self._end, "DELETE"),
            (f"{session}/public", self._put_public, "PUT"),
            (f"{session}/call/{{verb}}", self._call, "POST"),
            (f"{session}/threads", self._threads, "POST"),
            (f"{session}/status", self._status, "GET"),
        ]
        served = Starlette(
            routes=[Route(path, _guarded(one), methods=[verb]) for path, one, verb in routes]
        )

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or self._knows_token(scope):
                await served(scope, receive, send)
                return
            stranger = RefusedRequest(401, "Unauthorized", "missing or wrong bearer token")
            refusal = _error(stranger)
            refusal.headers["connection"] = "close"  # the body of a stranger is not read
            await refusal(scope, receive, send)

        return answer

    def _knows_token(self, scope: Scope) -> bool:
        sent = [text for name, text in scope["headers"] if name == b"authorization"]
        return len(sent) == 1 and hmac.compare_digest(sent[0], self._expected)

    async def _host(self, request: Request) -> Response:
        return Response(self._facts(self._table), media_type="application/json")

    async def _open(self, request: Request) -> Response:
        name = self._table.open(_request_of(await self._read(request, MAX_REQUEST_JSON)))
        return JSONResponse({"session": name})

    async def _end(self, request: Request) -> Response:
        name = request.path_params["session"]
        self._table.find(name)
        self._table.end(name, "its driver ended it")
        return JSONResponse({"session": name})

    async def _put_public(self, request: Request) -> Response:
        session = self._session(request)
        pieces = self._pieces(request, self._table.limits.max_body)
        return await self._told(session, session.give_public(pieces), shows_verbs=True)

    async def _call(self, request: Request) -> Response:
        session, verb = self._session(request), request.path_params["verb"]
        session.require(verb)
        pieces = [one async for one in self._pieces(request, self._table.limits.max_body)]
        start = time.perf_counter()
        response = await self._told(session, session.call(verb, pieces))
        # What is neither on the way here nor on the way back.
        response.headers["compare-held"] = f"{time.perf_counter() - start:.9f}"
        return response

    async def _told(
        self, session: ServiceSession, answer: Awaitable[ChildReply], *, shows_verbs: bool = False
    ) -> Response:
        """Return a child's answer, or why there is none, with what is to be known of the child."""
        response: Response
        try:
            reply = await answer
        except RefusedRequest as error:
            response = _error(error)
        else:
            response = (
                JSONResponse({"verbs": list(reply.verbs)})
                if shows_verbs
                else Response(reply.body, media_type="application/octet-stream")
            )
            response.headers["compare-seconds"] = f"{reply.seconds:.9f}"
            response.headers["compare-timings"] = reply.timings
        response.headers.update(_about_child(session))
        return response

    async def _threads(self, request: Request) -> Response:
        session = self._session(request)
        told = _json_of(await self._read(request, MAX_REQUEST_JSON))
        threads = _threads_of(told)
        kept = await session.set_threads(threads)
        return JSONResponse({"threads": threads, "kept": kept}, headers=_about_child(session))

    async def _status(self, request: Request) -> Response:
        return JSONResponse(await self._session(request).status())

    def _session(self, request: Request) -> ServiceSession:
        return self._table.find(request.path_params["session"])

    async def _read(self, request: Request, most: int) -> bytes:
        return b"".join([piece async for piece in self._pieces(request, most)])

    async def _pieces(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises TooLargeError, before it is read where it says so."""
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared[:20]) > most:
            raise TooLargeError(f"body of {declared[:20]} bytes exceeds {most}")
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise TooLargeError(f"body exceeds {most} bytes")
            if piece:
                yield piece


def _about_child(session: ServiceSession) -> dict[str, str]:
    return {"compare-pid": str(session.pid), "compare-replaced": str(session.ended.count)}


def _guarded(handler: Handler) -> Handler:
    """Return a handler whose errors become answers."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except RefusedRequest as error:
            return _error(error)
        except ClientDisconnect:
            return Response(status_code=CLIENT_IS_GONE)  # nobody reads it
        except Exception as error:
            traceback.print_exc()
            words = " ".join(str(error).split())[:500]
            return _error(RefusedRequest(500, type(error).__name__, words))

    return guarded


def plain_facts(table: SessionTable) -> str:
    """Return what a front on this machine says of itself, as JSON."""
    return json.dumps(
        {
            "version": tool_version(),
            "pipelines": table.pipelines(),
            "time": time.time(),
            "sessions": len(table),
            "driver": table.driver,
        }
    )


def _error(error: RefusedRequest) -> JSONResponse:
    told = {"kind": error.kind, "message": error.message}
    if error.fix:
        told["fix"] = error.fix
    return JSONResponse({"error": told}, status_code=error.status)


def _request_of(body: bytes) -> SessionRequest:
    """Read what a driver asks for. Raises RefusedRequest naming what is wrong."""
    told = _json_of(body)
    known = {"pipeline", "threads", "device", "driver", "process", "call_seconds"}
    if unknown := sorted(set(told) - known):
        raise _malformed(f"unknown field {unknown[0][:MAX_NAME]!r}")
    texts = {"pipeline": "", "device": "cpu", "driver": "", "process": ""}
    for name in texts:
        value = told.get(name, texts[name])
        if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
            raise _malformed(f"{name} is no text of at most {MAX_NAME} characters")
        texts[name] = value
    threads, seconds = _threads_of(told), told.get("call_seconds")
    if seconds is not None and not (
        type(seconds) in (int, float) and 0 < seconds <= MAX_CALL_SECONDS
    ):
        raise _malformed(f"call_seconds is no number above 0 and up to {MAX_CALL_SECONDS:g}")
    return SessionRequest(
        texts["pipeline"],
        threads,
        texts["device"],
        texts["driver"],
        texts["process"],
        None if seconds is None else float(seconds),
    )


def _json_of(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("the request is no JSON") from None
    if not isinstance(told, dict):
        raise _malformed("the request is no JSON object")
    return told


def _threads_of(told: dict[str, Any]) -> int:
    threads = told.get("threads")
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        raise _malformed(f"threads is no whole number from 1 to {MAX_THREADS}")
    return threads


def _malformed(message: str) -> RefusedRequest:
    return RefusedRequest(400, "MessageError", message)

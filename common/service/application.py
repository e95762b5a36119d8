"""The HTTP application of a front: sessions, public material in once, then calls to verbs.

Routes, all under ``/v1``: ``GET host``; ``POST driver`` (JSON: driver, process) and ``DELETE
driver/PROCESS``; ``POST sessions`` (JSON: pipeline, threads, device, driver, process,
call_seconds); in ``sessions/ID``: ``PUT public`` (the public material), ``POST call/VERB`` (framed
messages), ``POST threads`` (JSON: threads), ``GET status``; ``DELETE sessions/ID``. Every request
carries the bearer token that the driver knows; the header ``compare-process`` says which driver
sent it. Errors are JSON ``{"error": {"kind", "message", "fix"}}``. Nothing that is sent is read or
computed on in this process: it is kept, or handed to the session's child. Headers that start with
``compare-`` carry instrumentation and are left out of the bytes that are counted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from he_compare.common.environment import tool_version
from he_compare.common.service.bodies import HeldBytes, HeldResponse, HeldShare, pieces_of
from he_compare.common.service.doorway import VISIT
from he_compare.common.service.driver_lease import PROCESS_HEADER
from he_compare.common.service.refusals import ChildReply, RefusedRequest
from he_compare.common.service.service_session import ServiceSession
from he_compare.common.service.session_requests import (
    MAX_REQUEST_JSON,
    driver_asked,
    is_name,
    session_asked,
    threads_asked,
)
from he_compare.common.service.sessions import SessionTable
from he_compare.common.service.slow_requests import REQUEST_SECONDS, in_time
from he_compare.common.visible_text import visible

Handler = Callable[[Request], Awaitable[Response]]
CLIENT_IS_GONE = 499


class ServiceApplication:
    """What a front answers. ``facts``: makes the JSON of ``GET /v1/host``.

    ``changed``: says, in words, what of the software here is not what it was when the front was
    started; '' for nothing. It is asked on a thread of its own at the opening of each session.
    ``refused``: gets the address of whoever is not served, and why.
    """

    def __init__(
        self,
        table: SessionTable,
        *,
        token: str,
        facts: Callable[[SessionTable], str] | None = None,
        changed: Callable[[], str] | None = None,
        refused: Callable[[str, RefusedRequest], None] = lambda origin, error: None,
    ) -> None:
        self._table, self._refused = table, refused
        self._expected = f"Bearer {token}".encode()
        self._facts = facts or plain_facts
        self._changed = changed
        self._held = HeldBytes(table.limits.most_held)

    def asgi(self) -> ASGIApp:
        """Return the ASGI application: whoever has not the token learns nothing else of it."""
        session = "/v1/sessions/{session}"
        routes = [
            ("/v1/host", self._host, "GET"),
            ("/v1/driver", self._begin_driver, "POST"),
            ("/v1/driver/{process}", self._end_driver, "DELETE"),
            ("/v1/sessions", self._open, "POST"),
            (session, self._end, "DELETE"),
            (f"{session}/public", self._put_public, "PUT"),
            (f"{session}/call/{{verb}}", self._call, "POST"),
            (f"{session}/threads", self._threads, "POST"),
            (f"{session}/status", self._status, "GET"),
        ]
        served = Starlette(
            routes=[
                Route(path, _guarded(self._telling(one)), methods=[verb])
                for path, one, verb in routes
            ]
        )

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or self._knows_token(scope):
                self._welcome(scope)
                await served(scope, receive, send)
                return
            stranger = RefusedRequest(401, "Unauthorized", "missing or wrong bearer token")
            self._refused(_origin(scope), stranger)
            refusal = _error(stranger)
            refusal.headers["connection"] = "close"  # the body of a stranger is not read
            await refusal(scope, receive, send)

        return answer

    def _knows_token(self, scope: Scope) -> bool:
        sent = [text for name, text in scope["headers"] if name == b"authorization"]
        return len(sent) == 1 and hmac.compare_digest(sent[0], self._expected)

    def _welcome(self, scope: Scope) -> None:
        """Note whose connection a request came over: no stranger can take its place then."""
        visit = scope.get("state", {}).get(VISIT)
        if visit is None:
            return
        visit.shown()
        named = [text for name, text in scope["headers"] if name == PROCESS_HEADER.encode()]
        process = named[0].decode("latin-1") if len(named) == 1 else ""
        if is_name(process):
            self._table.lease.meet(process, visit)

    def _telling(self, handler: Handler) -> Handler:
        """Return a handler of which it is told whom it refuses."""

        async def telling(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusedRequest as error:
                self._refused(_origin(request.scope), error)
                raise

        return telling

    async def _host(self, request: Request) -> Response:
        return Response(self._facts(self._table), media_type="application/json")

    async def _begin_driver(self, request: Request) -> Response:
        driver, process = driver_asked(await self._read(request, MAX_REQUEST_JSON))
        self._table.serve_driver(driver, process)
        return JSONResponse({"driver": driver})

    async def _end_driver(self, request: Request) -> Response:
        await self._table.leave_driver(request.path_params["process"])
        return JSONResponse({})

    async def _open(self, request: Request) -> Response:
        asked = session_asked(await self._read(request, MAX_REQUEST_JSON))
        if self._changed is not None and (what := await asyncio.to_thread(self._changed)):
            raise RefusedRequest(
                409,
                "SoftwareChanged",
                f"the software of this host was changed while it ran: {what}",
                "start the host again",
            )
        return JSONResponse({"session": self._table.open(asked)})

    async def _end(self, request: Request) -> Response:
        name = request.path_params["session"]
        self._table.find(name)
        await self._table.end_here(name, why="its driver ended it")
        return JSONResponse({"session": name})

    async def _put_public(self, request: Request) -> Response:
        session = self._session(request)
        return await self._told(session, session.give_public(self._received(request)))

    async def _call(self, request: Request) -> Response:
        session, verb = self._session(request), request.path_params["verb"]
        session.require(verb)
        share = self._held.share()
        try:
            async with session.receiving():
                pieces = [one async for one in self._received(request, share)]
            start = time.perf_counter()
            response = await self._told(session, session.call(verb, pieces), share=share)
        except BaseException:
            share.close()
            raise
        # What is neither on the way here nor on the way back.
        response.headers["compare-held"] = f"{time.perf_counter() - start:.9f}"
        return response

    async def _told(
        self,
        session: ServiceSession,
        answer: Awaitable[ChildReply],
        *,
        share: HeldShare | None = None,
    ) -> Response:
        """Return a child's answer, or why there is none, with what is to be known of the child.

        ``share``: of memory, for the body of an answer; without it the answer is of verbs.
        """
        response: Response
        try:
            reply = await answer
            if share is not None:
                share.hold(len(reply.body))
        except RefusedRequest as error:
            response = _error(error)
            if share is not None:
                share.close()
        else:
            response = (
                JSONResponse({"verbs": list(reply.verbs)})
                if share is None
                else HeldResponse(reply.body, share, media_type="application/octet-stream")
            )
            response.headers["compare-seconds"] = f"{reply.seconds:.9f}"
            response.headers["compare-timings"] = reply.timings
        response.headers.update(_about_child(session))
        return response

    async def _threads(self, request: Request) -> Response:
        session = self._session(request)
        threads = threads_asked(await self._read(request, MAX_REQUEST_JSON))
        self._table.heard(request.path_params["session"])
        kept = await session.set_threads(threads)
        return JSONResponse({"threads": threads, "kept": kept}, headers=_about_child(session))

    async def _status(self, request: Request) -> Response:
        session = self._session(request)
        self._table.heard(request.path_params["session"])
        return JSONResponse(await session.status())

    def _session(self, request: Request) -> ServiceSession:
        return self._table.find(request.path_params["session"])

    async def _read(self, request: Request, most: int) -> bytes:
        async with in_time(REQUEST_SECONDS):
            return b"".join([piece async for piece in pieces_of(request, most)])

    async def _received(
        self, request: Request, share: HeldShare | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the body of a request to a session, which has been heard of once all is there."""
        async for piece in pieces_of(request, self._table.limits.max_body, share):
            yield piece
        self._table.heard(request.path_params["session"])


def _origin(scope: Scope) -> str:
    """Return the address that a request came from; '' where the server does not say."""
    client = scope.get("client")
    return str(client[0]) if client else ""


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
    """Return an error as JSON: whatever is in its words, a line of them can be sent and printed."""
    told = {"kind": visible(error.kind), "message": visible(error.message)}
    if error.fix:
        told["fix"] = visible(error.fix)
    return JSONResponse({"error": told}, status_code=error.status)

"""What a server answers, read as hostile: limits on bytes and time first, then every value.

The other end may be another machine, which may be broken or lie. Whatever it sends that is no
answer is a ``MessageError`` that says what was wrong. A figure that it measured itself is believed
as far as the clock of this side allows it.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import httpx

from he_compare.common.errors import MessageError
from he_compare.common.service.deadlines import until
from he_compare.common.types import Per, Stage
from he_compare.common.visible_text import visible

CONNECT_SECONDS = 10.0
MOST_REPLY_BYTES = 1 << 30
MOST_JSON_BYTES = 1 << 20
MOST_ERROR_BYTES = 1 << 16
MOST_TIMINGS, MOST_ITEMS = 2_000, 10**9
# Stages that the driver times itself.
OF_THE_DRIVER = frozenset(
    {Stage.TOTAL, Stage.TRANSPORT, Stage.NETWORK, Stage.KEY_UPLOAD, Stage.SERVER_LOAD}
)
MOST_VERBS, MOST_VERB_CHARACTERS = 64, 64
MOST_LINE = 300
MOST_PEAK_BYTES = 1 << 50
INSTRUMENTATION_PREFIX = b"compare-"
# Two clocks that count seconds do not agree to the last digit, nor do sums of rounded numbers.
CLOCK_TOLERANCE, CLOCK_GRACE = 0.01, 0.01
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VERB = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Answer:
    """One answer, whole. ``upload``, ``download``: bytes on the wire, instrumentation left out.

    ``elapsed``: seconds from the first byte that was sent to the last one that came.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    upload: int
    download: int
    elapsed: float


@dataclass(frozen=True)
class ServerStatus:
    """What a server says of its process. ``replaced``: how often a message ended it."""

    pid: int
    ready: bool
    peak_bytes: int
    batch_limit: int | None = None
    replaced: int = 0
    last_replaced: str = ""


def exchange(
    http: httpx.Client,
    method: str,
    path: str,
    content: bytes = b"",
    *,
    most: int = MOST_JSON_BYTES,
    seconds: float | None = None,
    kind: str = "application/octet-stream",
) -> Answer:
    """Send a request and read its answer: at most ``most`` bytes, within ``seconds`` in all.

    Raises MessageError on an answer that is too large, is compressed, or sends elsewhere, and what
    httpx raises where none comes.
    """
    headers = {"content-type": kind, "accept-encoding": "identity"}
    own: dict[str, Any] = {}
    if seconds is not None:
        own["timeout"] = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    request = http.build_request(method, path, content=content, headers=headers, **own)
    start = time.perf_counter()
    end = None if seconds is None else start + seconds
    with until(end):
        response = http.send(request, stream=True, follow_redirects=False)
        try:
            _require_plain(response)
            ok = response.status_code == httpx.codes.OK
            body = _read_body(response, most if ok else min(most, MOST_ERROR_BYTES), end)
        finally:
            response.close()
            # It and its stream hold each other, and with them the whole request: until Python
            # looks for such circles, which may be never in a process with large libraries.
            response.stream = httpx.ByteStream(b"")
    elapsed = time.perf_counter() - start
    return Answer(
        status=response.status_code,
        headers=response.headers,
        body=body,
        upload=_request_bytes(request, content),
        download=_response_bytes(response, body),
        elapsed=elapsed,
    )


def _require_plain(response: httpx.Response) -> None:
    if response.is_redirect or 300 <= response.status_code < 400:
        raise MessageError(f"it sends to another address (status {response.status_code})")
    coding = response.headers.get("content-encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise MessageError(f"its answer has the encoding {one_line(coding)!r}, not asked for")


def _read_body(response: httpx.Response, most: int, end: float | None) -> bytes:
    declared = response.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 15 or int(declared) > most):
        raise MessageError(f"it announces {one_line(declared)} bytes, more than {most}")
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > most:
            raise MessageError(f"its answer has more than {most} bytes")
        if end is not None and time.perf_counter() > end:
            raise httpx.ReadTimeout("the answer came too slowly", request=response.request)
        chunks.append(chunk)
    return b"".join(chunks)


def _request_bytes(request: httpx.Request, content: bytes) -> int:
    line = len(request.method) + len(request.url.raw_path) + len("  HTTP/1.1\r\n")
    return line + _header_bytes(request.headers.raw) + len(content)


def _response_bytes(response: httpx.Response, body: bytes) -> int:
    line = len("HTTP/1.1 200 \r\n") + len(response.reason_phrase)
    return line + _header_bytes(response.headers.raw) + len(body)


def _header_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    counted = [
        (name, value)
        for name, value in headers
        if not name.lower().startswith(INSTRUMENTATION_PREFIX)
    ]
    return sum(len(name) + len(value) + 4 for name, value in counted) + 2


def read_seconds(answer: Answer) -> float:
    """Return the seconds that the server says it worked: no more than the whole exchange took."""
    return _seconds(answer, "compare-seconds")


def read_held(answer: Answer) -> float:
    """Return the seconds that a front had the whole request before it had the whole answer."""
    return _seconds(answer, "compare-held")


def _seconds(answer: Answer, header: str) -> float:
    text = answer.headers.get(header, "")
    try:
        seconds = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise MessageError(f"it says that it worked {one_line(text)!r} seconds")
    return _within(seconds, answer, "it says that it worked")


def read_pid(answer: Answer) -> int:
    """Return the number of the server's process."""
    text = answer.headers.get("compare-pid", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise MessageError(f"it gives {one_line(text)!r} as the number of its process")
    return int(text)


def read_timings(answer: Answer) -> list[tuple[Stage, Per, float, int]]:
    """Return the stages that the server timed: stage, what a sample is, seconds and images.

    Stages do not nest, so all of them together took no longer than the exchange.
    """
    entries = _json(answer.headers.get("compare-timings", "").encode(), "its timings")
    if not isinstance(entries, list) or len(entries) > MOST_TIMINGS:
        raise MessageError(f"its timings are no list of at most {MOST_TIMINGS} entries")
    found = [_timing(one, answer) for one in entries]
    _within(sum(seconds for _, _, seconds, _ in found), answer, "it says that its stages took")
    return found


def _timing(entry: object, answer: Answer) -> tuple[Stage, Per, float, int]:
    if not isinstance(entry, list) or len(entry) != 4:
        raise MessageError(
            f"its timings hold {one_line(entry)}, not stage, unit, seconds and images"
        )
    stage, per, seconds, items = entry
    try:
        stage, per = Stage(stage), Per(per)
    except ValueError:
        raise MessageError(f"its timings name {one_line([stage, per])}") from None
    if stage in OF_THE_DRIVER:
        raise MessageError(f"its timings name {stage}, which a server cannot time")
    if not _is_number(seconds) or seconds < 0:
        raise MessageError(f"its timings hold {one_line(seconds)} seconds")
    if not _is_count(items, MOST_ITEMS) or items < 1:
        raise MessageError(f"its timings hold {one_line(items)} images")
    return stage, per, _within(float(seconds), answer, f"it says that {stage} took"), items


def _within(seconds: float, answer: Answer, words: str) -> float:
    if seconds > answer.elapsed * (1 + CLOCK_TOLERANCE) + CLOCK_GRACE:
        raise MessageError(
            f"{words} {seconds:.6g} s, in a call that took {answer.elapsed:.6g} s in all"
        )
    return min(seconds, answer.elapsed)


def read_verbs(answer: Answer) -> tuple[str, ...]:
    """Return what can be called on the server."""
    verbs = read_object(answer.body).get("verbs")
    if not isinstance(verbs, list) or not 0 < len(verbs) <= MOST_VERBS:
        raise MessageError(f"its verbs are {one_line(verbs)}")
    for one in verbs:
        if not isinstance(one, str) or len(one) > MOST_VERB_CHARACTERS or not _VERB.fullmatch(one):
            raise MessageError(f"one of its verbs is {one_line(one)}")
    return tuple(verbs)


def read_session_id(answer: Answer) -> str:
    """Return the name of a session that was opened: letters, digits, - and _, for a path."""
    name = read_object(answer.body).get("session")
    if not isinstance(name, str) or not _SESSION.fullmatch(name):
        raise MessageError(f"it names the session {one_line(name)}")
    return name


def read_status(answer: Answer) -> ServerStatus:
    """Return what a server says of its process."""
    told = read_object(answer.body)
    if not _is_count(told.get("processes", 0) or 0, MOST_ITEMS):
        raise MessageError(f"its status is of {one_line(told.get('processes'))} processes")
    pid, ready, peak = told.get("pid"), told.get("ready"), told.get("peak_bytes")
    limit, replaced, reason = (
        told.get("batch_limit"),
        told.get("replaced", 0),
        told.get("last_replaced", ""),
    )
    if not _is_count(pid, 2**31) or not isinstance(ready, bool):
        raise MessageError(f"its status is of process {one_line(pid)}, ready {one_line(ready)}")
    if not _is_count(peak, MOST_PEAK_BYTES) or not _is_count(replaced, MOST_ITEMS):
        raise MessageError(
            f"its status has a peak of {one_line(peak)} bytes, and {one_line(replaced)} processes "
            "that were replaced"
        )
    if limit is not None and not _is_count(limit, MOST_ITEMS):
        raise MessageError(f"its status has a batch limit of {one_line(limit)}")
    if not isinstance(reason, str):
        raise MessageError(f"its status has the reason {one_line(reason)}")
    return ServerStatus(pid, ready, peak, limit, replaced, one_line(reason))


def read_object(body: bytes) -> Mapping[str, Any]:
    """Parse a JSON object. Raises MessageError."""
    found = _json(body, "its answer")
    if not isinstance(found, dict):
        raise MessageError(f"its answer is no JSON object but {one_line(found)}")
    return found


def _json(body: bytes, what: str) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MessageError(
            f"{what} {one_line(body[:80].decode(errors='replace'))!r} is no JSON"
        ) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def one_line(value: object) -> str:
    """Spell a value of the other side on one line: no more than a line, nothing unseen."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = " ".join(visible(text[: 4 * MOST_LINE]).split())
    return text if len(text) <= MOST_LINE else text[: MOST_LINE - 3] + "..."

"""What a refusal of a front, or a connection that broke, is told as: plain words on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from he_compare.common.errors import MessageError
from he_compare.common.service.answer import MOST_LINE, Answer, one_line, read_object

OTHERWISE = "the connection failed"
# The first that holds is said.
_BROKEN: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "no connection came about in time"),
    (httpx.TimeoutException, "nothing came in time"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.WriteError, "the connection ended while something was sent"),
    (httpx.ReadError, "the connection ended before an answer came"),
    (httpx.RemoteProtocolError, "the connection ended before an answer came, or it was no HTTP"),
    (httpx.LocalProtocolError, "the request could not be written"),
)


def error_kind(answer: Answer) -> str:
    """Return of which kind a refusal is, as the front names it; '' where it does not."""
    kind = _error_of(answer).get("kind")
    return one_line(kind) if isinstance(kind, str) else ""


def error_words(answer: Answer) -> str:
    """Return what a refusal says, on one line that can be printed, at most 300 characters.

    An error that none of this project's code foresaw (status 500) has its kind in front.
    """
    error = _error_of(answer)
    message, kind, fix = (error.get(name) for name in ("message", "kind", "fix"))
    if not isinstance(message, str):
        return one_line(answer.body[:MOST_LINE].decode(errors="replace")) or "without a reason"
    if answer.status == httpx.codes.INTERNAL_SERVER_ERROR and isinstance(kind, str):
        message = f"{kind}: {message}"
    return one_line(f"{message} ({fix})" if isinstance(fix, str) and fix else message)


def _error_of(answer: Answer) -> Mapping[str, Any]:
    try:
        error = read_object(answer.body).get("error")
    except MessageError:
        error = None
    return error if isinstance(error, dict) else {}


def broken_words(error: BaseException) -> str:
    """Say what became of a connection, in words and without the names of Python's errors."""
    words = next((words for kind, words in _BROKEN if isinstance(error, kind)), OTHERWISE)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return one_line(f"{words}: {cause.strerror.lower()}")
        cause = cause.__cause__ or cause.__context__
    return words

"""What a driver asks a front for in JSON, read as hostile: who it is, a session, threads."""

from __future__ import annotations

from typing import Any

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import strict_json
from he_compare.common.service.refusals import RefusedRequest
from he_compare.common.service.sessions import SessionRequest

MAX_REQUEST_JSON = 1 << 16
MAX_NAME = 200
MAX_THREADS = 1024
MAX_CALL_SECONDS = 1e9


def session_asked(body: bytes) -> SessionRequest:
    """Read which session a driver asks for. Raises RefusedRequest naming what is wrong."""
    told = _json_of(body)
    _require_known(told, {"pipeline", "threads", "device", "driver", "process", "call_seconds"})
    seconds = told.get("call_seconds")
    if seconds is not None and not (
        type(seconds) in (int, float) and 0 < seconds <= MAX_CALL_SECONDS
    ):
        raise _malformed(f"call_seconds is no number above 0 and up to {MAX_CALL_SECONDS:g}")
    return SessionRequest(
        _name_of(told, "pipeline"),
        _threads_of(told),
        _name_of(told, "device", "cpu"),
        _name_of(told, "driver"),
        _name_of(told, "process"),
        None if seconds is None else float(seconds),
    )


def driver_asked(body: bytes) -> tuple[str, str]:
    """Read which driver wants to be served: its name, and the word of its process.

    Raises RefusedRequest.
    """
    told = _json_of(body)
    _require_known(told, {"driver", "process"})
    return _name_of(told, "driver"), _name_of(told, "process")


def threads_asked(body: bytes) -> int:
    """Read how many threads are asked for. Raises RefusedRequest."""
    return _threads_of(_json_of(body))


def is_name(text: object) -> bool:
    """Say whether a value is a text that can be printed on a line."""
    return isinstance(text, str) and len(text) <= MAX_NAME and text.isprintable()


def _name_of(told: dict[str, Any], field: str, otherwise: str = "") -> str:
    value = told.get(field, otherwise)
    if not is_name(value):
        raise _malformed(f"{field} is no text of at most {MAX_NAME} characters")
    return str(value)


def _require_known(told: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(told) - known):
        raise _malformed(f"unknown field {unknown[0][:MAX_NAME]!r}")


def _json_of(body: bytes) -> dict[str, Any]:
    try:
        told = strict_json(body, "the request")
    except MessageError as error:
        raise _malformed(error.problem) from None
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

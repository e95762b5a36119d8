"""Requests that a front answers with an error, and what a child says that is passed on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from he_compare.common.errors import MessageError
from he_compare.common.service.pipe import PipeFrame
from he_compare.common.visible_text import visible

REPLACED_KIND = "ServerReplacedError"
TIMED_OUT_KIND = "ServiceTimeoutError"
# Longer than any clock's entries; a header must not be.
MAX_TIMINGS_TEXT = 1 << 15
MAX_ERROR_TEXT = 2000
MAX_VERB = 200


class RefusedRequest(Exception):
    """A request that is answered with an error: HTTP status, kind, message and what helps."""

    def __init__(self, status: int, kind: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.fix = status, kind, message, fix


@dataclass(frozen=True)
class ChildReply:
    """What a child answered, checked: a hostile message may have made the child hostile.

    ``timings``: its clock as JSON.
    """

    seconds: float
    timings: str
    verbs: tuple[str, ...]
    body: bytes


def reply_of(frame: PipeFrame) -> ChildReply:
    """Read a child's answer. Raises MessageError."""
    told = frame.header
    seconds, verbs, timings = told.get("seconds"), told.get("verbs", []), told.get("timings", [])
    if not isinstance(seconds, float) or not math.isfinite(seconds) or seconds < 0:
        raise MessageError("no seconds in an answer")
    if not isinstance(verbs, list) or not all(map(_is_verb, verbs)):
        raise MessageError("verbs are no list of names")
    text = json.dumps(timings, separators=(",", ":"))
    if not isinstance(timings, list) or len(text) > MAX_TIMINGS_TEXT:
        raise MessageError("timings are no list, or too long a one")
    return ChildReply(seconds, text, tuple(verbs), frame.body)


def refusal_of(error: Any) -> RefusedRequest:
    """Return a child's error as the front's answer; the child may say anything."""
    told: Mapping[str, Any] = error if isinstance(error, dict) else {}
    status = told.get("status")
    status = status if isinstance(status, int) and 400 <= status < 600 else 500
    kind, message = (visible(_text(told.get(name))) for name in ("kind", "message"))
    return RefusedRequest(status, kind or "Error", message)


def _is_verb(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_VERB and value.isidentifier()


def _text(value: Any) -> str:
    return value[:MAX_ERROR_TEXT] if isinstance(value, str) else ""


def replaced(message: str, fix: str = "") -> RefusedRequest:
    """Return what a client is told whose server's process ended."""
    return RefusedRequest(422, REPLACED_KIND, f"{message}; another process takes its place", fix)

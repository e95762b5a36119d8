"""What is wrong with a value of a pydantic model, in one line, and which values are allowed."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo


def allowed_values(field: FieldInfo) -> str:
    """Say which values a field takes, for instance "16 to 1024"; empty where it does not bound."""
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(str(one) for one in get_args(field.annotation) if one)
    bounds = {
        kind: _number(getattr(one, kind))
        for one in field.metadata
        for kind in ("ge", "gt", "le", "lt")
        if hasattr(one, kind)
    }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return ", ".join(f"{words[kind]} {bound}" for kind, bound in bounds.items())


def _number(value: Any) -> str:
    """Spell a bound; the large powers of two by their exponent."""
    large = isinstance(value, int) and value >= 2**31 and value & (value - 1) == 0
    return f"2^{value.bit_length() - 1}" if large else str(value)


def describe_validation(error: ValidationError, what: str) -> str:
    """Turn a validation error into one line: which value, what is wrong with it."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    if not name:  # values that do not fit together
        return f"{what} {message}"
    shown = repr(first.get("input"))
    return f"{what} {name}={shown if len(shown) < 80 else '...'}: {message}"


def fix_of(error: ValidationError, model: type[BaseModel]) -> str:
    """Name the values that the first field that did not validate would take."""
    place = error.errors(include_url=False)[0]["loc"]
    field = model.model_fields.get(str(place[0])) if place else None
    allowed = allowed_values(field) if field else ""
    return f"allowed: {allowed}" if allowed else ""

"""Values of parameters, settings and facts as people read them."""

from __future__ import annotations

from typing import Any

NOT_SET = "not set"


def plain_value(value: Any) -> str:
    """Spell a value for people: no JSON; lists and tables as lists of their parts."""
    if value is None or value == "":
        return NOT_SET
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(one) for one in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name} {plain_value(one)}" for name, one in value.items()) or "none"
    return str(value)

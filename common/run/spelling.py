"""Numbers as a reader sees them: three significant digits, one unit, the interval beside them."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

from he_compare.common.run.records import Interval

MISSING = "—"
MINUS = "\u2212"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits and thousands separators, no exponent."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    if decimals > 9:
        return f"{value:.1e}".replace("-", MINUS)
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def fixed(value: float, decimals: int = 3, *, signed: bool = False) -> str:
    """Format a number with a fixed count of decimals; ``signed`` also shows a plus."""
    if not math.isfinite(value):
        return significant(value)
    rounded = round(value, decimals) + 0.0
    text = f"{rounded:+.{decimals}f}" if signed and rounded else f"{rounded:.{decimals}f}"
    return text.replace("-", MINUS)


def percentage(share: float) -> str:
    """Format a share in per cent, rounded: one decimal, below 1% two digits.

    Only nothing is 0% and only all of it is 100%: what rounds to either is told as below or above.
    """
    if not math.isfinite(share) or share < 0:
        return f"{fixed(100 * share, 1)}%"
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share < 0.0001:
        return "below 0.01%"
    if share < 0.01:
        return f"{significant(100 * share, 2)}%"
    return "above 99.9%" if round(100 * share, 1) >= 100 and share < 1 else f"{100 * share:.1f}%"


def milliseconds(seconds: float) -> str:
    """Format a duration in milliseconds, without the unit."""
    return significant(seconds * 1e3)


def duration(seconds: float) -> str:
    """Format a duration with the unit that fits its size."""
    if seconds < 1e-3:
        return f"{significant(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{significant(seconds * 1e3)} ms"
    if seconds < 600:
        return f"{significant(seconds)} s"
    return f"{significant(seconds / 60)} min"


def kilobytes(count: float) -> str:
    """Format a count of bytes in kB (1,000 bytes), without the unit."""
    return significant(count / 1e3)


def megabytes(count: float) -> str:
    """Format a count of bytes in MB (1,000,000 bytes), without the unit."""
    return significant(count / 1e6)


def size(count: float) -> str:
    """Format a count of bytes with the unit that fits its size."""
    for limit, divisor, unit in ((1e3, 1.0, "bytes"), (1e6, 1e3, "kB"), (1e9, 1e6, "MB")):
        if count < limit:
            return f"{significant(count / divisor)} {unit}"
    return f"{significant(count / 1e9)} GB"


def bracket(interval: Interval | None, decimals: int = 3, *, signed: bool = False) -> str:
    """Format an interval as ``[low, high]``; empty where there is none."""
    if interval is None:
        return ""
    low = fixed(interval.low, decimals, signed=signed)
    high = fixed(interval.high, decimals, signed=signed)
    return f"[{low}, {high}]"


def probability(value: float | None) -> str:
    """Format a p-value."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else fixed(value)


def scientific(value: float) -> str:
    """Format a small difference as a power of ten with two digits."""
    if value == 0 or not math.isfinite(value):
        return significant(value)
    power = math.floor(math.log10(abs(value)))
    digits = f"{value / 10**power:.1f}".replace("-", MINUS)
    return f"{digits} × 10{str(power).translate(SUPERSCRIPTS)}"


def moment(text: str) -> str:
    """Format an ISO 8601 time in UTC to the second; as it is where it does not parse."""
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)
    return f"{aware.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def parameters(values: Mapping[str, Any], separator: str = ", ") -> str:
    """Format parameters as ``name=value`` in the order of their names."""
    if not values:
        return "none"
    return separator.join(f"{name}={_parameter(value)}" for name, value in sorted(values.items()))


def _parameter(value: Any) -> str:
    """Format a parameter: text as it is, numbers to six digits, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, default=str, ensure_ascii=False)

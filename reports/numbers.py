"""Values with their intervals as cells of a table, in the digits of ``common.run.spelling``."""

from __future__ import annotations

from he_compare.common.run.quantiles import Spread
from he_compare.common.run.records import Interval, MetricValue
from he_compare.common.run.repeated_trainings import spread_beside
from he_compare.common.run.spelling import MISSING, bracket, fixed, milliseconds
from he_compare.reports.document.nodes import Break, Content, Inline, inline


def with_interval(
    value: float | None, interval: Interval | None, *, signed: bool = False, spread: str = ""
) -> Inline:
    """Spell a value with its interval on a second line, and the spread of trainings on a third."""
    if value is None:
        return inline(MISSING)
    shown = fixed(value, signed=signed)
    limits = bracket(interval, signed=signed)
    parts: list[Content] = [shown]
    for line in filter(None, (limits, spread)):
        parts += [Break(), line]
    return inline(*parts)


def metric_cell(metric: MetricValue | None) -> Inline:
    """Spell a metric with its interval, or why either is missing."""
    if metric is None:
        return inline(MISSING)
    if metric.value is None:
        return inline(metric.note or MISSING)
    if metric.interval is None and metric.note:
        return inline(fixed(metric.value), Break(), metric.note)
    return with_interval(metric.value, metric.interval, spread=spread_beside(metric))


def median_cell(spread: Spread) -> Inline:
    """Spell a median in milliseconds with its interval on a second line."""
    shown = milliseconds(spread.p50)
    if spread.interval is None:
        return inline(shown)
    low, high = milliseconds(spread.interval.low), milliseconds(spread.interval.high)
    return inline(shown, Break(), f"[{low}, {high}]")

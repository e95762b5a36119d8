"""What an attack achieved, in words: its number beside what is had without winning anything.

One place for audit and report. Numbers are made of the facts of the record, not read off its
sentence, so that older runs are told in the same words.
"""

from __future__ import annotations

from he_compare.common.run.records import AttackOutcome, Interval
from he_compare.common.run.spelling import fixed, percentage

NOISE_CONTROL, EXACTLY_KNOWN = "noise", "chance"
OF_PICTURES = "SSIM"
TO_THE_ORIGINAL = " to the original"


def result_in_words(
    name: str,
    value: float,
    interval: Interval | None,
    floor: tuple[str, float],
    unprotected: float,
    *,
    unit: str = "",
    as_share: bool = False,
) -> str:
    """Describe a result in one sentence. ``floor``: where it comes from, and its value.

    ``unprotected``: the same attack on unprotected images, or the best possible. ``as_share``:
    numbers are printed in per cent.
    """

    def spell(one: float) -> str:
        return _spelled(one, as_share)

    within = f" [{spell(interval.low)}, {spell(interval.high)}]" if interval is not None else ""
    after = f" {unit}" if unit else ""
    source, lowest = floor
    return (
        f"{name} {spell(value)}{within}{after} ({_floor_words(source, spell(lowest))}, "
        f"{spell(unprotected)} without protection)"
    )


def result_of(outcome: AttackOutcome) -> str:
    """Return what came out in one sentence: from the numbers of the record, else as it says it."""
    metric = outcome.metric
    if metric is None or metric.value is None or outcome.floor is None or outcome.ceiling is None:
        return outcome.headline or outcome.reason
    return result_in_words(
        metric.name,
        metric.value,
        metric.interval,
        (outcome.floor_from or NOISE_CONTROL, outcome.floor),
        outcome.controls.get("identity", outcome.ceiling),
        unit=metric.unit,
        as_share=_in_per_cent(outcome),
    )


def short_result(outcome: AttackOutcome) -> str:
    """Return the number with that of a control beside it: ``SSIM 1.00 (0.03 on noise)``."""
    metric = outcome.metric
    if metric is None or metric.value is None or outcome.floor is None:
        return outcome.headline or outcome.reason
    share = _in_per_cent(outcome)
    noise = outcome.controls.get(NOISE_CONTROL, outcome.floor)
    source = outcome.floor_from if outcome.floor_from == EXACTLY_KNOWN else NOISE_CONTROL
    compared = outcome.floor if source == EXACTLY_KNOWN else noise
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"{metric.name.removesuffix(TO_THE_ORIGINAL)} {_spelled(metric.value, share)}{unit} "
        f"({_floor_words(source, _spelled(compared, share))})"
    )


def _spelled(value: float, as_share: bool) -> str:
    return percentage(value) if as_share else fixed(value, 2)


def _floor_words(source: str, value: str) -> str:
    if source == NOISE_CONTROL:
        return f"{value} on noise"
    return f"{value} by chance" if source == EXACTLY_KNOWN else f"{value} from {source}"


def _in_per_cent(outcome: AttackOutcome) -> bool:
    """Say whether a result is a share: the record's own sentence prints one in per cent."""
    assert outcome.metric is not None
    return "%" in outcome.headline and OF_PICTURES not in outcome.metric.name

"""Whether the verdict of an attack is the one that its own stored advantage gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from he_compare.common.run.records import AttackOutcome
from he_compare.comparisons.auditing.verdicts import judge

JUDGED = ("broken", "partial", "resists within budget")


def verdict_problems(outcomes: Sequence[AttackOutcome]) -> Iterator[str]:
    """Say which verdicts their own advantages contradict.

    Controls have known answers, and an outcome without an advantage has nothing to be held against.
    """
    for one in outcomes:
        if one.target_kind == "control" or one.advantage is None or one.verdict not in JUDGED:
            continue
        given = judge(one.advantage, one.advantage_interval).verdict
        if given != one.verdict:
            limits = one.advantage_interval
            between = f" [{limits.low:.2f}, {limits.high:.2f}]" if limits else ""
            yield (
                f"attack {one.identity[:8]} ({one.attack} on {one.target}): the verdict is "
                f"{one.verdict!r}, its advantage of {one.advantage:.2f}{between} gives {given!r}"
            )

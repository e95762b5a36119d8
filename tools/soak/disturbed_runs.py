"""What came of runs that were disturbed: lines by who was, figures of all, faults by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tools.soak.aftermath import Aftermath
from tools.soak.figures import Figure, Line, Report, all_of, counted, no_more_than
from tools.soak.ledger import Outcome

COUNTED = ("lost", "redone", "doubled", "orphans", "left")


def report_of(outcomes: Sequence[Outcome], how: str, name: str) -> Report:
    """Return lines and figures of disturbed runs."""
    lines = []
    for who, count in Counter(one["who"] for one in outcomes).items():
        mine = [one for one in outcomes if one["who"] == who]
        lines.append(Line(f"{who}, {how}", count, _result(mine)))
    n, total = len(outcomes), _totals(outcomes)
    figures: list[Figure] = [
        all_of(f"{name} that came in time", n, sum(one["hit"] for one in outcomes)),
        all_of(
            f"{name} after which the same command gave the same", n, sum(map(is_same, outcomes))
        ),
        *(no_more_than(f"{name}: {what}", 0, total[what]) for what in COUNTED),
    ]
    faults = [f"{one['what']}: {words}" for one in outcomes if (words := _wrong(one))]
    return Report(tuple(lines), tuple(figures), tuple(faults))


def _totals(outcomes: Sequence[Outcome]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in outcomes:
        for name in COUNTED:
            total[name] += one[name] if isinstance(one[name], int) else len(one[name])
    return total


def is_same(one: Outcome) -> bool:
    """Say whether the command ended as if nobody had disturbed it."""
    return not (one["problems"] or one["differing"])


def _wrong(one: Outcome) -> str:
    fields = {name: one[name] for name in Aftermath().as_json()}
    return Aftermath(**fields).words


def _result(outcomes: Sequence[Outcome]) -> str:
    total = _totals(outcomes)
    again = Counter(one["resumes"] for one in outcomes)
    went_on = sum(map(is_same, outcomes))
    counts = ", ".join(f"{total[name]} {name}" for name in COUNTED)
    repeated = counted(Counter({f"with {n} repetitions": count for n, count in again.items()}))
    return f"{went_on} end as an undisturbed run ({repeated}); {counts}"

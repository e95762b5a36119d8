"""What is told of bombarded server halves: counts by verb, different messages, rates, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tools.soak.attempts import DIGEST_BYTES
from tools.soak.bombarded import SERVICE, SERVICE_FLIPS
from tools.soak.figures import Figure, Line, Report, counted, no_more_than
from tools.soak.ledger import Outcome

# A process that grew by more than this from its first messages to its last leaks.
FLAT_TIMES, FLAT_BYTES = 1.25, 64 << 20
THROUGH_SERVICE = (SERVICE, SERVICE_FLIPS)


def report_of(outcomes: Sequence[Outcome], what: str, wanted: int) -> Report:
    """Return a line per target and verb, one per path, and the figures of all.

    ``wanted``: how many different messages were asked for.
    """
    lines = []
    for name in sorted({one["target"] for one in outcomes}):
        for path in ("", " through the service"):
            mine = [one for one in outcomes if one["target"] == name and _path(one) == path]
            for place in dict.fromkeys(place for one in mine for place in one["fates"]):
                fates: Counter[str] = Counter()
                for one in mine:
                    fates.update(one["fates"].get(place, {}))
                told = f"{name}, {place}: {what}{path}"
                lines.append(Line(told, fates.total(), f"{counted(fates)}"))
    lines += [
        _path_line(outcomes, what, path, words)
        for path, words in (
            ("", "in a child process"),
            (" through the service", "through the whole service"),
        )
    ]
    return Report(tuple(lines), _figures(outcomes, what, wanted), _faults(outcomes))


def _path(one: Outcome) -> str:
    return " through the service" if one["use"] in THROUGH_SERVICE else ""


def _path_line(outcomes: Sequence[Outcome], what: str, path: str, words: str) -> Line:
    """Return the line of all that took one path: how many, how different, how fast."""
    mine = [one for one in outcomes if _path(one) == path]
    sent = sum(map(_sent, mine))
    seconds = sum(float(one["told"].get("seconds", 0.0)) for one in mine)
    of = "a service" if path else "processor time"
    rate = f"{sent / seconds:,.0f} per second of {of}" if seconds else ""
    kinds = len({kind for one in mine for kind in one["kinds"]})
    replaced = _replaced(mine)
    told = [f"{_different(mine):,} different", f"{kinds:,} kinds", rate]
    told += [f"{replaced:,} children replaced"]
    return Line(f"{what}, {words}", sent, ", ".join(filter(None, told)))


def _sent(one: Outcome) -> int:
    return sum(sum(fates.values()) for fates in one["fates"].values())


def _different(outcomes: Sequence[Outcome]) -> int:
    """Count different messages; those of which only the loss was seen count each."""
    seen: dict[tuple[str, str], set[str]] = {}
    size = 2 * DIGEST_BYTES
    for one in outcomes:
        digests: str = one["seen"]
        held = seen.setdefault((one["target"], _path(one)), set())
        held.update(digests[at : at + size] for at in range(0, len(digests), size))
    return sum(map(len, seen.values())) + sum(int(one["lost"]) for one in outcomes)


def _replaced(outcomes: Sequence[Outcome]) -> int:
    """Count children that ended: those of a service, and those that were bombarded directly."""
    return sum(
        int(one["told"].get("replaced", 0)) if one["use"] in THROUGH_SERVICE else len(one["ended"])
        for one in outcomes
    )


def _figures(outcomes: Sequence[Outcome], what: str, wanted: int) -> tuple[Figure, ...]:
    ends = sum(int(one["told"].get("ends", 0)) for one in outcomes)
    memory = [pair for one in outcomes for pair in one["memory"]]
    first, last = max(memory, key=lambda pair: pair[1] / _limit(pair[0]), default=(0, 0))
    different, total = _different(outcomes), sum(map(_sent, outcomes))
    counts = {
        "service ends": ends,
        "hangs": sum(len(one["hangs"]) for one in outcomes),
        "uncaught": sum(len(one["uncaught"]) for one in outcomes),
        "memory taken by one": sum(len(one["greedy"]) for one in outcomes),
        "no answer afterwards": sum(len(one["broken"]) for one in outcomes),
    }
    return (
        Figure(f"{what}: different", f"{wanted:,}", f"{different:,}", different >= wanted),
        *(no_more_than(f"{what}: {name}", 0, count) for name, count in counts.items()),
        Figure(
            f"{what}: memory flat",
            f"last at most {FLAT_TIMES:g} x first + {FLAT_BYTES >> 20} MB",
            f"nearest to it: first {first >> 20:,} MB, last {last >> 20:,} MB",
            last <= _limit(first),
        ),
        Figure(
            f"{what}: children replaced", "counted", f"{_replaced(outcomes):,} of {total:,}", True
        ),
    )


def _limit(first: int) -> float:
    return FLAT_TIMES * first + FLAT_BYTES


def _faults(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(
        f"{one['target']}: {line}"
        for name in ("ended", "hangs", "uncaught", "greedy", "broken")
        for one in outcomes
        for line in one[name]
    )

"""What a soak says in the end: the table of what was tried, and the figures to reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TRIED = ("Tried", "Count", "Result")
REACHED = ("What", "Reach", "Measured", "")
MOST_FAULTS = 40


@dataclass(frozen=True)
class Line:
    """A line of the table of what was tried. ``count``: how often; ``result``: in words."""

    tried: str
    count: int
    result: str


@dataclass(frozen=True)
class Figure:
    """A figure to reach. ``reach`` and ``measured``: in words; ``held``: whether it is reached."""

    what: str
    reach: str
    measured: str
    held: bool


@dataclass(frozen=True)
class Report:
    """What came of a part. ``faults``: a line each, for whoever is to mend them."""

    lines: tuple[Line, ...]
    figures: tuple[Figure, ...]
    faults: tuple[str, ...] = field(default=())


def no_more_than(what: str, most: int, found: int) -> Figure:
    """Return the figure of a count that must not be larger."""
    return Figure(what, f"at most {most:,}" if most else "0", f"{found:,}", found <= most)


def all_of(what: str, wanted: int, found: int) -> Figure:
    """Return the figure of something that must be so every time, and at least once."""
    held = found == wanted > 0
    return Figure(what, f"{wanted:,} of {wanted:,}", f"{found:,} of {wanted:,}", held)


def counted(counts: Counter[str]) -> str:
    """Return counts in words, the largest first."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common() if count)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    cells = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(headings))]
    cells.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |" for row in cells
    )


def printed(reports: Sequence[Report]) -> str:
    """Return the whole of what is printed: both tables, then the faults."""
    lines = [(one.tried, f"{one.count:,}", one.result) for each in reports for one in each.lines]
    figures = [
        (one.what, one.reach, one.measured, "ok" if one.held else "missed")
        for each in reports
        for one in each.figures
    ]
    faults = [line for each in reports for line in each.faults]
    parts = [table(TRIED, lines), table(REACHED, figures)]
    if faults:
        more = len(faults) - MOST_FAULTS
        shown = [f"- {line}" for line in faults[:MOST_FAULTS]]
        shown += [f"- and {more:,} more (see --json)"] if more > 0 else []
        parts.append("Faults\n\n" + "\n".join(shown))
    return "\n\n".join(parts)

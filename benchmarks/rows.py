"""Rows of side-by-side measurements: what was measured, beside which peer, on which machine.

A benchmark is a module with ``measure(quick) -> list[Row]`` that hands it to ``main``:
``python -m benchmarks.NAME [--quick] --json FILE``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from he_compare.common.environment import fingerprint_environment, usable_cores
from he_compare.common.files import write_atomic

HEADINGS = ("name", "value", "unit", "n", "peer", "peer value", "ratio")


@dataclass(frozen=True)
class Row:
    """One measurement. ``n``: images or repetitions it rests on; ``ratio``: value / peer_value.

    Without a peer, ``peer`` is empty and the last two are None.
    """

    name: str
    value: float
    unit: str
    n: int
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None


def against(name: str, value: float, unit: str, n: int, peer: str, peer_value: float) -> Row:
    """Return a row measured beside a peer in the same unit."""
    return Row(name, value, unit, n, peer, peer_value, value / peer_value)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text."""
    return aligned([HEADINGS, *(_texts(row) for row in rows)])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Return lines of equally many cells as text in columns."""
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def _texts(row: Row) -> tuple[str, ...]:
    numbers = ["" if x is None else f"{x:.4g}" for x in (row.value, row.peer_value, row.ratio)]
    return row.name, numbers[0], row.unit, str(row.n), row.peer, numbers[1], numbers[2]


def write_rows(path: Path, rows: Sequence[Row], threads: int) -> None:
    """Write ``{"environment": ..., "rows": [...]}`` as JSON."""
    content = {
        "environment": fingerprint_environment(threads).model_dump(mode="json"),
        "rows": [asdict(row) for row in rows],
    }
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())


def main(
    measure: Callable[[bool], list[Row]],
    *,
    threads: int | None = None,
    show: Callable[[Sequence[Row]], str] = table,
) -> None:
    """Parse the command line, measure, print the table and write the JSON.

    ``threads``: how many the measurement used; None: all usable cores. ``show``: what is printed.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and environment")
    arguments = parser.parse_args()
    rows = measure(arguments.quick)
    print(show(rows))
    if arguments.json:
        write_rows(arguments.json, rows, threads or usable_cores())

"""How large it can get: every part of the table of targets, from one command.

``python -m benchmarks.scale [--quick] [--part NAME] [--json FILE]``. Each part is a module
``benchmarks/scale_NAME.py`` with ``measure(quick)``, run in a process of its own; one that cannot
run here says why, and the rest goes on. A target is met or missed by the figure that was measured;
where nothing of the name was measured, neither is said.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row, aligned, table, write_rows
from he_compare.common.environment import usable_cores

FOLDER = Path(__file__).parent
PREFIX = "scale_"


@dataclass(frozen=True)
class Reach:
    """A figure to reach. ``name``: the beginning of the names of the rows that are held to it.

    ``field``: of the row, ``value`` or ``ratio``. ``least``, ``most``: bounds, None for none.
    """

    name: str
    field: str
    least: float | None = None
    most: float | None = None

    def figure(self, row: Row) -> float | None:
        """Return what of a row is held to it; None where the row has no such figure."""
        if self.field == "value":
            return row.value
        return row.value / row.peer_value if row.peer_value else row.ratio

    def met(self, figure: float) -> bool:
        """Say whether a figure reaches it."""
        above = self.least is None or figure >= self.least
        return above and (self.most is None or figure <= self.most)

    @property
    def words(self) -> str:
        """The bounds in words."""
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


REACHES = (
    Reach("peak memory of the driver, 50,000", "ratio", most=1.3),
    Reach("peak memory of the largest server, 50,000", "ratio", most=1.3),
    Reach("peak memory of the driver, 50,000", "value", most=2.0),
    Reach("peak memory of the largest server, 50,000", "value", most=2.0),
    Reach("decoding and store", "ratio", least=0.8),
    Reach("quick run, 2 workers", "ratio", most=0.7),
    Reach("one worker of Dask", "ratio", most=1.05),
    Reach("kills after which the same command gave the same predictions", "ratio", least=1.0),
    Reach("cells lost", "value", most=0.0),
    Reach("cells written twice", "value", most=0.0),
    Reach("estimate: seconds of all cells", "ratio", 0.7, 1.3),
    Reach("estimate: peak memory", "ratio", 0.8, 1.2),
)


@dataclass(frozen=True)
class PartResult:
    """What a part measured. ``trouble``: why it measured nothing; '' where it did."""

    part: str
    rows: tuple[Row, ...]
    trouble: str = ""


def parts() -> list[str]:
    """Return the names of the parts there are, one per file."""
    return sorted(file.stem.removeprefix(PREFIX) for file in FOLDER.glob(f"{PREFIX}*.py"))


def measure_part(part: str, quick: bool) -> PartResult:
    """Run one part in a process of its own."""
    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{PREFIX}{part}", "--json", str(target)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode or not target.is_file():
            words = [line for line in done.stderr.splitlines() if line.strip()]
            why = words[-1] if words else f"exit code {done.returncode}"
            return PartResult(part, (), why)
        rows = json.loads(target.read_text("utf-8"))["rows"]
        return PartResult(part, tuple(Row(**row) for row in rows))


def held_to(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return a line for every row that has a target: name, figure, target, met or missed."""
    lines = []
    for row in rows:
        for reach in REACHES:
            if not row.name.startswith(reach.name) or (figure := reach.figure(row)) is None:
                continue
            unit = "" if reach.field == "ratio" else f" {row.unit}"
            verdict = "met" if reach.met(figure) else "missed"
            lines.append((row.name, f"{figure:.3g}{unit}", reach.words, verdict))
    return lines


def main() -> None:
    """Run the parts one after the other and print rows and targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and repetitions")
    parser.add_argument("--part", choices=parts(), help="run this one only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and environment")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for part in [arguments.part] if arguments.part else parts():
        print(f"\n== {part}", flush=True)
        result = measure_part(part, arguments.quick)
        print(table(result.rows) if result.rows else f"not measured: {result.trouble}", flush=True)
        rows += result.rows
        if arguments.json:  # after every part: a later one may be stopped
            write_rows(arguments.json, rows, usable_cores())
    if lines := held_to(rows):
        print("\n" + aligned([("what", "measured", "to reach", ""), *lines]))


if __name__ == "__main__":
    main()

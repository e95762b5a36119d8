"""Edits of a finished run: single bytes changed, files removed and added; `compare verify` tells.

Found is an edit after which the command ends with 4 and names the file. Nearly all are judged by
the command's own ``main`` in a process that lives on, which spares loading it anew; every
``SAMPLED``-th by the command in a process of its own. Every kind of file (``records.jsonl``, what
lies in ``attacks/``, ...) is as likely as any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from he_compare.common.identity import file_digest
from he_compare.common.run.sums import SUMS
from tools.soak.campaign import Part
from tools.soak.edited_runs import begin, edited, moved, verified_untouched
from tools.soak.figures import Line, Report, all_of, counted
from tools.soak.finished_run import finished_runs
from tools.soak.ledger import Outcome, Stopped


class Edits(Part):
    """Changes one byte of one file at a time."""

    name = "edits"
    bears_company = True

    def __init__(self, folder: Path, seed: int, count: int, given: Path | None) -> None:
        """``given``: the finished run, None to make some."""
        super().__init__(folder, seed)
        self.count, self.given = count, given
        self.runs: dict[str, Path] = {}

    @property
    def units(self) -> int:
        return self.count

    @property
    def settings(self) -> Mapping[str, Any]:
        """The runs, told apart by their sums."""
        return {name: file_digest(run / SUMS) for name, run in self.runs.items()}

    def prepare(self) -> None:
        """Make or copy the runs, see that they are whole, and start the processes that verify."""
        super().prepare()
        place = self.folder.parent / "finished"
        place.mkdir(exist_ok=True)
        self.runs = finished_runs(place, self.given)
        self._pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=get_context("spawn"),
            initializer=begin,
            initargs=(self.runs, self.folder),
        )
        for name in self.runs:
            found = self._pool.submit(verified_untouched, name).result()
            if found.code != 0:
                words = "; ".join(found.lines[:2])
                raise Stopped(f"the {name} run to be edited does not verify as it is: {words}")

    def try_one(self, unit: int) -> Outcome:
        """Make one edit, verify, undo it."""
        return self._pool.submit(edited, self.seed, unit).result()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many were found, by the run and the kind of file."""
        return _report(outcomes, "single-byte edits")

    def close(self) -> None:
        """End the processes that verify."""
        if hasattr(self, "_pool"):
            self._pool.shutdown()


class Added(Edits):
    """Removes and adds files, in turn."""

    name = "added"

    def try_one(self, unit: int) -> Outcome:
        """Remove or add one file, verify, undo it."""
        return self._pool.submit(moved, self.seed, unit).result()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many were found."""
        return _report(outcomes, "files removed or added")


def _report(outcomes: Sequence[Outcome], what: str) -> Report:
    lines = []
    for run in dict.fromkeys(one["run"] for one in outcomes):
        mine = [one for one in outcomes if one["run"] == run]
        found = sum(one["found"] for one in mine)
        kinds = counted(Counter(f"in {one['kind']}" for one in mine))
        missed = counted(Counter(f"in {one['kind']}" for one in mine if not one["found"]))
        files = len({one["file"] for one in mine})
        sampled = sum(one["sampled"] for one in mine)
        result = f"{found:,} found and named, exit 4" + (f"; missed: {missed}" if missed else "")
        told = f"{what}, {run} run ({files:,} files; {sampled:,} by a process of its own)"
        lines.append(Line(told, len(mine), f"{result} ({kinds})"))
    missing = [one for one in outcomes if not one["found"]]
    faults = [
        f"{one['run']} run, {one['what']}: verify ends with {one['code']} ({one['line']})"
        for one in missing
    ]
    figure = all_of(f"{what}: found and named", len(outcomes), len(outcomes) - len(missing))
    return Report(tuple(lines), (figure,), tuple(faults))

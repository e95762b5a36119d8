"""Kills workers, scheduler and driver of a small run, and sees whether the same command resumes.

What is killed and when, and what has to hold afterwards, is the soak's (``tools.soak.kills``); here
it becomes rows beside the other figures of scale.

``python -m benchmarks.scale_kills [--quick] [--json FILE]``: 20 tries, with ``--quick`` three.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import Row, main
from tools.soak.campaign import Conditions, go_through
from tools.soak.disturbed_runs import is_same
from tools.soak.figures import Report
from tools.soak.kills import Kills
from tools.soak.ledger import Outcome, code_digest
from tools.soak.places import SCHEDULER, WORKERS, Where
from tools.soak.room import adopt_orphans
from tools.soak.victims import Victim

SEED, TRIES, QUICK_TRIES = 17, 20, 3
# Who dies in turn.
TURNS: tuple[tuple[Where, Victim], ...] = (
    (WORKERS, "worker"),
    (SCHEDULER, "scheduler"),
    (WORKERS, "driver"),
    (SCHEDULER, "worker"),
    (SCHEDULER, "driver"),
)


class ClusterKills(Kills):
    """The kills of a run on several processes. ``outcomes``: what came of each try."""

    name = "cluster-kills"
    turns = TURNS
    outcomes: Sequence[Outcome] = ()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Keep what came of the tries."""
        self.outcomes = outcomes
        return super().report(outcomes)


def measure(quick: bool, tries: int = 0) -> list[Row]:
    """Kill; return one row per figure, and one per try that went wrong."""
    adopt_orphans()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        part = ClusterKills(folder / "kills", SEED, tries or (QUICK_TRIES if quick else TRIES))
        found = go_through(part, Conditions(folder / "state", code_digest(), math.inf))
        return rows_of(part.outcomes, part.seconds, found.report.faults)


def rows_of(outcomes: Sequence[Outcome], seconds: float, faults: Sequence[str]) -> list[Row]:
    """Return the figures of all tries. ``seconds``: of a run that nobody disturbs."""
    n = len(outcomes)
    good = sum(is_same(one) for one in outcomes)
    resumed = "kills after which the same command gave the same predictions"
    rows = [
        Row(resumed, good, "tries", n, "asked", n),
        Row("cells lost", sum(one["lost"] for one in outcomes), "cells", n),
        Row("cells written twice", sum(one["doubled"] for one in outcomes), "cells", n),
        Row("predictions that differ", sum(one["differing"] for one in outcomes), "cells", n),
        Row("processes left behind", sum(len(o["orphans"]) for o in outcomes), "processes", n),
        Row("files left behind", sum(len(one["left"]) for one in outcomes), "files", n),
        Row("commands repeated", sum(one["resumes"] for one in outcomes), "commands", n),
        Row("undisturbed run", seconds, "s", 1),
    ]
    return rows + [Row(line, 0, "good", 1) for line in faults]


if __name__ == "__main__":
    main(measure, threads=1)

"""The same `compare run` started many times in one folder: one runs, the others say so.

All at once; then with a handover: whoever has the folder is killed, or ends, while others begin,
and the next one that begins has it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from he_compare.common.errors import EXIT_OK, EXIT_USAGE, CompareError
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.judging.verify import verify_run
from tools.soak.aftermath import finished_lines
from tools.soak.campaign import Part
from tools.soak.crowd import END, KILL, TOGETHER
from tools.soak.figures import Figure, Line, Report, all_of, counted, no_more_than
from tools.soak.invented import SMALL, invented_images
from tools.soak.ledger import Outcome, Stopped
from tools.soak.room import Room, left_after, pids_below

RUN = (
    *("run", *SMALL, "--no-audit", "--format", "", "--quiet", "--workers", "1"),
    *("--pipeline", "local"),
)
SAYS_SO = "is being written by"
CROWD_SECONDS = 3600.0
# How they are started, unit by unit; in a handover a share of them, at least a few.
HOW = (TOGETHER, KILL, END)
WORDS = {
    TOGETHER: "simultaneous starts in one folder",
    KILL: "starts in a folder whose owner is killed",
    END: "starts in a folder whose owner ends",
}
SHARE, FEWEST = 5, 3
RAN, SAID, KILLED = "ran", "said that another does", "killed"


class Starts(Part):
    """One unit: all starts of a kind, in a folder that does not exist yet."""

    name = "starts"

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        super().__init__(folder, seed)
        self.count = count

    @property
    def units(self) -> int:
        return len(HOW)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"starts": self.count}

    def prepare(self) -> None:
        """Decode the images once, so that all starts come to the folder at about the same time."""
        super().prepare()
        self.room = Room(self.folder / "room", self.folder / "cache")
        self.run = [*RUN, *invented_images(self.folder / "images")]
        done = self.room.run([*self.run, "--out", str(self.folder / "none"), "--explain"])
        if done.returncode != 0:
            words = (done.stderr.strip().splitlines() or ["no words"])[-1]
            raise Stopped(f"the run to be started many times cannot be planned: {words}")

    def try_one(self, unit: int) -> Outcome:
        """Start them, wait for all, and look at the folder."""
        own, how = pids_below(), HOW[unit]
        count = self.count if how == TOGETHER else max(FEWEST, self.count // SHARE)
        out = self.folder / f"run-{unit}"
        shutil.rmtree(out, ignore_errors=True)
        words = [*self.run, "--out", str(out), "--key", str(self.room.folder / "client.key")]
        done = subprocess.run(
            [sys.executable, "-m", "tools.soak.crowd", how, str(count), "--", *words],
            env=self.room.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CROWD_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise Stopped(f"the crowd did not start: {done.stderr.strip()[-300:]}")
        ended = [json.loads(line) for line in done.stdout.splitlines()]
        times = finished_lines(out)
        try:
            problems = verify_run(RunFolder(out))
        except CompareError as error:
            problems = [error.problem]
        return {
            "how": how,
            "ended": ended,
            "cells": len(times),
            "doubled": sum(count - 1 for count in times.values()),
            "problems": problems[:5],
            "orphans": left_after(5.0, own),
        }

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many ran, and how many said that another does."""
        lines, figures, faults = [], [], []
        for one in outcomes:
            what = WORDS[one["how"]]
            ended: list[Mapping[str, Any]] = one["ended"]
            fates = counted(Counter(map(_fate, ended)))
            result = f"{fates}; {one['cells']} cells, {one['doubled']} doubled"
            lines.append(Line(what, len(ended), result))
            figures += _figures(one["how"], what, ended)
            figures += [
                no_more_than(f"{what}: doubled cells", 0, one["doubled"]),
                no_more_than(f"{what}: left running", 0, len(one["orphans"])),
            ]
            odd = [x for x in ended if _fate(x) not in (RAN, SAID)]
            faults += [f"{what}: exit {x['code']}: {x['last'][:200]}" for x in odd if not _due(x)]
            faults += [f"{what}: {line}" for line in one["problems"]]
            faults += [f"{what}: left running: {line}" for line in one["orphans"]]
        return Report(tuple(lines), tuple(figures), tuple(faults))


def _fate(one: Mapping[str, Any]) -> str:
    if one["code"] == EXIT_OK:
        return RAN
    if one["code"] == EXIT_USAGE and SAYS_SO in one["last"]:
        return SAID
    return KILLED if one["code"] == -9 else f"exit {one['code']}"


def _due(one: Mapping[str, Any]) -> bool:
    """Say whether a process was killed because that was to be."""
    return bool(_fate(one) == KILLED and one["wave"] == 1)


def _figures(how: str, what: str, ended: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return what has to be: who has the folder, and that all others say so."""
    of = {wave: Counter(_fate(x) for x in ended if x["wave"] == wave) for wave in (1, 2, 3)}
    first, second, third = (of[wave] for wave in (1, 2, 3))
    owner = KILLED if how == KILL else RAN
    figures = [all_of(f"{what}: one has it", 1, first[owner])]
    if first.total() > 1:
        figures.append(all_of(f"{what}: the others say so", first.total() - 1, first[SAID]))
    if how == KILL:
        figures += [
            all_of(f"{what}: the next one has it", 1, second[RAN]),
            all_of(f"{what}: the others of the next say so", second.total() - 1, second[SAID]),
        ]
    elif how == END:
        either = second[RAN] + second[SAID]
        figures += [
            all_of(f"{what}: those that begin meanwhile have it or say so", second.total(), either),
            all_of(f"{what}: the next one has it", 1, third[RAN]),
        ]
    return figures

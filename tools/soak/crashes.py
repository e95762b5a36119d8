"""Crashes before file operations of run, encrypt, decrypt, rotate and report; then the same again.

Which operations there are, and what has to hold after a crash before one of them, is said in
``crashpoints``; here all of them are gone through, or as many as are asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tools.soak.campaign import Outcome, Part
from tools.soak.crashpoints import COMMANDS, count_points, crash_before
from tools.soak.figures import Line, Report, all_of, counted, no_more_than
from tools.soak.room import Room, left_after, pids_below

# How a line of what is wrong begins, and what it counts as.
WRONG = ("lost", "redone", "doubled", "left", "blocked")


class Crashes(Part):
    """One unit: one command killed before one of its file operations."""

    name = "crashes"

    def __init__(self, folder: Path, seed: int, count: int | None) -> None:
        """``count``: how many points in all, spread over the commands; None for all there are."""
        super().__init__(folder, seed)
        self.count = count
        self._points: list[tuple[str, int]] = []
        self._of: dict[str, int] = {}

    @property
    def units(self) -> int:
        return len(self._points)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"count": self.count}

    def prepare(self) -> None:
        """Count the operations of every command, and choose."""
        super().prepare()
        self.room = Room(self.folder / "room", self.folder / "cache")
        self.place = self.folder / "states"
        self.place.mkdir(exist_ok=True)
        with self._in_room():
            self._of = {one: count_points(one, self.place) for one in COMMANDS}
        self._points = chosen(self._of, self.count, np.random.default_rng([self.seed, 8]))

    def try_one(self, unit: int) -> Outcome:
        """Kill one command before one operation, and repeat it."""
        command, point = self._points[unit]
        own = pids_below()
        with self._in_room():
            problems = list(crash_before(command, point, self.place))
        problems += [f"left: running: {one}" for one in left_after(5.0, own)]
        return {"command": command, "point": point, "problems": problems}

    @contextmanager
    def _in_room(self) -> Iterator[None]:
        """Let what is started now have the caches and temporary files of the room."""
        before = dict(os.environ)
        os.environ.update(self.room.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per command, and the figures of all."""
        lines = []
        for command in COMMANDS:
            mine = [one for one in outcomes if one["command"] == command]
            good = sum(not one["problems"] for one in mine)
            wrong = counted(_wrong(mine))
            what = f"`{command}` killed before a file operation (of {self._of[command]})"
            lines.append(Line(what, len(mine), f"{good} heal" + (f"; {wrong}" if wrong else "")))
        total, n = _wrong(outcomes), len(outcomes)
        resumed = n - sum(any(_kind(p) == "blocked" for p in one["problems"]) for one in outcomes)
        figures = [all_of("crashes before file operations after which all goes on", n, resumed)]
        figures += [no_more_than(f"crashes: {what}", 0, total[what]) for what in WRONG[:-1]]
        faults = [
            f"{one['command']}, operation {one['point']}: {line}"
            for one in outcomes
            for line in one["problems"]
        ]
        return Report(tuple(lines), tuple(figures), tuple(faults))


def chosen(
    of: Mapping[str, int], count: int | None, random: np.random.Generator
) -> list[tuple[str, int]]:
    """Return commands and points, from 1: all, or so many that are spread over the commands."""
    points = {command: [(command, k + 1) for k in range(total)] for command, total in of.items()}
    if count is None:
        return [one for each in points.values() for one in each]
    drawn = {
        command: [each[i] for i in random.permutation(len(each))]
        for command, each in points.items()
    }
    rounds = [one[i] for i in range(max(of.values())) for one in drawn.values() if i < len(one)]
    return rounds[:count]


def _wrong(outcomes: Sequence[Outcome]) -> Counter[str]:
    return Counter(_kind(line) for one in outcomes for line in one["problems"])


def _kind(line: str) -> str:
    first = line.partition(":")[0]
    return first if first in WRONG else "blocked"

"""Crashes before file operations of commands that write; then the same command again.

Which operations there are, and what has to hold after a crash before one of them, is said in
``crashpoints``; here all of them are gone through, or as many as are asked for.
"""

from __future__ import annotations

import json
import queue
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.soak.campaign import Part
from tools.soak.crash_commands import COMMANDS
from tools.soak.crashpoints import CrashPlace
from tools.soak.figures import Line, Report, all_of, counted, no_more_than
from tools.soak.ledger import SHORT, Outcome
from tools.soak.room import Room

# How a line of what is wrong begins, and what it counts as.
WRONG = ("lost", "redone", "doubled", "left", "blocked")


class Crashes(Part):
    """One unit: one command killed before one of its file operations."""

    name = "crashes"
    bears_company = True

    def __init__(self, folder: Path, seed: int, count: int | None) -> None:
        """``count``: how many points in all, spread over the commands; None for all there are."""
        super().__init__(folder, seed)
        self.count = count
        self._points: list[tuple[str, int]] = []
        self._of: dict[str, int] = {}
        self._free: queue.SimpleQueue[CrashPlace] = queue.SimpleQueue()
        self._places: list[CrashPlace] = []

    @property
    def units(self) -> int:
        return len(self._points)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"count": self.count, "points": self._of}

    def prepare(self) -> None:
        """Count the operations of every command, once, and choose."""
        super().prepare()
        room = Room(self.folder / "room", self.folder / "cache")
        states = self.folder / f"states-{self.code[:SHORT]}"
        for number in range(self.at_once):
            place = CrashPlace(self.folder / f"place-{number}", states, room.environment)
            self._places.append(place)
            self._free.put(place)
        counts = states / "points.json"
        if not counts.is_file():
            found = {one: self._places[0].count(one) for one in COMMANDS}
            counts.write_text(json.dumps(found))
        self._of = json.loads(counts.read_text())
        self._points = chosen(self._of, self.count, np.random.default_rng([self.seed, 8]))

    def try_one(self, unit: int) -> Outcome:
        """Kill one command before one operation, and repeat it."""
        command, point = self._points[unit]
        place = self._free.get()
        try:
            found = place.crash(command, point)
        finally:
            self._free.put(place)
        return {
            "command": command,
            "point": point,
            "reached": found.reached,
            "problems": list(found.problems),
        }

    def close(self) -> None:
        """End the processes that fork commands."""
        for place in self._places:
            place.close()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per command, and the figures of all.

        A kill that did not come, because the command had ended before, counts for nothing.
        """
        killed = [one for one in outcomes if one["reached"]]
        lines = []
        for command in COMMANDS:
            mine = [one for one in killed if one["command"] == command]
            missed = sum(not one["reached"] for one in outcomes if one["command"] == command)
            good = sum(not one["problems"] for one in mine)
            wrong = counted(_wrong(mine))
            what = f"`{command}` killed before a file operation (of {self._of[command]})"
            result = f"{good} heal" + (f"; {wrong}" if wrong else "")
            result += f"; {missed} more not reached" if missed else ""
            lines.append(Line(what, len(mine), result))
        total, n = _wrong(outcomes), len(killed)
        resumed = n - sum(any(_kind(p) == "blocked" for p in one["problems"]) for one in killed)
        figures = [
            all_of("crashes: operations reached and killed before", len(outcomes), n),
            all_of("crashes before file operations after which all goes on", n, resumed),
        ]
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

"""The same `compare run` started many times at once in one folder: one runs, the others say so."""

from __future__ import annotations

import json
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
from tools.soak.campaign import Outcome, Part, Stopped
from tools.soak.figures import Line, Report, all_of, no_more_than
from tools.soak.invented import SMALL, invented_images
from tools.soak.room import Room, left_after, pids_below

RUN = (
    *("run", *SMALL, "--no-audit", "--format", "", "--quiet", "--workers", "1"),
    *("--pipeline", "local"),
)
SAYS_SO = "is being written by"
CROWD_SECONDS = 3600.0


class Starts(Part):
    """One unit: all starts at once, in a folder that does not exist yet."""

    name = "starts"

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        super().__init__(folder, seed)
        self.count = count

    @property
    def units(self) -> int:
        return 1

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
        """Start them all, wait for all, and look at the folder."""
        own = pids_below()
        out = self.folder / f"run-{unit}"
        words = [*self.run, "--out", str(out), "--key", str(self.room.folder / "client.key")]
        done = subprocess.run(
            [sys.executable, "-m", "tools.soak.crowd", str(self.count), "--", *words],
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
            "ended": ended,
            "cells": len(times),
            "doubled": sum(count - 1 for count in times.values()),
            "problems": problems[:5],
            "orphans": left_after(5.0, own),
        }

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many ran, and how many said that another does."""
        ended = [one for each in outcomes for one in each["ended"]]
        ran = sum(one["code"] == EXIT_OK for one in ended)
        said = sum(one["code"] == EXIT_USAGE and SAYS_SO in one["last"] for one in ended)
        others = Counter(
            f"exit {one['code']}: {one['last'][:200]}"
            for one in ended
            if one["code"] not in (EXIT_OK, EXIT_USAGE)
            or (one["code"] and SAYS_SO not in one["last"])
        )
        cells, doubled = (sum(one[name] for one in outcomes) for name in ("cells", "doubled"))
        left = sum(len(one["orphans"]) for one in outcomes)
        result = f"{ran} ran, {said} said that another does; {cells} cells, {doubled} doubled"
        line = Line("simultaneous starts in one folder", len(ended), result)
        rest = max(len(ended) - len(outcomes), 0)
        figures = (
            all_of("simultaneous starts: run", len(outcomes), ran),
            all_of("simultaneous starts: say that another does", rest, said),
            no_more_than("simultaneous starts: doubled cells", 0, doubled),
            no_more_than("simultaneous starts: left running", 0, left),
        )
        faults = [f"simultaneous starts: {count} x {what}" for what, count in others.items()]
        for one in outcomes:
            faults += [f"simultaneous starts: {line}" for line in one["problems"]]
            faults += [f"simultaneous starts: left running: {line}" for line in one["orphans"]]
        return Report((line,), figures, tuple(faults))

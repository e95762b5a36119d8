"""Processes that are bombarded, one after the other in one that stays loaded where it can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.repository import ROOT
from tools.soak.messages import IN_PROCESS


@dataclass
class Bombarded:
    """What came of one order. ``uncaught``: by a line each; ``slowest``: of what took too long."""

    fates: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    uncaught: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    last: int = -1
    ended: int | None = None


class BombardedHalves:
    """A process that takes orders as ``tools.soak.bombarded`` does; a new one where it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def give(self, target: Path, use: str, seed: int, count: int) -> Bombarded:
        """Have messages sent to the server half of a stored target."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        order = {
            **{"target": str(target), "use": use, "seed": seed},
            **{"unit": 0, "start": 0, "count": count},
        }
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        found = Bombarded()
        for line in process.stdout:
            if line.startswith("#done"):
                return found
            self._take(line.rstrip("\n"), found)
        found.ended = process.wait()
        self._process = None
        return found

    def _take(self, line: str, found: Bombarded) -> None:
        if line.startswith("#"):
            found.facts.append(line)
            return
        number, fate, place, _, kind = line.split("\t", 4)
        found.last = int(number)
        found.fates[fate] += 1
        found.places[place] += 1
        if fate == "uncaught":
            found.uncaught.append(f"{number}: {kind}")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
            self._process = subprocess.Popen(
                [sys.executable, "-m", IN_PROCESS],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        """End it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(60)

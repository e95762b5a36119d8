"""Hostile messages to every server half, public material among them; one-bit flips of uploads.

Most are sent within processes that hold a server half each, which spares HTTP; some go through the
real service (``bombarded_service``). Every process and every message follows from the seed. What is
told in the end is counted once for each different message (``bombardment_report``).
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tools.soak.bombarded import FLIPS, FRAMES, PUBLIC, SERVICE, SERVICE_FLIPS, VERBS
from tools.soak.bombardment import Bombardment
from tools.soak.bombardment_report import report_of
from tools.soak.campaign import Part
from tools.soak.figures import Report
from tools.soak.ledger import SHORT, Outcome, Stopped
from tools.soak.room import Room
from tools.soak.targets import Target, target_names

IN_PROCESS, OVER_HTTP = "tools.soak.bombarded", "tools.soak.bombarded_service"
# Of all messages: to be bodies of requests; besides all others, through the real service.
FRAMES_SHARE, SERVICE_SHARE = 0.05, 0.01
# So many times as many are sent as are wanted: some are the same again, of a million every third.
MARGIN, LARGE_MARGIN, LARGE = 1.03, 1.55, 200_000
# The fewest of a use for a target: at all, and of all that are sent.
FEWEST, FEWEST_SHARE = 4, 0.0003
CHUNKS = {
    VERBS: 20_000,
    PUBLIC: 4000,
    FRAMES: 100_000,
    FLIPS: 25_000,
    SERVICE: 2000,
    SERVICE_FLIPS: 2000,
}
MAKING_SECONDS = 1800.0


@dataclass(frozen=True)
class Unit:
    """Messages of one use for one target, numbered from ``start`` to ``stop``."""

    target: str
    use: str
    start: int
    stop: int


class Messages(Part):
    """Hostile messages of every kind."""

    name = "messages"
    bears_company = True

    def __init__(
        self, folder: Path, seed: int, count: int, only: Sequence[str] | None = None
    ) -> None:
        """``folder``: of the part; the targets lie beside it, for both parts that need them.

        ``only``: the server halves that are wanted, by name; None for all.
        """
        super().__init__(folder, seed)
        self.count, self.only = count, only
        self.targets: dict[str, Target] = {}
        self._places: dict[str, Path] = {}

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"count": self.count, "targets": list(self.targets)}

    def _names(self) -> list[str]:
        """Return the server halves that are tried. Raises Stopped where one is not known here."""
        known = target_names()
        if self.only is None:
            return list(known)
        for name in self.only:
            if name not in known:
                raise Stopped(f"no server half {name!r} can be made here: name {', '.join(known)}")
        return list(self.only)

    def prepare(self) -> None:
        """Make the targets that are not there yet, each in a process of its own."""
        super().prepare()
        place = self.folder.parent / "targets"
        self.room = Room(self.folder / "room", place / "cache")
        for name in self._names():
            file = f"{name.replace(', ', '-')}-{self.seed}-{self.code[:SHORT]}.target"
            path = place / file
            if not path.is_file():
                self._make(name, path)
            self.targets[name], self._places[name] = Target.from_bytes(path.read_bytes()), path
        self._units = self.plan()

    def _make(self, name: str, path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tools.soak.target_files", name, str(path), str(self.seed)],
            env=self.room.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAKING_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr.strip().splitlines() or ["no words"])[-1]
            raise Stopped(f"the server half {name} cannot be made: {words}")

    def plan(self) -> list[Unit]:
        """Share the messages among targets and uses."""
        units = []
        for (name, use), count in shared(self.targets, self.count).items():
            units += chunks(name, use, count)
            if use == VERBS:
                units += chunks(name, SERVICE, max(FEWEST, round(count * SERVICE_SHARE)))
        return interleaved(units)

    @property
    def units(self) -> int:
        return len(self._units)

    def try_one(self, unit: int) -> Outcome:
        """Send the messages of one unit."""
        one = self._units[unit]
        order = {
            "target": str(self._places[one.target]),
            "use": one.use,
            "seed": self.seed,
            "unit": unit,
            "start": one.start,
            "count": one.stop,
        }
        module = OVER_HTTP if one.use in (SERVICE, SERVICE_FLIPS) else IN_PROCESS
        tally = Bombardment(module, order, self.room.environment).run()
        return {"target": one.target, "use": one.use} | tally.as_json()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per target and verb, and the figures of all."""
        return report_of(outcomes, "hostile messages", self.count)


class Flips(Messages):
    """One-bit flips of CKKS uploads."""

    name = "flips"

    def plan(self) -> list[Unit]:
        """Share the flips among the targets whose uploads are CKKS ciphertexts."""
        mine = {name: one for name, one in self.targets.items() if one.ckks}
        weights = {name: 1 / one.verbs_ms for name, one in mine.items()}
        units = []
        for name, count in proportional(weights, self.count).items():
            units += chunks(name, FLIPS, count)
            units += chunks(name, SERVICE_FLIPS, max(FEWEST, round(count * SERVICE_SHARE)))
        return interleaved(units)

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per target, and the figures of all."""
        return report_of(outcomes, "one-bit flips of CKKS uploads", self.count)


def shared(targets: Mapping[str, Target], count: int) -> dict[tuple[str, str], int]:
    """Share messages among targets and uses: each gets about the same time, and the fewest."""
    frames = max(FEWEST, round(count * FRAMES_SHARE / len(targets)))
    weights: dict[tuple[str, str], float] = {}
    for name, one in targets.items():
        weights[name, VERBS] = 1 / one.verbs_ms
        weights[name, PUBLIC] = 1 / one.public_ms
    shares = proportional(weights, count - frames * len(targets))
    return shares | {(name, FRAMES): frames for name in targets}


Key = TypeVar("Key")


def proportional(weights: Mapping[Key, float], count: int) -> dict[Key, int]:
    """Share a count by weights, with the margin for what is drawn twice."""
    total, least = sum(weights.values()), max(FEWEST, round(count * FEWEST_SHARE))
    sent = count * (LARGE_MARGIN if count >= LARGE else MARGIN)
    return {key: max(least, math.ceil(sent * one / total)) for key, one in weights.items()}


def chunks(name: str, use: str, count: int) -> list[Unit]:
    """Cut so many messages into units."""
    size = CHUNKS[use]
    return [Unit(name, use, at, min(at + size, count)) for at in range(0, count, size)]


def interleaved(units: Sequence[Unit]) -> list[Unit]:
    """Put targets and uses in turn, so that a soak that is cut short has tried them all."""
    seen: Counter[tuple[str, str]] = Counter()
    placed: list[tuple[int, int, Unit]] = []
    for one in units:
        placed.append((seen[one.target, one.use], len(placed), one))
        seen[one.target, one.use] += 1
    return [one for _, _, one in sorted(placed, key=lambda each: each[:2])]

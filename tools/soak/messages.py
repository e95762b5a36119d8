"""Hostile messages to every server half, public material among them; one-bit flips of uploads.

Most are sent within processes that hold a server half each, which spares HTTP; some go through the
real service (``bombarded_service``). Every process and every message follows from the seed.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.soak.bombarded import FLIPS, FRAMES, PUBLIC, SERVICE, VERBS
from tools.soak.bombardment import Bombardment
from tools.soak.campaign import Outcome, Part, Stopped
from tools.soak.figures import Figure, Line, Report, counted, no_more_than
from tools.soak.room import Room
from tools.soak.targets import Target, target_names

IN_PROCESS, OVER_HTTP = "tools.soak.bombarded", "tools.soak.bombarded_service"
# Of all messages: to be public material; through the real service, besides all others.
PUBLIC_SHARE, FRAMES_SHARE, SERVICE_SHARE = 0.15, 0.05, 0.01
CHUNKS = {VERBS: 1000, PUBLIC: 300, FRAMES: 5000, FLIPS: 1000, SERVICE: 100}
TRIED = {
    VERBS: " to its verbs",
    PUBLIC: " as public material",
    FRAMES: " as bodies of requests",
    SERVICE: " through the service",
    FLIPS: "",
}
MAKING_SECONDS = 1800.0
# A process that grew by more than this from its first messages to its last leaks.
FLAT_TIMES, FLAT_BYTES = 1.25, 64 << 20


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
        return {"count": self.count, "targets": self._names()}

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
            path = place / f"{name.replace(', ', '-')}-{self.seed}.target"
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
        units, total = [], sum(one.share for one in self.targets.values())
        for name, target in self.targets.items():
            mine = max(4, round(self.count * target.share / total))
            public, frames = (max(1, round(mine * s)) for s in (PUBLIC_SHARE, FRAMES_SHARE))
            for use, count in (
                (VERBS, mine - public - frames),
                (PUBLIC, public),
                (FRAMES, frames),
                (SERVICE, max(3, round(mine * SERVICE_SHARE))),
            ):
                units += chunks(name, use, count)
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
        module = OVER_HTTP if one.use == SERVICE else IN_PROCESS
        tally = Bombardment(module, order, self.room.environment).run()
        return {"target": one.target, "use": one.use} | tally.as_json()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per target and use, and the figures of all."""
        return report_of(outcomes, "hostile messages")


class Flips(Messages):
    """One-bit flips of CKKS uploads."""

    name = "flips"

    def plan(self) -> list[Unit]:
        """Share the flips among the targets whose uploads are CKKS ciphertexts."""
        mine = {name: one for name, one in self.targets.items() if one.ckks}
        total = sum(one.share for one in mine.values())
        units = []
        for name, one in mine.items():
            units += chunks(name, FLIPS, max(1, round(self.count * one.share / total)))
        return interleaved(units)

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Return a line per target, and the figures of all."""
        return report_of(outcomes, "one-bit flips of CKKS uploads")


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


def report_of(outcomes: Sequence[Outcome], what: str) -> Report:
    """Return lines and figures of bombarded server halves."""
    lines: list[Line] = []
    for name, use in sorted({(one["target"], one["use"]) for one in outcomes}):
        mine = [one for one in outcomes if (one["target"], one["use"]) == (name, use)]
        fates: Counter[str] = Counter()
        for one in mine:
            fates.update(one["fates"])
        kinds = len({kind for one in mine for kind in one["kinds"]})
        words = f"{counted(fates)}{_replaced(mine)}; {kinds} kinds"
        lines.append(Line(f"{name}: {what}{TRIED[use]}", sum(fates.values()), words))
    return Report(tuple(lines), _figures(outcomes, what), _faults(outcomes))


def _replaced(outcomes: Sequence[Outcome]) -> str:
    replaced = sum(int(one["told"].get("replaced", 0)) for one in outcomes)
    return f", {replaced:,} children replaced" if replaced else ""


def _figures(outcomes: Sequence[Outcome], what: str) -> tuple[Figure, ...]:
    service = [one for one in outcomes if one["use"] == SERVICE]
    within = [one for one in outcomes if one["use"] != SERVICE]
    ends = sum(int(one["told"].get("ends", 0)) for one in service)
    replaced = sum(len(one["ended"]) for one in within)
    replaced += sum(int(one["told"].get("replaced", 0)) for one in service)
    growth = [
        (last, last > FLAT_TIMES * first + FLAT_BYTES)
        for one in outcomes
        for first, last in one["memory"]
    ]
    most = max((last / first for one in outcomes for first, last in one["memory"]), default=1.0)
    total = sum(sum(one["fates"].values()) for one in outcomes)
    figures = [
        no_more_than(f"{what}: hangs", 0, sum(len(one["hangs"]) for one in outcomes)),
        no_more_than(f"{what}: uncaught", 0, sum(len(one["uncaught"]) for one in outcomes)),
        no_more_than(
            f"{what}: memory taken by one", 0, sum(len(one["greedy"]) for one in outcomes)
        ),
        no_more_than(
            f"{what}: no answer afterwards", 0, sum(len(one["broken"]) for one in outcomes)
        ),
        Figure(
            f"{what}: memory flat",
            f"last at most {FLAT_TIMES:g} x first",
            f"largest {most:.2f} x",
            not any(grew for _, grew in growth),
        ),
        Figure(f"{what}: children replaced", "counted", f"{replaced:,} of {total:,}", True),
    ]
    if service:
        figures.insert(0, no_more_than(f"{what}: service ends", 0, ends))
    return tuple(figures)


def _faults(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(
        f"{one['target']}: {line}"
        for name in ("ended", "hangs", "uncaught", "greedy", "broken")
        for one in outcomes
        for line in one[name]
    )

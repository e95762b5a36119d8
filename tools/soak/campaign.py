"""A part of the soak, tried unit by unit; what is done is kept, so that a stopped soak goes on.

A unit is one kill, one edit, some hundred messages. What it does follows from the seed and its
number alone. Each outcome is a line of JSON in ``FOLDER/state/PART.jsonl``, whose first line holds
the seed and the settings that the outcomes are of.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tools.soak.figures import Report

Outcome: TypeAlias = dict[str, Any]
STATE = "state"
EVERY_SECONDS = 15.0


class Stopped(Exception):
    """The soak cannot go on; the text says why and what to do."""


class Part(ABC):
    """Something that is tried many times.

    ``bears_company``: whether units may be tried beside each other, ``at_once`` of them.
    """

    name: str
    at_once = 1
    bears_company = False

    def __init__(self, folder: Path, seed: int) -> None:
        """``folder``: the part's own, made if missing."""
        self.folder, self.seed = folder, seed

    @property
    @abstractmethod
    def units(self) -> int:
        """How many units there are; asked after ``prepare``."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the outcomes depend on besides the seed: kept ones are of the same, or refused."""
        return {}

    def prepare(self) -> None:
        """Make what all units need. A unit that was done before is not done again."""
        self.folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def try_one(self, unit: int) -> Outcome:
        """Do one unit; return what came of it, as JSON values."""

    @abstractmethod
    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say what came of all units that were done."""

    def close(self) -> None:  # noqa: B027 (most parts leave nothing running)
        """End what ``prepare`` started."""


@dataclass(frozen=True)
class Ledger:
    """The kept outcomes of a part."""

    path: Path
    heading: Mapping[str, Any]

    def read(self) -> dict[int, Outcome]:
        """Return the outcomes by unit; a torn last line is left out.

        Raises Stopped where they are of another seed or other settings.
        """
        if not self.path.is_file():
            return {}
        values = list(_whole_lines(self.path))
        if not values or values[0] != json.loads(json.dumps(self.heading)):
            raise Stopped(
                f"{self.path} holds outcomes of another seed or other settings "
                f"({values[0] if values else 'unreadable'}): name another folder with --out"
            )
        return {int(one["unit"]): one["outcome"] for one in values[1:]}

    def begin(self, kept: Mapping[int, Outcome]) -> None:
        """Write the file anew with what is kept, so that no torn line stays in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [self.heading, *({"unit": unit, "outcome": one} for unit, one in kept.items())]
        beside = self.path.with_suffix(".new")
        beside.write_text("".join(json.dumps(line) + "\n" for line in lines))
        beside.replace(self.path)

    def add(self, unit: int, outcome: Outcome) -> None:
        """Append an outcome."""
        with self.path.open("a") as stream:
            stream.write(json.dumps({"unit": unit, "outcome": outcome}) + "\n")


def _whole_lines(path: Path) -> Iterator[Any]:
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


@dataclass(frozen=True)
class Tried:
    """What a part came to. ``left``: units that were not done because the time was over."""

    report: Report
    left: int


def go_through(part: Part, state: Path, deadline: float, jobs: int = 1) -> Tried:
    """Try all units of a part that are not done yet, until ``deadline`` (``time.monotonic``).

    ``jobs``: how many beside each other, where the part bears it.
    """
    part.at_once = jobs if part.bears_company else 1
    ledger = Ledger(
        state / f"{part.name}.jsonl", {"seed": part.seed, "settings": dict(part.settings)}
    )
    done = ledger.read()
    try:
        part.prepare()
        wanted = range(part.units)
        done = {unit: one for unit, one in done.items() if unit in wanted}
        ledger.begin(done)
        progress = _Progress(part.name, len(wanted), len(done))
        for unit, outcome in _outcomes(part, [u for u in wanted if u not in done], deadline):
            ledger.add(unit, outcome)
            done[unit] = outcome
            progress.told(len(done))
        return Tried(part.report([done[unit] for unit in sorted(done)]), len(wanted) - len(done))
    finally:
        part.close()


def _outcomes(part: Part, units: Sequence[int], deadline: float) -> Iterator[tuple[int, Outcome]]:
    """Yield units and outcomes as they are done; begin none after the deadline."""
    left = iter(units)
    with ThreadPoolExecutor(part.at_once) as pool:
        running: dict[Future[Outcome], int] = {}
        while True:
            while len(running) < part.at_once and time.monotonic() < deadline:
                unit = next(left, None)
                if unit is None:
                    break
                running[pool.submit(part.try_one, unit)] = unit
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield running.pop(one), one.result()


class _Progress:
    """Lines on stderr, not too many."""

    def __init__(self, name: str, units: int, done: int) -> None:
        self._name, self._units, self._before = name, units, done
        self._start = self._told = time.monotonic()
        kept = f", {done:,} kept from before" if done else ""
        self._say(f"{units:,} units{kept}")

    def told(self, done: int) -> None:
        """Say how far it is, every now and then."""
        now = time.monotonic()
        if now - self._told < EVERY_SECONDS and done < self._units:
            return
        self._told = now
        each = (now - self._start) / max(done - self._before, 1)
        rest = f", about {each * (self._units - done) / 60:.0f} min left"
        self._say(f"{done:,} of {self._units:,}" + (rest if done < self._units else ", done"))

    def _say(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)

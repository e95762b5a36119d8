"""A part of the soak, tried unit by unit; what is done is kept, so that a stopped soak goes on.

A unit is one kill, one edit, some thousand messages. What it does follows from the seed and its
number alone. Outcomes are kept in a ``Ledger``, with the digest of the code that they are of: those
of other code are not counted, unless that is asked for and then said.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.soak.figures import Report
from tools.soak.ledger import KeptOutcome, Ledger, Outcome

EVERY_SECONDS = 15.0


class Part(ABC):
    """Something that is tried many times.

    ``bears_company``: whether units may be tried beside each other, ``at_once`` of them. ``code``:
    the digest of the code that is tried; what is made by other code is made anew.
    """

    name: str
    code = ""
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
        """What the outcomes depend on besides the seed; asked after ``prepare``.

        Kept ones are of the same, or refused.
        """
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
class Tried:
    """What a part came to. ``left``: units that were not done because the time was over.

    ``carried``: units that were done by other code, and are counted.
    """

    name: str
    report: Report
    left: int
    carried: int = 0


@dataclass(frozen=True)
class Conditions:
    """Under which all parts are tried. ``code``: the digest of what is tried.

    ``deadline``: of ``time.monotonic``; ``jobs``: how many units beside each other, where the part
    bears it; ``carry_over``: count outcomes of other code as well.
    """

    state: Path
    code: str
    deadline: float
    jobs: int = 1
    carry_over: bool = False


def go_through(part: Part, under: Conditions) -> Tried:
    """Try all units of a part that are not done yet, until the deadline."""
    part.at_once = under.jobs if part.bears_company else 1
    part.code = under.code
    try:
        part.prepare()
        heading = {"seed": part.seed, "settings": dict(part.settings)}
        ledger = Ledger(under.state / f"{part.name}.jsonl", heading, under.code)
        kept, others = ledger.take(carry_over=under.carry_over)
        if others:
            _tell(part.name, others)
        ledger.begin(kept)
        return _tried(part, ledger, kept, under)
    finally:
        part.close()


def _tried(part: Part, ledger: Ledger, kept: Mapping[int, KeptOutcome], under: Conditions) -> Tried:
    """Try what is not kept; return what everything came to."""
    wanted = range(part.units)
    carried = sum(one.code != under.code for unit, one in kept.items() if unit in wanted)
    done = {unit: one.outcome for unit, one in kept.items() if unit in wanted}
    progress = _Progress(part.name, len(wanted), len(done), carried)
    left = [unit for unit in wanted if unit not in done]
    for unit, outcome in _outcomes(part, left, under.deadline):
        ledger.add(unit, outcome)
        done[unit] = outcome
        progress.told(len(done))
    report = part.report([done[unit] for unit in sorted(done)])
    return Tried(part.name, report, len(wanted) - len(done), carried)


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

    def __init__(self, name: str, units: int, done: int, carried: int) -> None:
        self._name, self._units, self._before = name, units, done
        self._start = self._told = time.monotonic()
        kept = f", {done:,} kept from before" if done else ""
        kept += f", {carried:,} of them by other code" if carried else ""
        _tell(name, f"{units:,} units{kept}")

    def told(self, done: int) -> None:
        """Say how far it is, every now and then."""
        now = time.monotonic()
        if now - self._told < EVERY_SECONDS and done < self._units:
            return
        self._told = now
        each = (now - self._start) / max(done - self._before, 1)
        rest = f", about {each * (self._units - done) / 60:.0f} min left"
        more = rest if done < self._units else ", done"
        _tell(self._name, f"{done:,} of {self._units:,}{more}")


def _tell(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr, flush=True)

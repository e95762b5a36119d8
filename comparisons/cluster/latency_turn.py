"""Where and when latency is measured: on one machine of a run, with nothing of the run beside it.

A worker that ends is started again by its nanny: loading libraries and making the plan keep cores
busy. So a cell waits for a worker that is missing on its machine, and nobody is taken in while it
is measured.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.cluster.dispatch import Homes, latency_machine
from he_compare.comparisons.measuring.plan import PlannedCell

RESTART_SECONDS = 60.0
MARK_BYTES = 8
MOVED = "note: latency goes on on another machine than before; the report says so"


@cache
def machine_mark(host: str, salt: str) -> str:
    """Return what stands for a machine in the records of one run: equal for cells on one machine.

    It is made slowly, so that guessing names of machines costs something.
    """
    if not host:
        return ""
    return hashlib.scrypt(
        host.encode(), salt=salt.encode(), n=1 << 14, r=8, p=1, dklen=MARK_BYTES
    ).hex()


@dataclass
class LatencyTurn:
    """``salt``: of the run. ``before``: latency cells that the run has, by mark of the machine."""

    salt: str = ""
    before: Counter[str] = field(default_factory=Counter)
    machine: int | None = None
    _missing: dict[int, tuple[int, float]] = field(default_factory=dict)

    def mark(self, hand: Hand) -> str:
        """Return what stands for the machine of a worker in records."""
        return machine_mark(hand.host, self.salt)

    def note_lost(self, lost: Iterable[Hand], there: Collection[Hand]) -> None:
        """Expect as many workers on a machine as it had. ``there``: who is left."""
        now = time.monotonic()
        for machine, count in Counter(hand.machine for hand in lost).items():
            left = sum(hand.machine == machine for hand in there)
            wanted, until = self._missing.get(machine, (0, 0.0))
            wanted = max(wanted if until > now else 0, left + count)
            self._missing[machine] = wanted, now + RESTART_SECONDS

    def settled(self, there: Collection[Hand]) -> bool:
        """Say whether nobody is expected on the machine any more: all are back, or time is up."""
        wanted, until = self._missing.get(self.machine or 0, (0, 0.0))
        back = sum(hand.machine == self.machine for hand in there)
        return back >= wanted or time.monotonic() > until

    def choose(self, there: Collection[Hand], waiting: Sequence[PlannedCell], homes: Homes) -> str:
        """Choose the machine, once; again where it is gone. Return what is to be said of it.

        The one that has most of the run's latency cells; else where most pipelines are ready.
        """
        if any(hand.machine == self.machine for hand in there):
            return ""
        known = [hand for hand in there if self.before[self.mark(hand)]] if self.before else []
        moved = self.machine is not None or (bool(self.before) and not known)
        if known:
            best = max(known, key=lambda hand: (self.before[self.mark(hand)], -hand.machine))
            self.machine = best.machine
        else:
            self.machine = latency_machine(there, waiting, homes)
        return MOVED if moved else ""


def latency_turn(folder: RunFolder) -> LatencyTurn:
    """Return the turn of a run, with what its folder says of earlier latency cells."""
    manifest = folder.manifest()
    return LatencyTurn(f"{manifest.plan} {manifest.created_at}", _marks(folder.records()))


def _marks(records: Iterable[RunRecord]) -> Counter[str]:
    return Counter(
        one.place.host
        for one in records
        if one.cell.phase is Phase.LATENCY
        and one.status is Status.OK
        and one.place is not None
        and one.place.host
    )

"""Drives an audit: which cells are left to do, who does them, and the folder that keeps outcomes.

This process alone writes the folder. An outcome is written as soon as its cell is done, so that an
audit that is stopped loses the cells under way and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.auditing import artefacts, suite
from he_compare.comparisons.auditing.audit_cells import AuditCell, ControlsTold, Setup, cells_of
from he_compare.comparisons.auditing.cell_attack import CellAttacker, Finished
from he_compare.comparisons.auditing.lanes import LaneSource, attack_beside
from he_compare.comparisons.auditing.targets import Target
from he_compare.comparisons.progress import ProgressReporter


class Harness:
    """Attacks targets; what is finished in the folder is kept.

    ``lanes``: processes that attack beside each other; None: this process, one cell at a time.
    """

    def __init__(
        self,
        setup: Setup,
        folder: RunFolder,
        progress: ProgressReporter,
        lanes: LaneSource | None = None,
    ) -> None:
        self.setup = setup
        self.folder = folder
        self.progress = progress
        self.lanes = lanes
        self._begin = 0.0

    def run(self, targets: Sequence[Target], names: Sequence[str]) -> list[AttackOutcome]:
        """Run every attack on every target; return the outcomes in order, old ones included."""
        cells = cells_of(self.setup, targets, [suite.load(name) for name in names])
        done = self._kept()
        told = ControlsTold(self.setup, cells, done)
        found: dict[int, list[AttackOutcome]] = {}
        left = []
        for cell in cells:
            if (known := done.get(cell.identity)) is None:
                left.append(cell)
                continue
            self.progress.line(f"{cell.attack.title} on {cell.target.label}: already done, reused")
            found[cell.place] = [known]
        self._begin = time.perf_counter()
        for cell, finished in self._attack(left, told):
            # Of two cells under way at once both may bring the controls of their row.
            kept = [one for one in finished if not one.outcome.beside or told.wanted(cell)]
            for one in kept:
                self._keep(one)
            outcomes = [one.outcome for one in kept]
            found.setdefault(cell.place, []).extend(outcomes)
            told.note(cell, outcomes)
        return [outcome for place in sorted(found) for outcome in found[place]]

    def _kept(self) -> dict[str, AttackOutcome]:
        """Return the outcomes that stand, by identity: those whose files are what they left."""
        ran = [one for one in self.folder.outcomes() if one.verdict != "not run"]
        known = self.folder.sums.known()
        damaged = {
            one.identity: bad for one in ran if (bad := artefacts.damaged(self.folder, one, known))
        }
        for name in dict.fromkeys(damaged.values()):
            self.progress.say(f"note: {name} is damaged or missing: its attack runs again")
        # Controls that were attacked beside a target run again with it.
        beside = {(one.row, one.beside) for one in ran if one.identity in damaged and one.beside}
        return {
            one.identity: one
            for one in ran
            if one.identity not in damaged and (one.row, one.target) not in beside
        }

    def _attack(
        self, cells: Sequence[AuditCell], told: ControlsTold
    ) -> Iterator[tuple[AuditCell, Sequence[Finished]]]:
        """Yield what cells give: here one at a time, outcome by outcome, or beside each other."""
        attacker = CellAttacker(self.setup, self.progress)
        if self.lanes is not None:
            tell = (self._late, told.wanted, attacker.failed_elsewhere, self._lost)
            yield from attack_beside(cells, self.lanes, *tell)
            return
        for cell in cells:
            for one in attacker.attack(cell, self._late(), told.wanted(cell)):
                yield cell, [one]

    def _keep(self, one: Finished) -> None:
        digests = artefacts.keep_files(self.folder, one.files)
        self.folder.append(one.outcome.model_copy(update={"files_sha256": digests}))
        self._tell(one.outcome)

    def _lost(self, what: str) -> None:
        self.progress.say(f"note: {what}; what it was doing waits for another")

    def _late(self) -> str:
        limit = self.setup.seconds
        if limit is None or time.perf_counter() - self._begin < limit:
            return ""
        return f"the {limit:.0f} s of the whole audit were used up (see `compare audit run`)"

    def _tell(self, outcome: AttackOutcome) -> None:
        """Report the outcome; what does not apply is in the matrix, its reason in the record."""
        if outcome.verdict in ("not applicable", "unreadable"):
            return
        self.progress.line(
            f"{outcome.title} on {outcome.target}: {outcome.verdict}"
            + (f" ({outcome.headline})" if outcome.headline else f" ({outcome.reason})")
        )

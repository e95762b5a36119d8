"""Runs one cell of an audit after the other in this process: outcomes and files, nothing written.

Every attack runs under several keys and, with the same beliefs, on the controls: the identity,
where it must win, and uniform noise and AES-CTR, where it must not. Pictures and numbers of the
controls are outcomes of their own, so that a grid shows both ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from he_compare.common.attack import Attack, Check
from he_compare.common.errors import CellError, CompareError, MessageError, UnavailableError
from he_compare.common.identity import key_of
from he_compare.common.run.records import AttackOutcome, AttackPicture
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.scheme import CLOSED_CONTROLS, CONTROLS, OPEN_CONTROL
from he_compare.common.types import NotRun
from he_compare.comparisons.auditing import artefacts, trial
from he_compare.comparisons.auditing.answers import expect_declared
from he_compare.comparisons.auditing.audit_cells import AuditCell, Setup, identity_of
from he_compare.comparisons.auditing.foreign_errors import why_failed
from he_compare.comparisons.auditing.outcome_draft import OutcomeDraft, ScoresOverKeys
from he_compare.comparisons.auditing.targets import Target, control_scheme
from he_compare.comparisons.auditing.timelimit import OverTimeError
from he_compare.comparisons.auditing.verdicts import too_small
from he_compare.comparisons.progress import ProgressReporter


@dataclass(frozen=True)
class Finished:
    """One outcome of a cell, and the files it names, by their names in the run folder."""

    outcome: AttackOutcome
    files: Mapping[str, bytes] = field(default_factory=dict)


class CellAttacker:
    """Attacks one cell after the other; what two cells share is computed once.

    ``controls`` of a call: whether the outcomes of the controls beside the cell are wanted too.
    """

    def __init__(self, setup: Setup, progress: ProgressReporter) -> None:
        self.setup = setup
        self.progress = progress
        self._controls: dict[str, dict[str, ScoresOverKeys] | str] = {}
        self._results: dict[str, ScoresOverKeys | str] = {}
        self._trial = trial.Trial(setup.pool, setup.budget, setup.seed, progress, setup.key_seed)

    def attack(self, cell: AuditCell, late: str = "", controls: bool = True) -> Iterator[Finished]:
        """Yield the outcomes of a cell: whatever is wrong with it, the other cells go on.

        ``late``: why it is not begun any more, '' where it is.
        """
        draft = self._draft(cell)
        try:
            expect_declared(cell.attack)
            for one in self._cell(cell, draft, late, controls):
                yield _placed(one, cell)
        except CompareError as error:
            yield _placed(Finished(draft.not_run(_kind_of(error), str(error))), cell)
        except (Exception, SystemExit) as error:  # code from elsewhere may raise anything
            reason = why_failed(error, repr(cell.attack.name))
            yield _placed(Finished(draft.not_run(NotRun.ERROR, reason)), cell)

    def failed_elsewhere(self, cell: AuditCell, reason: str) -> Finished:
        """Return the outcome of a cell that another process could not attack."""
        closed = replace(cell, target=cell.target.closed(reason))
        return _placed(Finished(self._draft(closed).not_run(NotRun.ERROR, reason)), cell)

    def _cell(
        self, cell: AuditCell, draft: OutcomeDraft, late: str, controls: bool
    ) -> Iterator[Finished]:
        if cell.target.no_server:
            yield Finished(draft.not_applicable(NOTHING_TO_ATTACK))
            return
        if late:
            yield Finished(draft.not_run(*self._why_late(cell, late)))
            return
        try:
            cell.target.opened  # noqa: B018 -- everything below reads it
        except CompareError as error:
            yield Finished(draft.not_run(_kind_of(error), f"nothing is deployed: {error}"))
            return
        if isinstance(cell.attack, Check):
            yield self._check(cell.attack, cell, draft)
        elif isinstance(cell.attack, Attack):
            yield from self._attack(cell.attack, cell, draft, controls)

    def _why_late(self, cell: AuditCell, late: str) -> tuple[NotRun, str]:
        """Return the kind and the reason: further public images are tried where time is left."""
        first = self.setup.references[:1]
        if cell.public is None or cell.public in first or not first:
            return NotRun.AUDIT_TIME, late
        return NotRun.BUDGET, f"{late}, with {first[0].title} as public images"

    # Attacks

    def _attack(
        self, attack: Attack, cell: AuditCell, draft: OutcomeDraft, wanted: bool
    ) -> Iterator[Finished]:
        target = cell.target
        try:
            facts = target.facts
        except MessageError as error:
            reason = f"no attack of the suite reads its messages: {error}"
            yield Finished(draft.unreadable(reason))
            return
        except CompareError as error:
            yield Finished(draft.not_run(_kind_of(error), str(error)))
            return
        except Exception as error:  # not the attack's fault: it is the scheme that fails
            yield Finished(draft.not_run(NotRun.ERROR, why_failed(error)))
            return
        if not attack.reads(facts):
            reason = "its messages are no pictures, and the attack reads pictures"
            yield Finished(draft.unreadable(reason))
            return
        obstacle = None if facts.is_control else attack.obstacle(facts)
        if obstacle is not None:
            told = draft.not_applicable if obstacle.by_construction else draft.unreadable
            yield Finished(told(obstacle.reason))
            return
        reason = too_small(attack, self.setup.budget)
        if reason:
            yield Finished(draft.not_run(NotRun.BUDGET, reason))
            return
        try:
            controls = self._on_controls(attack, cell)
            result = self._on_target(attack, cell)
        except OverTimeError as error:
            yield Finished(draft.not_run(NotRun.TIME_LIMIT, f"{attack.title}: {error}"))
            return
        pictures, files = self._pictures(cell.row, target.label, result)
        yield Finished(draft.of_result(attack, result, controls, pictures), files)
        if wanted and target.kind != "control":
            yield from self._control_outcomes(attack, cell, controls)

    def _control_outcomes(
        self, attack: Attack, cell: AuditCell, controls: dict[str, ScoresOverKeys]
    ) -> Iterator[Finished]:
        """The controls as columns of their own, as run beside this target."""
        for name in CONTROLS:
            draft = self._draft(cell, name)
            pictures, files = self._pictures(cell.row, name, controls[name])
            outcome = draft.of_result(attack, controls[name], controls, pictures)
            yield Finished(outcome.model_copy(update={"beside": cell.target.label}), files)

    def _on_target(self, attack: Attack, cell: AuditCell) -> ScoresOverKeys:
        """Run the attack under every key; what two pipelines send alike is attacked once."""
        target = cell.target
        known = key_of(attack=cell.row, work=target.equal_work(attack))
        if known not in self._results:
            self.progress.line(f"{attack.title} on {target.label}")
            try:
                keys = self._trial.on_target(attack, target, cell.public)
            except OverTimeError as error:
                self._results[known] = str(error)
            else:
                self._results[known] = keys
        result = self._results[known]
        if isinstance(result, str):
            raise OverTimeError(result)
        return result

    def _on_controls(self, attack: Attack, cell: AuditCell) -> dict[str, ScoresOverKeys]:
        target, facts = cell.target, cell.target.facts
        beliefs = key_of(
            attack=cell.row,
            facts={
                name: value
                for name, value in vars(facts).items()
                if name not in ("label", "kind", "claims", "parameters", "scheme")
            },
        )
        if beliefs not in self._controls:
            try:
                self._controls[beliefs] = {
                    name: self._trial.on_control(
                        attack,
                        target,
                        control_scheme(name, facts.shape[0]),
                        self._control_keys(attack, target),
                        cell.public,
                    )
                    for name in (OPEN_CONTROL, *CLOSED_CONTROLS)
                }
            except OverTimeError as error:
                self._controls[beliefs] = str(error)
        found = self._controls[beliefs]
        if isinstance(found, str):
            raise OverTimeError(found)
        return found

    def _control_keys(self, attack: Attack, target: Target) -> int:
        """As many as keys where images have one each: controls are then paired, image by image."""
        if not target.facts.images_are_samples:
            return self.setup.control_keys
        return max(self.setup.budget.keys, attack.least_keys)

    def _pictures(
        self, row: str, label: str, result: ScoresOverKeys
    ) -> tuple[list[AttackPicture], dict[str, bytes]]:
        if not self.setup.pictures or result.first is None or not result.scores[0].pictures:
            return [], {}
        view, truth = result.first
        return artefacts.attack_pictures(
            label, row, result.scores[0].pictures, truth, view.ciphertexts
        )

    # Checks

    def _check(self, check: Check, cell: AuditCell, draft: OutcomeDraft) -> Finished:
        target = cell.target
        inspected = self._trial.inspected(target)
        reason = check.applies(inspected)
        if reason:
            return Finished(draft.not_applicable(reason))
        reason = check.unreadable(inspected)
        if reason:
            return Finished(draft.unreadable(reason))
        self.progress.line(f"{check.title} on {target.label}")
        start = time.perf_counter()
        try:
            finding = self._trial.examine(check, inspected)
        except OverTimeError as error:
            return Finished(draft.not_run(NotRun.TIME_LIMIT, str(error)))
        seconds = time.perf_counter() - start
        files = artefacts.finding_files(target.label, check.name, finding.artefacts)
        shown = finding.pictures if self.setup.pictures else ()
        pictures, drawn = artefacts.finding_pictures(target.label, check.name, shown)
        outcome = draft.of_finding(check, finding, seconds, list(files), pictures)
        return Finished(outcome, files | drawn)

    def _draft(self, cell: AuditCell, control: str = "") -> OutcomeDraft:
        setup, attack = self.setup, cell.attack
        return OutcomeDraft(
            attack,
            cell.target,
            identity_of(setup, attack, cell.target, cell.public, control)
            if control
            else cell.identity,
            setup.budget,
            setup.command_of(attack, cell.public),
            control=control,
            public=cell.public,
            key_seed=setup.key_seed,
        )


def _placed(one: Finished, cell: AuditCell) -> Finished:
    return Finished(one.outcome.model_copy(update={"place": cell.place}), one.files)


def _kind_of(error: CompareError) -> NotRun:
    if isinstance(error, CellError):
        return NotRun.ERROR
    return NotRun.UNAVAILABLE if isinstance(error, UnavailableError) else NotRun.REFUSED

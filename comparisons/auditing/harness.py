"""Runs attacks and checks against targets and writes each outcome down as a record.

Every attack runs under several keys and, with the same beliefs, on the controls: the identity,
where it must win, and uniform noise and AES-CTR, where it must not. Pictures and numbers of the
controls are outcomes of their own, so that a grid shows both ends.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from he_compare.common.adversary import Need
from he_compare.common.attack import Attack, AuditStep, Check
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import CellError, CompareError, MessageError, UnavailableError
from he_compare.common.identity import key_of, source_digest
from he_compare.common.references.reference import Public
from he_compare.common.run.records import AttackOutcome, AttackPicture
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.run.store import RunFolder
from he_compare.common.scheme import CLOSED_CONTROLS, CONTROLS, OPEN_CONTROL
from he_compare.common.sources import sources_of
from he_compare.common.types import NotRun
from he_compare.comparisons.auditing import artefacts, suite, trial
from he_compare.comparisons.auditing.answers import expect_declared
from he_compare.comparisons.auditing.outcome_draft import OutcomeDraft, ScoresOverKeys
from he_compare.comparisons.auditing.pool import PlainPool, training_images
from he_compare.comparisons.auditing.targets import Target, control_modules, control_scheme
from he_compare.comparisons.auditing.timelimit import OverTimeError
from he_compare.comparisons.auditing.verdicts import large_enough, too_small
from he_compare.comparisons.progress import ProgressReporter

# What runs over keys, scores and judges, beside the attack and what it attacks. This module is none
# of it: it chooses cells, keeps the folder and reports progress.
JUDGES = (trial.__name__,)


@dataclass(frozen=True)
class Setup:
    """What all cells of one audit share. ``command``: reproduces it, up to target and attack.

    ``run``: what else of a run can change an outcome (backbone and weights). ``key_seed``: what
    attacked keys are derived from, for debugging; None for keys of the operating system, of which
    scores hang within their intervals and which identify no outcome. ``seconds``: after
    which no other cell is begun. ``pictures``: whether images and reconstructions may be kept.
    ``references``: public images, each a row of its own for an attack that needs some; none: the
    pool's training images, said to be in-domain.
    """

    pool: PlainPool
    budget: AttackBudget
    seed: int
    command: str
    run: Mapping[str, Any] = field(default_factory=dict)
    key_seed: int | None = None
    pictures: bool = True
    control_keys: int = 2
    seconds: float | None = None
    references: tuple[Public, ...] = ()


class Harness:
    """Attacks targets one after the other; what is finished in the folder is kept."""

    def __init__(self, setup: Setup, folder: RunFolder, progress: ProgressReporter) -> None:
        self.setup = setup
        self.folder = folder
        self.progress = progress
        self._controls: dict[str, dict[str, ScoresOverKeys]] = {}
        self._results: dict[str, ScoresOverKeys | str] = {}
        self._told: set[str] = set()
        # The public images of the step that runs: an attack with others is another row.
        self._public: Public | None = None
        self._trial = trial.Trial(setup.pool, setup.budget, setup.seed, progress, setup.key_seed)

    def run(self, targets: Sequence[Target], names: Sequence[str]) -> list[AttackOutcome]:
        """Run every attack on every target and return the outcomes, old ones included."""
        done = {
            outcome.identity: outcome
            for outcome in self.folder.outcomes()
            if outcome.verdict != "not run"
        }
        self._told = {o.row for o in done.values() if o.target_kind == "control"}
        found = []
        begin = time.perf_counter()
        for attack, public in self._steps([suite.load(name) for name in names]):
            self._public = public
            for target in targets:
                identity = self.identity(attack, target)
                known = done.get(identity)
                if known is not None:
                    self.progress.line(f"{attack.title} on {target.label}: already done, reused")
                    found.append(known)
                    continue
                late = self._late(time.perf_counter() - begin)
                for outcome in self._outcomes(attack, target, identity, late):
                    self.folder.append(outcome)
                    found.append(outcome)
                    self._tell(outcome)
        return found

    def _steps(self, attacks: Sequence[AuditStep]) -> list[tuple[AuditStep, Public | None]]:
        """Every attack, once for each reference if it needs public images.

        Rows of the first reference come before those of the others, which end where time does.
        """
        references = self.setup.references or (training_images(self.setup.pool),)
        steps: list[tuple[int, AuditStep, Public | None]] = []
        for attack in attacks:
            given = references if Need.AUXILIARY in attack.needs else (None,)
            steps += [(turn, attack, public) for turn, public in enumerate(given)]
        ordered = sorted(steps, key=lambda step: (step[0] > 0, step[1].slow))
        return [(attack, public) for _, attack, public in ordered]

    def identity(self, attack: AuditStep, target: Target, control: str = "") -> str:
        """Return the key of an outcome: everything that can change it.

        A deployment is named by its tape and by the sources of its pipeline. The controls count as
        well: floor and ceiling come from them.
        """
        modules = (*JUDGES, *control_modules(), *target.modules, type(attack).__module__)
        if self._public is not None:
            modules += (type(self._public.reference).__module__,)
        return key_of(
            attack=attack.name,
            target=target.label,
            control=control,
            pipeline=target.pipeline,
            parameters=dict(target.parameters),
            shape=list(target.shape),
            tape=target.tape_digest,
            data=self.setup.pool.fingerprint,
            budget=self.setup.budget.as_record(),
            control_keys=self.setup.control_keys,
            seed=self.setup.seed,
            key_seed=self.setup.key_seed,
            run=dict(self.setup.run),
            reference=self._public.facts().model_dump() if self._public else None,
            source=source_digest(*sources_of(*modules)),
        )

    def _why_late(self, late: str) -> tuple[NotRun, str]:
        """Return the kind and the reason: further public images are tried where time is left."""
        first = self.setup.references[:1]
        if self._public is None or self._public in first or not first:
            return NotRun.AUDIT_TIME, late
        return NotRun.BUDGET, f"{late}, with {first[0].title} as public images"

    def _late(self, seconds: float) -> str:
        limit = self.setup.seconds
        if limit is None or seconds < limit:
            return ""
        return f"the {limit:.0f} s of the whole audit were used up (see `compare audit run`)"

    def _outcomes(
        self, attack: AuditStep, target: Target, identity: str, late: str
    ) -> list[AttackOutcome]:
        """Return the outcomes of one cell: whatever is wrong with it, the other cells go on."""
        try:
            expect_declared(attack)
            return list(self._cell(attack, target, identity, late))
        except CompareError as error:
            return [self._draft(attack, target, identity).not_run(_kind_of(error), str(error))]
        except (Exception, SystemExit) as error:  # code from elsewhere may raise anything
            traceback.print_exc()
            reason = f"{attack.name!r} failed: {type(error).__name__}: {error}"
            return [self._draft(attack, target, identity).not_run(NotRun.ERROR, reason)]

    def _cell(
        self, attack: AuditStep, target: Target, identity: str, late: str
    ) -> Iterator[AttackOutcome]:
        draft = self._draft(attack, target, identity)
        if target.no_server:
            yield draft.not_applicable(NOTHING_TO_ATTACK)
            return
        if late:
            yield draft.not_run(*self._why_late(late))
            return
        try:
            target.opened  # noqa: B018 -- everything below reads it
        except CompareError as error:
            yield draft.not_run(_kind_of(error), f"nothing is deployed: {error}")
            return
        if isinstance(attack, Check):
            yield self._check(attack, target, identity)
        elif isinstance(attack, Attack):
            yield from self._attack(attack, target, identity)

    def _tell(self, outcome: AttackOutcome) -> None:
        """Report the outcome; what does not apply is in the matrix, its reason in the record."""
        if outcome.verdict in ("not applicable", "unreadable"):
            return
        self.progress.line(
            f"{outcome.title} on {outcome.target}: {outcome.verdict}"
            + (f" ({outcome.headline})" if outcome.headline else f" ({outcome.reason})")
        )

    # Attacks

    def _attack(self, attack: Attack, target: Target, identity: str) -> Iterator[AttackOutcome]:
        draft = self._draft(attack, target, identity)
        try:
            facts = target.facts
        except MessageError as error:
            yield draft.unreadable(f"no attack of the suite reads its messages: {error}")
            return
        except CompareError as error:
            yield draft.not_run(_kind_of(error), str(error))
            return
        except Exception as error:  # not the attack's fault: it is the scheme that fails
            traceback.print_exc()
            yield draft.not_run(NotRun.ERROR, f"failed: {type(error).__name__}: {error}")
            return
        if not attack.reads(facts):
            yield draft.unreadable("its messages are no pictures, and the attack reads pictures")
            return
        obstacle = None if facts.is_control else attack.obstacle(facts)
        if obstacle is not None:
            told = draft.not_applicable if obstacle.by_construction else draft.unreadable
            yield told(obstacle.reason)
            return
        reason = too_small(attack, self.setup.budget)
        if reason:
            yield draft.not_run(NotRun.BUDGET, reason)
            return
        try:
            controls = self._on_controls(attack, target)
            result = self._on_target(attack, target)
        except OverTimeError as error:
            yield draft.not_run(NotRun.TIME_LIMIT, f"{attack.title}: {error}")
            return
        pictures = self._pictures(attack, target.label, result)
        yield draft.of_result(attack, result, controls, pictures)
        if self._row(attack) not in self._told and target.kind != "control":
            yield from self._control_outcomes(attack, target, controls)
            self._told.add(self._row(attack))

    def _control_outcomes(
        self, attack: Attack, target: Target, controls: dict[str, ScoresOverKeys]
    ) -> Iterator[AttackOutcome]:
        """The controls as columns of their own, as run beside the first target of this attack."""
        for name in CONTROLS:
            draft = OutcomeDraft(
                attack,
                target,
                self.identity(attack, target, name),
                self.setup.budget,
                self._command(attack),
                control=name,
                public=self._public,
                key_seed=self.setup.key_seed,
            )
            pictures = self._pictures(attack, name, controls[name])
            yield draft.of_result(attack, controls[name], controls, pictures)

    def _on_target(self, attack: Attack, target: Target) -> ScoresOverKeys:
        """Run the attack under every key; what two pipelines send alike is attacked once."""
        known = key_of(attack=self._row(attack), work=target.equal_work(attack))
        if known not in self._results:
            self.progress.line(f"{attack.title} on {target.label}")
            try:
                keys = self._trial.on_target(attack, target, self._public)
            except OverTimeError as error:
                self._results[known] = str(error)
            else:
                self._results[known] = keys
        result = self._results[known]
        if isinstance(result, str):
            raise OverTimeError(result)
        return result

    def _on_controls(self, attack: Attack, target: Target) -> dict[str, ScoresOverKeys]:
        facts = target.facts
        beliefs = key_of(
            attack=self._row(attack),
            facts={
                name: value
                for name, value in vars(facts).items()
                if name not in ("label", "kind", "claims", "parameters", "scheme")
            },
        )
        if beliefs not in self._controls:
            self._controls[beliefs] = {
                name: self._trial.on_control(
                    attack,
                    target,
                    control_scheme(name, facts.shape[0]),
                    self._control_keys(attack, target),
                    self._public,
                )
                for name in (OPEN_CONTROL, *CLOSED_CONTROLS)
            }
        return self._controls[beliefs]

    def _control_keys(self, attack: Attack, target: Target) -> int:
        """As many as keys where images have one each: controls are then paired, image by image."""
        if not target.facts.images_are_samples:
            return self.setup.control_keys
        return max(self.setup.budget.keys, attack.least_keys)

    def _pictures(self, attack: Attack, label: str, result: ScoresOverKeys) -> list[AttackPicture]:
        if not self.setup.pictures or result.first is None or not result.scores[0].pictures:
            return []
        view, truth = result.first
        return artefacts.store_attack_pictures(
            self.folder,
            label,
            self._row(attack),
            result.scores[0].pictures,
            truth,
            view.ciphertexts,
        )

    # Checks

    def _check(self, check: Check, target: Target, identity: str) -> AttackOutcome:
        draft = self._draft(check, target, identity)
        inspected = self._trial.inspected(target)
        reason = check.applies(inspected)
        if reason:
            return draft.not_applicable(reason)
        reason = check.unreadable(inspected)
        if reason:
            return draft.unreadable(reason)
        self.progress.line(f"{check.title} on {target.label}")
        start = time.perf_counter()
        try:
            finding = self._trial.examine(check, inspected)
        except OverTimeError as error:
            return draft.not_run(NotRun.TIME_LIMIT, str(error))
        seconds = time.perf_counter() - start
        files = artefacts.store_findings(self.folder, target.label, check.name, finding.artefacts)
        shown = finding.pictures if self.setup.pictures else ()
        pictures = artefacts.store_finding_pictures(self.folder, target.label, check.name, shown)
        return draft.of_finding(check, finding, seconds, files, pictures)

    def _draft(self, attack: AuditStep, target: Target, identity: str) -> OutcomeDraft:
        return OutcomeDraft(
            attack,
            target,
            identity,
            self.setup.budget,
            self._command(attack),
            public=self._public,
            key_seed=self.setup.key_seed,
        )

    def _row(self, attack: AuditStep) -> str:
        """Name the row of the matrix, as ``AttackOutcome.row`` does."""
        return f"{attack.name}@{self._public.reference.name}" if self._public else attack.name

    def _command(self, attack: AuditStep) -> str:
        budget = self.setup.budget
        enough = large_enough(attack, budget)
        command = self.setup.command.replace(f"--budget {budget.name}", f"--budget {enough}")
        public = f" --public {self._public.argument}" if self._public else ""
        return f"{command}{public} --attack {attack.name}"


def _kind_of(error: CompareError) -> NotRun:
    if isinstance(error, CellError):
        return NotRun.ERROR
    return NotRun.UNAVAILABLE if isinstance(error, UnavailableError) else NotRun.REFUSED

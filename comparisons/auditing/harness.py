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

from he_compare.common.attack import Attack, AttackFailedError, AuditStep, Check, Inspected
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import CellError, CompareError, MessageError, UnavailableError
from he_compare.common.identity import key_of, source_digest
from he_compare.common.run.records import AttackOutcome, AttackPicture
from he_compare.common.run.store import RunFolder
from he_compare.common.scheme import CLOSED_CONTROLS, CONTROLS, OPEN_CONTROL, Scheme
from he_compare.common.seeds import generator_for, seed_for
from he_compare.common.sources import sources_of
from he_compare.common.types import NotRun
from he_compare.comparisons.attacks.tools.recogniser import Recogniser, fit_recogniser
from he_compare.comparisons.auditing import artefacts, suite
from he_compare.comparisons.auditing.adversary_view import Attacked, set_up
from he_compare.comparisons.auditing.outcome_draft import Keys, OutcomeDraft
from he_compare.comparisons.auditing.pool import PlainPool, is_grey
from he_compare.comparisons.auditing.targets import (
    KEY_IN_USE,
    Target,
    control_modules,
    control_scheme,
)
from he_compare.comparisons.auditing.timelimit import OverTimeError, time_limit
from he_compare.comparisons.auditing.verdicts import large_enough, too_small
from he_compare.comparisons.progress import ProgressReporter

# What judges and scores, beside the attack and what it attacks.
JUDGES = (
    "he_compare.comparisons.auditing.harness",
    "he_compare.comparisons.attacks.tools.recogniser",
)


@dataclass(frozen=True)
class Setup:
    """What all cells of one audit share. ``command``: reproduces it, up to target and attack.

    ``run``: what else of a run can change an outcome (backbone and weights). ``seconds``: after
    which no other cell is begun. ``pictures``: whether images and reconstructions may be kept.
    """

    pool: PlainPool
    budget: AttackBudget
    seed: int
    command: str
    size: int
    run: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = True
    control_keys: int = 2
    seconds: float | None = None


class Harness:
    """Attacks targets one after the other; what is finished in the folder is kept."""

    def __init__(self, setup: Setup, folder: RunFolder, progress: ProgressReporter) -> None:
        self.setup = setup
        self.folder = folder
        self.progress = progress
        self._controls: dict[str, dict[str, Keys]] = {}
        self._results: dict[str, Keys | str] = {}
        self._told: set[str] = set()
        self._recognisers: dict[int, Recogniser | None] = {}

    def run(self, targets: Sequence[Target], names: Sequence[str]) -> list[AttackOutcome]:
        """Run every attack on every target and return the outcomes, old ones included."""
        done = {
            outcome.identity: outcome
            for outcome in self.folder.outcomes()
            if outcome.verdict != "not run"
        }
        self._told = {o.attack for o in done.values() if o.target_kind == "control"}
        found = []
        begin = time.perf_counter()
        attacks: list[AuditStep] = [suite.load(name) for name in names]
        for attack in sorted(attacks, key=lambda attack: attack.slow):
            for target in targets:
                identity = self.identity(attack, target)
                known = done.get(identity)
                if known is not None:
                    self.progress.line(f"{attack.title} on {target.label}: already done, reused")
                    found.append(known)
                    continue
                late = self._late(time.perf_counter() - begin)
                for outcome in self._cell(attack, target, identity, late):
                    self.folder.append(outcome)
                    found.append(outcome)
                    self._tell(outcome)
        return found

    def identity(self, attack: AuditStep, target: Target, control: str = "") -> str:
        """Return the key of an outcome: everything that can change it.

        A deployment is named by its tape and by the sources of its pipeline. The controls count as
        well: floor and ceiling come from them.
        """
        modules = (*JUDGES, *control_modules(), *target.modules, type(attack).__module__)
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
            run=dict(self.setup.run),
            source=source_digest(*sources_of(*modules)),
        )

    def _late(self, seconds: float) -> str:
        limit = self.setup.seconds
        if limit is None or seconds < limit:
            return ""
        return f"the {limit:.0f} s of the whole audit were used up (see `compare audit run`)"

    def _cell(
        self, attack: AuditStep, target: Target, identity: str, late: str
    ) -> Iterator[AttackOutcome]:
        frame = self._frame(attack, target, identity)
        if late:
            yield frame.not_run(NotRun.AUDIT_TIME, late)
            return
        try:
            target.opened  # noqa: B018 -- everything below reads it
        except CompareError as error:
            yield frame.not_run(_kind_of(error), f"nothing is deployed: {error}")
            return
        if isinstance(attack, Check):
            yield self._check(attack, target, identity)
        elif isinstance(attack, Attack):
            yield from self._attack(attack, target, identity)

    def _tell(self, outcome: AttackOutcome) -> None:
        """Say what came out; what does not apply stands in the matrix, with its reason in the
        record."""
        if outcome.verdict in ("not applicable", "unreadable"):
            return
        self.progress.line(
            f"{outcome.title} on {outcome.target}: {outcome.verdict}"
            + (f" ({outcome.headline})" if outcome.headline else f" ({outcome.reason})")
        )

    # Attacks

    def _attack(self, attack: Attack, target: Target, identity: str) -> Iterator[AttackOutcome]:
        frame = self._frame(attack, target, identity)
        try:
            facts = target.facts
        except MessageError as error:
            yield frame.unreadable(f"no attack of the suite reads its messages: {error}")
            return
        except CompareError as error:
            yield frame.not_run(_kind_of(error), str(error))
            return
        except Exception as error:  # a scheme from elsewhere must not take the others with it
            traceback.print_exc()
            yield frame.not_run(NotRun.ERROR, f"failed: {type(error).__name__}: {error}")
            return
        if not attack.reads(facts):
            yield frame.unreadable("its messages are no pictures, and the attack reads pictures")
            return
        reason = "" if facts.is_control else attack.applies(facts)
        if reason:
            yield frame.not_applicable(reason)
            return
        reason = too_small(attack, self.setup.budget)
        if reason:
            yield frame.not_run(NotRun.BUDGET, reason)
            return
        try:
            controls = self._on_controls(attack, target)
            result = self._on_target(attack, target)
        except CompareError as error:
            yield frame.not_run(_kind_of(error), str(error))
            return
        except OverTimeError as error:
            yield frame.not_run(NotRun.TIME_LIMIT, f"{attack.title}: {error}")
            return
        except Exception as error:  # one attack's bug must not take the others with it
            traceback.print_exc()
            yield frame.not_run(NotRun.ERROR, f"failed: {type(error).__name__}: {error}")
            return
        pictures = self._pictures(attack, target.label, result)
        yield frame.of_result(attack, result, controls, pictures)
        if attack.name not in self._told and target.kind != "control":
            self._told.add(attack.name)
            yield from self._control_outcomes(attack, target, controls)

    def _control_outcomes(
        self, attack: Attack, target: Target, controls: dict[str, Keys]
    ) -> Iterator[AttackOutcome]:
        """The controls as columns of their own, as run beside the first target of this attack."""
        for name in CONTROLS:
            frame = OutcomeDraft(
                attack,
                target,
                self.identity(attack, target, name),
                self.setup.budget,
                self._command(attack),
                control=name,
            )
            pictures = self._pictures(attack, name, controls[name])
            yield frame.of_result(attack, controls[name], controls, pictures)

    def _on_target(self, attack: Attack, target: Target) -> Keys:
        """Run the attack under every key; what two pipelines send alike is attacked once."""
        known = key_of(attack=attack.name, work=target.equal_work(attack))
        if known not in self._results:
            self.progress.line(f"{attack.title} on {target.label}")
            try:
                number = max(self.setup.budget.keys, attack.least_keys)
                keys = self._over_keys(attack, target, None, number)
            except OverTimeError as error:
                self._results[known] = str(error)
            else:
                self._results[known] = keys
        result = self._results[known]
        if isinstance(result, str):
            raise OverTimeError(result)
        return result

    def _on_controls(self, attack: Attack, target: Target) -> dict[str, Keys]:
        facts = target.facts
        beliefs = key_of(
            attack=attack.name,
            facts={
                name: value
                for name, value in vars(facts).items()
                if name not in ("label", "kind", "claims", "parameters", "scheme")
            },
        )
        if beliefs not in self._controls:
            self._controls[beliefs] = {
                name: self._over_keys(
                    attack,
                    target,
                    control_scheme(name, facts.shape[0]),
                    self.setup.control_keys,
                )
                for name in (OPEN_CONTROL, *CLOSED_CONTROLS)
            }
        return self._controls[beliefs]

    def _over_keys(self, attack: Attack, target: Target, control: Scheme | None, keys: int) -> Keys:
        setup, result = self.setup, Keys()
        for number in range(keys):
            view, truth = set_up(
                attack,
                target.scheme,
                target.facts,
                self._attacked(target, control, number),
                setup.pool,
                setup.budget,
                setup.seed,
                number,
                self._recogniser(target.scheme.shape[0]),
            )
            random = generator_for(setup.seed, "attack", attack.name, number)
            start = time.perf_counter()
            guess, gave_up = None, False
            with time_limit(setup.budget.seconds):
                try:
                    guess = attack.run(view, setup.budget, random)
                except AttackFailedError as error:
                    gave_up = True
                    result.gave_up.append(str(error))
            result.seconds += time.perf_counter() - start
            result.scores.append(
                attack.score_nothing(truth) if gave_up else attack.score(guess, truth)
            )
            if number == 0:
                result.first = (view, truth)
                result.grey = is_grey(truth.originals)
            self.progress("keys", number + 1, keys)
        return result

    def _attacked(self, target: Target, control: Scheme | None, number: int) -> Attacked:
        """The target under key ``number``, or a control."""
        seed = self.setup.seed
        if control is not None:
            key = control.new_key(seed_for(seed, "audit key", control.name, number))
            return Attacked(control, key)
        tape = target.opened.tape if number == KEY_IN_USE else None
        return Attacked(target.scheme, target.key(number, seed), tape)

    def _recogniser(self, size: int) -> Recogniser | None:
        if size not in self._recognisers:
            self._recognisers[size] = fit_recogniser(self.setup.pool.auxiliary(size))
        return self._recognisers[size]

    def _pictures(self, attack: Attack, label: str, result: Keys) -> list[AttackPicture]:
        if not self.setup.pictures or result.first is None or not result.scores[0].pictures:
            return []
        view, truth = result.first
        return artefacts.store_pictures(
            self.folder, label, attack.name, result.scores[0].pictures, truth, view.ciphertexts
        )

    # Checks

    def _check(self, check: Check, target: Target, identity: str) -> AttackOutcome:
        frame = self._frame(check, target, identity)
        inspected = self._inspected(target)
        reason = check.applies(inspected)
        if reason:
            return frame.not_applicable(reason)
        reason = check.unreadable(inspected)
        if reason:
            return frame.unreadable(reason)
        random = generator_for(self.setup.seed, "check", check.name)
        self.progress.line(f"{check.title} on {target.label}")
        start = time.perf_counter()
        try:
            with time_limit(self.setup.budget.seconds * self.setup.budget.keys):
                finding = check.examine(inspected, self.setup.budget, random)
        except CompareError as error:
            return frame.not_run(_kind_of(error), str(error))
        except OverTimeError as error:
            return frame.not_run(NotRun.TIME_LIMIT, str(error))
        except Exception as error:  # one check's bug must not take the others with it
            traceback.print_exc()
            return frame.not_run(NotRun.ERROR, f"failed: {type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        files = artefacts.store_findings(self.folder, target.label, check.name, finding.artefacts)
        shown = finding.pictures if self.setup.pictures else ()
        pictures = artefacts.store_finding_pictures(self.folder, target.label, check.name, shown)
        return frame.of_finding(check, finding, seconds, files, pictures)

    def _inspected(self, target: Target) -> Inspected:
        batch = self.setup.pool.attacked(self.setup.size)
        return Inspected(
            label=target.label,
            pipeline=target.pipeline,
            deployed=target.opened.deployed,
            scheme=target.scheme,
            images=batch.images,
            labels=batch.labels,
            classes=self.setup.pool.classes,
        )

    def _frame(self, attack: AuditStep, target: Target, identity: str) -> OutcomeDraft:
        return OutcomeDraft(attack, target, identity, self.setup.budget, self._command(attack))

    def _command(self, attack: AuditStep) -> str:
        budget = self.setup.budget
        enough = large_enough(attack, budget)
        command = self.setup.command.replace(f"--budget {budget.name}", f"--budget {enough}")
        return f"{command} --attack {attack.name}"


def _kind_of(error: CompareError) -> NotRun:
    if isinstance(error, CellError):
        return NotRun.ERROR
    return NotRun.UNAVAILABLE if isinstance(error, UnavailableError) else NotRun.REFUSED

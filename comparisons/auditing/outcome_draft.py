"""From scores over keys and controls to the record of one cell of the matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack, AuditStep, Check, CheckFinding
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.references.reference import Domain, Public
from he_compare.common.run.records import (
    AttackOutcome,
    AttackPicture,
    CountsAs,
    Interval,
    MessageSource,
    MetricValue,
    ReferenceFacts,
    Verdict,
)
from he_compare.common.run.result_words import OF_PICTURES, result_in_words
from he_compare.common.run.spelling import significant
from he_compare.common.scheme import CLOSED_CONTROLS, OPEN_CONTROL
from he_compare.common.types import Aim, Knowledge, NotRun
from he_compare.comparisons.auditing.floors import NOISE, mean_floors
from he_compare.comparisons.auditing.intervals import (
    Resampled,
    interval_of,
    interval_over_keys,
    pooled_over_keys,
    resampled,
    share_interval,
)
from he_compare.comparisons.auditing.pool import GREY_LIMIT
from he_compare.comparisons.auditing.targets import Target
from he_compare.comparisons.auditing.verdicts import (
    AdvantageScale,
    Judgement,
    advantage,
    control_problems,
    judge,
    larger,
    scale_of,
)

# What follows the title of an attack in a row for one set of public images.
PUBLIC_TITLE = ", public images: "


@dataclass
class ScoresOverKeys:
    """Scores of one attack over keys, with what is kept of the first for pictures.

    ``groups``: of every key, the patient of each image of its score. ``floors``: of every key, what
    was had without the attack, by name.
    """

    scores: list[Score] = field(default_factory=list)
    seconds: float = 0.0
    gave_up: list[str] = field(default_factory=list)
    first: tuple[View, Truth] | None = None
    groups: list[list[str]] = field(default_factory=list)
    floors: list[Mapping[str, float]] = field(default_factory=list)
    grey: bool = False

    @property
    def values(self) -> list[float]:
        """The metric, key by key."""
        return [score.value for score in self.scores]

    @property
    def mean(self) -> float:
        """The metric's mean over keys."""
        return float(np.mean(self.values))

    @property
    def error(self) -> float:
        """Standard error of the mean at chance level."""
        return max(score.error for score in self.scores) / math.sqrt(len(self.scores))


FLOOR_CONTROL = CLOSED_CONTROLS[0]
ADDED = {
    Need.AUXILIARY: Knowledge.AUXILIARY_DATA,
    Need.PAIRS: Knowledge.KNOWN_PAIRS,
    Need.ORACLE: Knowledge.CHOSEN_PLAINTEXTS,
    Need.CANDIDATES: Knowledge.AUXILIARY_DATA,
    Need.LABELS: Knowledge.AUXILIARY_DATA,
    Need.MODELS: Knowledge.AUXILIARY_DATA,
}
REFERENCE_LIMITS = {
    Domain.IN_DOMAIN: "in-domain reference: the public images are of the collection under test, or "
    "made from it; an attacker without such images gets less",
    Domain.FOREIGN: "foreign reference: the public images are of another collection; an attacker "
    "with images of the same kind may get more",
    Domain.UNKNOWN: "it is not known whether the public images are of the collection under test",
}
HARDNESS = "reduction to a hardness assumption"
# Draws of intervals are the same for everybody; they decide nothing that an attack could use.
RESAMPLING_SEED = 0
SEEDED_KEYS = "keys are derived from a seed that the audit was given: for debugging only"
NO_SPREAD = "one key: no interval over keys, the verdict uses the point value"


ABOVE_FLOOR = (
    "the interval lies above 0: the attack got a little more than its floor, an estimate from few "
    "control keys, and less than a tenth of what there is to win"
)
OTHER_SIZE = (
    "the interval lies above 0, which shows no leak: the floor was measured on noise of the size "
    "of an image, and these messages are of another size"
)


def floor_is_exceeded(verdict: Verdict, interval: Interval | None) -> bool:
    """Say whether what counts as resisted lies above its floor all the same: that is explained."""
    return verdict == "resists within budget" and interval is not None and interval.low > 0


@dataclass(frozen=True)
class OutcomeDraft:
    """What is known of an outcome before anything ran.

    ``control``: set where the outcome is that of a control, run with the beliefs about ``target``.
    ``public``: the public images the attack was given.
    """

    attack: AuditStep
    target: Target
    identity: str
    budget: AttackBudget
    command: str
    control: str = ""
    public: Public | None = None
    key_seed: int | None = None

    def not_applicable(self, reason: str) -> AttackOutcome:
        """Record that the attack does not apply to this target, and why."""
        return self._without_result("not applicable", reason)

    def unreadable(self, reason: str) -> AttackOutcome:
        """Record that the attack cannot read this target's messages: nothing is known."""
        return self._without_result("unreadable", reason)

    def not_run(self, kind: NotRun, reason: str) -> AttackOutcome:
        """Record that the attack should have run and did not, and why."""
        return self._without_result("not run", reason, kind)

    def _without_result(
        self, verdict: Verdict, reason: str, kind: NotRun | None = None
    ) -> AttackOutcome:
        facts = {"verdict": verdict, "reason": reason, "not_run": kind, "messages": ""}
        return AttackOutcome.model_validate(self._common() | facts)

    def of_result(
        self,
        attack: Attack,
        result: ScoresOverKeys,
        controls: Mapping[str, ScoresOverKeys],
        pictures: Sequence[AttackPicture],
    ) -> AttackOutcome:
        """Judge an attack's scores over keys between floor and ceiling."""
        metric = attack.metric
        by_control = {name: keys.mean for name, keys in controls.items()}
        floors = mean_floors(result.floors)
        scale = scale_of(metric, floors, by_control[FLOOR_CONTROL], by_control[OPEN_CONTROL])
        floor, ceiling = scale.floor, scale.ceiling
        error = controls[FLOOR_CONTROL].error
        problems = control_problems(
            metric, floor, ceiling, by_control, error, short=bool(scale.short)
        )
        share = advantage(result.mean, floor, ceiling)
        drawn = None if self.control else self._drawn(result, controls[OPEN_CONTROL], scale)
        # A control has a known answer: its few keys are there to check it, not to estimate it.
        interval = None if self.control else share_interval(result.values, floor, ceiling, drawn)
        judgement = judge(share, interval, problems, larger(self.budget), scale.short)
        if self.control in CLOSED_CONTROLS and not problems:
            judgement = Judgement("resists within budget")
        counts_as = self._counts_as(attack, judgement.verdict)
        no_spread = len(result.values) == 1 and (drawn is None or not drawn.pooled)
        value = MetricValue(
            name=metric.name,
            value=result.mean,
            interval=interval_of(result.values, drawn, metric.low, metric.high),
            n=len(result.values),
            unit=metric.unit,
            note=NO_SPREAD if no_spread else "",
        )
        exceeded = floor_is_exceeded(judgement.verdict, interval)
        return AttackOutcome.model_validate(
            self._common()
            | self._adversary(attack.rung_on(self.target.facts))
            | {
                "headline": headline(metric, value, scale, by_control[OPEN_CONTROL]),
                "metric": value,
                "higher_is_worse": metric.higher_is_worse,
                "per_key": result.values,
                "details": mean_details(result.scores),
                "floor": floor,
                "floor_from": scale.floor_from,
                "floors": {NOISE: by_control[FLOOR_CONTROL]} | floors,
                "ceiling": ceiling,
                "advantage": share,
                "advantage_interval": interval,
                "controls": by_control,
                "control_keys": len(controls[FLOOR_CONTROL].scores),
                "aligned": attack.aligns,
                "verdict": judgement.verdict,
                "counts_as": counts_as,
                "promised": counts_as != "open by design",
                "keys": "operating system" if self.key_seed is None else "seeded",
                "reason": judgement.reason,
                "unreliable": list(judgement.unreliable),
                "controls_failed": list(judgement.controls_failed),
                "spent": dict(result.scores[0].spent) | {"keys": len(result.values)},
                "seconds": result.seconds,
                "pictures": list(pictures),
                "artefacts": [picture.file for picture in pictures],
                "limits": self._limits(attack, result, no_spread=no_spread, exceeded=exceeded),
                "reference": self._reference(result),
            }
        )

    def _limits(
        self, attack: Attack, result: ScoresOverKeys, *, no_spread: bool, exceeded: bool
    ) -> list[str]:
        """Return what a result does not say. ``exceeded``: it lies above its floor."""
        limits = [*attack.limits, *self._limits_of_reference(), *self.target.limits()]
        if no_spread:
            limits.append(NO_SPREAD)
        if self.key_seed is not None:
            limits.append(SEEDED_KEYS)
        if result.grey:
            limits.append(GREY_LIMIT)
        if exceeded:
            limits.append(ABOVE_FLOOR if self.target.facts.pictures else OTHER_SIZE)
        if result.gave_up:
            limits.append(
                f"the attack gave up under {len(result.gave_up)} of {len(result.values)} keys: "
                f"{result.gave_up[0]}"
            )
        return limits

    def of_finding(
        self,
        check: Check,
        finding: CheckFinding,
        seconds: float,
        files: Sequence[str],
        pictures: Sequence[AttackPicture],
    ) -> AttackOutcome:
        """Record what a check found."""
        value = None
        if check.metric is not None and finding.value is not None:
            value = MetricValue(
                name=check.metric.name,
                value=finding.value,
                interval=None,
                n=1,
                unit=check.metric.unit,
            )
        return AttackOutcome.model_validate(
            self._common()
            | {
                "headline": finding.headline,
                "metric": value,
                "higher_is_worse": check.metric.higher_is_worse if check.metric else True,
                "details": [_as_value([detail]) for detail in finding.details],
                "verdict": finding.verdict,
                "reason": finding.reason,
                "unreliable": list(finding.unreliable),
                "spent": dict(finding.spent),
                "seconds": seconds,
                "artefacts": [*files, *(picture.file for picture in pictures)],
                "pictures": list(pictures),
                "claim": finding.claim or self._claim(),
                "messages": self._source_of_check(),
                "promised": finding.promised,
                "counts_as": finding.counts_as,
                "limits": [*finding.limits, *self.target.limits()],
            }
        )

    def _common(self) -> dict[str, Any]:
        # What is no Need or no rung is refused as the reason of this very outcome.
        rung = getattr(self.attack, "rung", None)
        rung = rung if isinstance(rung, Knowledge) else Knowledge.CIPHERTEXT_ONLY
        aim = getattr(self.attack, "aim", None)
        return {
            "identity": self.identity,
            "attack": self.attack.name,
            "aim": aim if isinstance(aim, Aim) else None,
            "title": self._title(),
            "reference": self._reference(),
            "target": self.control or self.target.label,
            "target_kind": "control" if self.control else self.target.kind,
            "scheme": self.control or self.target.scheme_name(),
            "budget": self.budget.with_images(self.attack.wants_images).as_record(),
            "claim": "" if self.control else self._claim(),
            "messages": "" if self.control else self.target.message_source(),
            "reproduce": f"{self.command} {self.target.argument}",
            "source": str(self.attack.source),
        } | self._adversary(rung)

    def _adversary(self, rung: Knowledge) -> dict[str, Any]:
        added = {ADDED[need] for need in self.attack.needs if need in ADDED} | {rung}
        return {"rung": rung, "knowledge": [one for one in Knowledge if one in added]}

    def _drawn(
        self, result: ScoresOverKeys, unprotected: ScoresOverKeys, scale: AdvantageScale
    ) -> Resampled | None:
        """Resample keys and patients; patients alone where each image has a key of its own."""
        if not self.target.facts.images_are_samples:
            return resampled(result.scores, result.groups, RESAMPLING_SEED)
        sets_scale = scale.ceiling == unprotected.mean
        paired = (unprotected.scores, unprotected.groups) if sets_scale else None
        return pooled_over_keys(result.scores, result.groups, RESAMPLING_SEED, paired)

    def _title(self) -> str:
        title = str(getattr(self.attack, "title", self.attack.name))
        return f"{title}{PUBLIC_TITLE}{self.public.title}" if self.public else title

    def _reference(self, result: ScoresOverKeys | None = None) -> ReferenceFacts | None:
        if self.public is None:
            return None
        given = len(result.first[0].auxiliary) if result and result.first else None
        return self.public.facts(given)

    def _limits_of_reference(self) -> list[str]:
        return [] if self.public is None else [REFERENCE_LIMITS[self.public.domain]]

    def _counts_as(self, attack: Attack, verdict: Verdict) -> CountsAs:
        """Say what an outcome is counted as.

        An attack that takes any bytes finds in ciphertexts that rest on a hardness assumption what
        it finds in noise: that checks both, and is no attack resisted. Where it wins, it counts.
        """
        if self.control:
            return "evidence"
        facts = self.target.facts
        sealed = not facts.pictures and facts.claims.claim_type == HARDNESS
        if sealed and verdict == "resists within budget":
            return "control"
        return attack.counts_as(facts)

    def _source_of_check(self) -> MessageSource:
        """A check encrypts what it looks at itself, under a key of its own: it reads no tape."""
        source = self.target.message_source()
        return "deployed again" if source == "crossed in the run" else source

    def _claim(self) -> str:
        return self.target.claim()


def headline(
    metric: AttackMetric, value: MetricValue, scale: AdvantageScale, identity: float
) -> str:
    """Describe an outcome in one sentence, with the number between its floor and ceiling.

    ``identity``: the same attack on unprotected images.
    """
    assert value.value is not None
    return result_in_words(
        metric.name,
        value.value,
        value.interval,
        (scale.floor_from, scale.floor),
        identity,
        unit=metric.unit,
        as_share=not metric.unit and metric.best == 1.0 and OF_PICTURES not in metric.name,
    )


def number(value: float) -> str:
    """Format a number with three significant figures, never with an exponent."""
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return significant(value) if "e" in text else text


def mean_details(scores: Sequence[Score]) -> list[MetricValue]:
    """Average the details over keys, in the order of the first key."""
    names = [detail.name for detail in scores[0].details]
    by_name: dict[str, list[Detail]] = {name: [] for name in names}
    for score in scores:
        for detail in score.details:
            by_name.setdefault(detail.name, []).append(detail)
    return [_as_value(details) for details in by_name.values()]


def _as_value(details: Sequence[Detail]) -> MetricValue:
    values = [detail.value for detail in details]
    known = bool(np.isfinite(values).all())
    return MetricValue(
        name=details[0].name,
        value=float(np.mean(values)) if known else None,
        interval=interval_over_keys(values, -np.inf, np.inf) if known else None,
        n=len(values),
        unit=details[0].unit,
        note=details[0].note,
    )

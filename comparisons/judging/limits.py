"""An acceptance policy: a TOML file of limits that a run has to keep.

Each ``[[rule]]`` names limits and, with ``pipelines``, labels or plug-in names they are for (all by
default)::

    [[rule]]
    pipelines = ["fhe-head"]
    minimum_auc = 0.90
    maximum_p50_ms = 100
    maximum_bytes_per_image = 200_000
    forbidden_verdicts = ["broken", "partial"]

A limit on a value that was not measured counts as exceeded.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import UsageError
from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import Verdict
from he_compare.common.run.spelling import fixed, milliseconds, significant
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView

CONCLUSIVE: tuple[Verdict, ...] = ("broken", "partial", "resists within budget")


class PolicyRule(BaseModel):
    """Limits for some pipelines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipelines: list[str] = Field(default_factory=list, description="Labels or names; []: all")
    minimum_auc: float | None = Field(default=None, ge=0, le=1, description="Smallest AUC allowed")
    minimum_accuracy: float | None = Field(
        default=None, ge=0, le=1, description="Smallest accuracy allowed"
    )
    maximum_p50_ms: float | None = Field(
        default=None, gt=0, description="Largest p50 allowed, ms per image"
    )
    maximum_bytes_per_image: float | None = Field(
        default=None, gt=0, description="Largest sum of upload and download allowed"
    )
    forbidden_verdicts: list[Verdict] = Field(
        default_factory=list, description="Verdicts not allowed on what a pipeline claims"
    )
    forbidden_beyond_claims: list[Verdict] = Field(
        default_factory=list, description="Verdicts not allowed on what it does not claim"
    )
    attacks_required: bool = Field(
        default=False, description="An attack must have run; not where there is no server"
    )


class Policy(BaseModel):
    """All rules of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: list[PolicyRule] = Field(min_length=1, description="One table per rule")


def load_policy(path: Path) -> Policy:
    """Read a policy. Raises UsageError naming the key that does not hold."""
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"cannot read the policy {path}: {error.strerror}", fix="pass a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}", fix="see docs/how-to/verify.md"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {where}: {first['msg']}", fix="see docs/how-to/verify.md"
        ) from None


def violations(policy: Policy, view: RunView) -> list[str]:
    """Return one line per limit that a pipeline exceeds; [] where all are kept.

    Raises UsageError where a rule names a pipeline the run does not have.
    """
    return [
        f"{pipeline.label}: {problem}"
        for rule in policy.rule
        for pipeline in _ruled(rule, view)
        for problem in (
            *_metric_problems(rule, pipeline),
            *_cost_problems(rule, pipeline),
            *_attack_problems(rule, view, pipeline),
        )
    ]


def _ruled(rule: PolicyRule, view: RunView) -> list[PipelineView]:
    """Return the pipelines a rule is for. Raises UsageError on a name that the run lacks."""
    if not rule.pipelines:
        return list(view.pipelines)
    names = [{one.label, one.planned.name} for one in view.pipelines]
    for wanted in rule.pipelines:
        if not any(wanted in both for both in names):
            raise UsageError(
                f"the policy names {wanted!r}, which is not in the run",
                fix="its pipelines: " + ", ".join(view.by_label),
            )
    return [
        one
        for one, both in zip(view.pipelines, names, strict=True)
        if not both.isdisjoint(rule.pipelines)
    ]


def _metric_problems(rule: PolicyRule, pipeline: PipelineView) -> Iterator[str]:
    for name, least in (("auc", rule.minimum_auc), ("accuracy", rule.minimum_accuracy)):
        value = pipeline.value(name)
        if least is not None and (value is None or value < least):
            found = "was not measured" if value is None else f"is {fixed(value, 4)}"
            yield f"{name} {found}, the minimum is {_limit(least)}"


def _cost_problems(rule: PolicyRule, pipeline: PipelineView) -> Iterator[str]:
    latency, moved = latency_of(pipeline), pipeline.bytes_per_image
    most = rule.maximum_p50_ms
    if most is not None and (latency is None or 1e3 * latency.total.p50 > most):
        found = f"is {milliseconds(latency.total.p50)} ms" if latency else "was not measured"
        yield f"p50 {found}, the maximum is {_limit(most)} ms"
    most = rule.maximum_bytes_per_image
    if most is not None and (moved is None or sum(moved) > most):
        found = f"is {significant(sum(moved))}" if moved else "was not measured"
        yield f"bytes per image {found}, the maximum is {_limit(most)}"


def _limit(value: float) -> str:
    """Spell a limit as a policy has it, never with an exponent."""
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def _attack_problems(rule: PolicyRule, view: RunView, pipeline: PipelineView) -> Iterator[str]:
    outcomes = outcomes_of(view, pipeline)
    for outcome in outcomes:
        found = f"{outcome.verdict} by {outcome.row} ({outcome.identity[:8]})"
        if outcome.promised and outcome.verdict in rule.forbidden_verdicts:
            yield found
        if not outcome.promised and outcome.verdict in rule.forbidden_beyond_claims:
            yield f"{found}, beyond its claims"
    evidence = [one for one in outcomes if one.counts_as == "evidence"]
    required = rule.attacks_required and not pipeline.no_server
    if required and not any(one.verdict in CONCLUSIVE for one in evidence):
        yield "no attack ran, but the policy requires one"

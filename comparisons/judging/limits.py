"""An acceptance policy: limits in a TOML file that a run has to keep.

Each ``[[rule]]`` names limits and, with ``pipelines``, labels or plug-in names they are for (all by
default)::

    [[rule]]
    pipelines = ["fhe-head"]
    minimum_auc = 0.90
    maximum_p50_ms = 100
    maximum_bytes_per_image = 200_000
    forbidden_verdicts = ["broken", "partial"]

What was not measured does not keep a limit.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import UsageError
from he_compare.common.run.records import Verdict
from he_compare.common.run.runfacts import RunFacts


class PolicyRule(BaseModel):
    """Limits for some pipelines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipelines: list[str] = Field(default_factory=list, description="Labels or names; []: all")
    minimum_auc: float | None = Field(default=None, ge=0, le=1, description="Least AUC")
    minimum_accuracy: float | None = Field(default=None, ge=0, le=1, description="Least accuracy")
    maximum_p50_ms: float | None = Field(default=None, gt=0, description="Most ms of one image")
    maximum_bytes_per_image: float | None = Field(default=None, gt=0, description="Up and down")
    forbidden_verdicts: list[Verdict] = Field(default_factory=list, description="Of attacks")
    attacks_required: bool = Field(default=False, description="Some attack must have run")


class Policy(BaseModel):
    """All rules of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: list[PolicyRule] = Field(min_length=1, description="One table each")


def load_policy(path: Path) -> Policy:
    """Read a policy. Raises UsageError naming the key that does not hold."""
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"cannot read the policy {path}: {error.strerror}", fix="name a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", fix="see docs/how-to/verify.md") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {where}: {first['msg']}", fix="see docs/how-to/verify.md"
        ) from None


def violations(policy: Policy, run: RunFacts) -> list[str]:
    """Return one line per limit that a pipeline does not keep; [] where all are kept.

    Raises UsageError where a rule names a pipeline the run does not have.
    """
    return [
        f"{label}: {problem}"
        for rule in policy.rule
        for label in _labels(rule, run)
        for problem in _broken_limits(rule, label, run)
    ]


def _labels(rule: PolicyRule, run: RunFacts) -> list[str]:
    known = run.pipelines
    for name in rule.pipelines:
        if not any(name in (label, planned.name) for label, planned in known.items()):
            raise UsageError(
                f"the policy names {name!r}, which the run does not have",
                fix="its pipelines: " + ", ".join(known),
            )
    return [
        label
        for label, planned in known.items()
        if not rule.pipelines or label in rule.pipelines or planned.name in rule.pipelines
    ]


def _broken_limits(rule: PolicyRule, label: str, run: RunFacts) -> list[str]:
    found = []
    for name, least in (("auc", rule.minimum_auc), ("accuracy", rule.minimum_accuracy)):
        metric = run.metric(label, name)
        value = metric.value if metric else None
        if least is not None and (value is None or value < least):
            found.append(f"{name} {_spelled(value)}, at least {least:g} wanted")
    p50 = run.p50_seconds(label)
    wait = None if p50 is None else 1e3 * p50
    for name, value, most in (
        ("p50 in ms", wait, rule.maximum_p50_ms),
        ("bytes per image", run.bytes_per_image(label), rule.maximum_bytes_per_image),
    ):
        if most is not None and (value is None or value > most):
            found.append(f"{name} {_spelled(value)}, at most {most:g} wanted")
    outcomes = run.outcomes_of(label)
    for outcome in outcomes:
        if outcome.verdict in rule.forbidden_verdicts:
            found.append(f"{outcome.verdict} by {outcome.attack} ({outcome.identity[:8]})")
    tested = [
        one for one in outcomes if one.verdict in ("broken", "partial", "resists within budget")
    ]
    if rule.attacks_required and not tested:
        found.append("no attack ran, some are required")
    return found


def _spelled(value: float | None) -> str:
    return "not measured" if value is None else f"is {value:.4g}"

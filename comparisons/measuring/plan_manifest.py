"""The manifest of a run: its plan as it is written down, and the command that reproduces it."""

from __future__ import annotations

import dataclasses
import datetime
import shlex

from he_compare.common.contracts import LocalPipeline
from he_compare.common.environment import tool_version
from he_compare.common.references.opening import shown_spec
from he_compare.common.run.records import Manifest, PlannedPipeline, WorkFacts
from he_compare.common.service.host_address import HOW
from he_compare.common.types import Phase
from he_compare.comparisons.measuring.config import RunConfig, load_config
from he_compare.comparisons.measuring.plan import THREADS, RunPlan
from he_compare.comparisons.measuring.planned import twin_facts


def manifest_of(plan: RunPlan) -> Manifest:
    """Return the manifest of a new run of this plan."""
    return Manifest(
        plan=plan.plan_key(),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        tool_version=tool_version(),
        command=_command(plan),
        dataset=plan.summary,
        backbone=plan.backbone,
        pipelines=[
            PlannedPipeline(
                name=p.pipeline.name,
                label=p.label,
                parameters=p.spec.parameters,
                resolved=p.resolved(),
                meanings=p.pipeline.parameters.meanings(p.resolved()),
                reference_rank=p.pipeline.reference_rank(p.parameters),
                no_server=isinstance(p.pipeline, LocalPipeline),
                **twin_facts(p, plan.pipelines),
                work=WorkFacts(**dataclasses.asdict(p.pipeline.work(p.parameters))),
            )
            for p in plan.pipelines
        ],
        seed=plan.config.seed,
        seeds=list(plan.config.all_seeds),
        profile=plan.config.profile,
        settings=plan.config.model_dump(mode="json", exclude={"pipelines", "repeats"})
        | {
            "threads": plan.settings.threads,
            "device": plan.settings.device,
            "latency_threads": plan.threads_of(Phase.LATENCY),
            "public": [one.argument for one in plan.public],
        },
        meanings={k: v.description or "" for k, v in RunConfig.model_fields.items()},
        sums_cover_all=True,
    )


def _command(plan: RunPlan) -> str:
    """The command that reproduces the run, without paths of this machine."""
    base = load_config(plan.config.profile, {})
    words = [f"compare run --dataset {plan.dataset_spec}", f"--profile {plan.config.profile}"]
    for name in RunConfig.model_fields:
        value = getattr(plan.config, name)
        if name in {"profile", "pipelines", *THREADS} or value == getattr(base, name):
            continue
        if name == "seed" and plan.config.seeds:
            continue
        if name == "seeds":
            words.append(f"--seeds {','.join(map(str, value))}")
            continue
        if name == "public":
            words += [f"--public {shown_spec(one)}" for one in value]
            continue
        if name == "audit":
            words.append("--no-audit" if value == "none" else "--audit")
            continue
        shown = "FILE" if name == "weights" and "/" in str(value) else value
        words.append(f"--{name.replace('_', '-')} {shlex.quote(str(shown))}")
    # As settled: on another day the default may come to others, and these key the cells.
    words.append(f"--threads {plan.settings.threads}")
    if plan.threads_of(Phase.LATENCY) != plan.settings.threads:
        words.append(f"--latency-threads {plan.threads_of(Phase.LATENCY)}")
    if plan.host is not None:
        words.append(f"--host {HOW} --token-file FILE")
    if plan.config.pipelines != base.pipelines:
        words += [f"--pipeline '{p.spec.text}'" for p in plan.pipelines]
    return " ".join(words)

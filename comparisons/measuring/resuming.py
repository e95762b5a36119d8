"""Whether a run folder holds the same plan, and which of its cells would run again.

A finished cell is kept as long as nothing that can change its result has changed.
"""

from __future__ import annotations

from dataclasses import replace

from he_compare.common.errors import UsageError
from he_compare.common.run.records import Manifest
from he_compare.common.run.store import MANIFEST, RunFolder
from he_compare.common.types import Status
from he_compare.comparisons.measuring.measurer import describe_cell
from he_compare.comparisons.measuring.plan import OUTSIDE_PLAN, RunPlan


def require_same_plan(folder: RunFolder, plan: RunPlan) -> None:
    """Raise UsageError, naming what differs, where a folder holds a run of another plan."""
    manifest = folder.manifest()
    if manifest.plan != plan.plan_key():
        raise UsageError(
            f"{folder.path} holds another plan ({_what_differs(manifest, plan.manifest())})",
            fix="pass another folder with --out, or repeat the command of that run: "
            + manifest.command,
        )


def add_seeds(folder: RunFolder, plan: RunPlan) -> None:
    """Write into the manifest which seeds were added to a run since it was begun, if any were."""
    manifest = folder.manifest()
    known = manifest.seeds or [manifest.seed]
    added = [seed for seed in plan.config.all_seeds if seed not in known]
    if not added:
        return
    seeds = [*known, *added]
    now = replace(plan, config=plan.config.model_copy(update={"seeds": seeds})).manifest()
    settings = manifest.settings | {"seeds": seeds}
    meanings = {"seeds": now.meanings["seeds"]} | manifest.meanings
    changed = {"seeds": seeds, "settings": settings, "meanings": meanings, "command": now.command}
    folder.write_model(MANIFEST, manifest.model_copy(update=changed))


def _what_differs(old: Manifest, new: Manifest) -> str:
    if old.dataset.fingerprint != new.dataset.fingerprint:
        return (
            f"its images have the fingerprint {old.dataset.fingerprint[:12]}, these have "
            f"{new.dataset.fingerprint[:12]}: images or labels changed, or other ones are read"
        )
    if [p.label for p in old.pipelines] != [p.label for p in new.pipelines]:
        return "its pipelines were " + ", ".join(p.label for p in old.pipelines)
    for name, value in old.settings.items():
        if name not in OUTSIDE_PLAN and new.settings.get(name) != value:
            return f"its {name} was {value!r}, now {new.settings.get(name)!r}"
    if old.backbone.weights_sha256 != new.backbone.weights_sha256:
        return f"its weights were {old.backbone.weights_sha256[:12]}"
    return "its settings were different"


def explain_cells(plan: RunPlan, folder: RunFolder) -> str:
    """Say for each cell whether it would run or be kept, and why; one line per cell."""
    known = {r.identity: r for r in folder.records()} if folder.exists() else {}
    labels = {(r.cell.label, r.cell.phase, r.cell.round, r.cell.seed) for r in known.values()}
    lines = []
    for cell in plan.cells():
        record = known.get(cell.identity)
        if record is not None and record.status is Status.OK:
            verdict = f"kept: finished {record.started_at}"
        elif record is not None:
            verdict = f"run again: its status was {record.status.value}"
        elif (cell.planned.label, cell.phase, cell.round, cell.seed) in labels:
            verdict = "run again: source, packages, weights or settings changed since"
        else:
            verdict = "run: no record of it"
        lines.append(f"{cell.identity}  {describe_cell(cell)}: {verdict}")
    return "\n".join(lines)

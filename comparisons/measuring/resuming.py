"""Whether a run folder holds the same plan, and which of its cells would run again.

A finished cell is kept as long as nothing that can change its result has changed, and the files it
left are what was written.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from he_compare.common.errors import CompareError, IntegrityError, UsageError
from he_compare.common.run.records import Manifest, RunRecord
from he_compare.common.run.store import MANIFEST, RunFolder
from he_compare.common.run.tape import tape_problem
from he_compare.common.types import Status
from he_compare.comparisons.judging.scoring import read_predictions
from he_compare.comparisons.measuring.measurer import describe_cell
from he_compare.comparisons.measuring.plan import OUTSIDE_PLAN, RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of


def require_same_plan(folder: RunFolder, plan: RunPlan) -> None:
    """Raise UsageError, naming what differs, where a folder holds a run of another plan."""
    manifest = folder.manifest()
    if manifest.plan != plan.plan_key():
        raise UsageError(
            f"{folder.path} holds another plan ({plan_difference(manifest, manifest_of(plan))})",
            fix="pass another folder with --out, or repeat the command of that run: "
            + manifest.command,
        )


@dataclass(frozen=True)
class KeptCells:
    """What a run folder holds of earlier: ``done``, records of cells that ended well, by identity.

    ``damaged``: by identity, why a cell that ended well is not among them.
    """

    done: dict[str, RunRecord]
    damaged: dict[str, str]


def kept_cells(folder: RunFolder) -> KeptCells:
    """Return which cells need not run again: predictions and tapes are read and held to records.

    Raises IntegrityError where a line of the records does not hold.
    """
    ended = [one for one in folder.records() if one.status is Status.OK] if folder.exists() else []
    damaged = {one.identity: why for one in ended if (why := _damage(folder, one))}
    return KeptCells({one.identity: one for one in ended if one.identity not in damaged}, damaged)


def _damage(folder: RunFolder, record: RunRecord) -> str:
    """Say what is wrong with the files of a cell that ended well; '' for nothing."""
    if record.predictions:
        try:
            read_predictions(folder, record)
        except CompareError as error:
            return error.problem
    return tape_problem(folder.path, record.tape) if record.tape else ""


def add_seeds(folder: RunFolder, plan: RunPlan) -> None:
    """Write into the manifest which seeds were added to a run since it was begun, if any were."""
    manifest = folder.manifest()
    known = manifest.seeds or [manifest.seed]
    added = [seed for seed in plan.config.all_seeds if seed not in known]
    if not added:
        return
    seeds = [*known, *added]
    now = manifest_of(replace(plan, config=plan.config.model_copy(update={"seeds": seeds})))
    settings = manifest.settings | {"seeds": seeds}
    meanings = {"seeds": now.meanings["seeds"]} | manifest.meanings
    changed = {"seeds": seeds, "settings": settings, "meanings": meanings, "command": now.command}
    write_manifest(folder, manifest.model_copy(update=changed))


def mend_manifest(folder: RunFolder, plan: RunPlan) -> str:
    """Write the manifest anew where it is not what the folder's sums say; return what was done.

    It follows from the plan, but for the moment when the run was begun and the seeds it has had.
    """
    if not folder.differs_from_sums(MANIFEST):
        return ""
    before = folder.manifest()
    seeds = [*before.seeds, *(one for one in plan.config.all_seeds if one not in before.seeds)]
    others = seeds != list(plan.config.all_seeds)
    config = plan.config.model_copy(update={"seeds": seeds} if others else {})
    now = manifest_of(replace(plan, config=config))
    kept = {"created_at": before.created_at, "sums_cover_all": before.sums_cover_all}
    write_manifest(folder, now.model_copy(update=kept))
    return f"{MANIFEST} is not what was written: it is written again from the plan"


def write_manifest(folder: RunFolder, manifest: Manifest) -> None:
    """Write a manifest, and its sum where the folder has sums that parse: a run ends with all."""
    folder.write_model(MANIFEST, manifest)
    if folder.has_sums():
        with contextlib.suppress(IntegrityError):
            folder.add_to_sums(MANIFEST)


def plan_difference(old: Manifest, new: Manifest) -> str:
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
    damaged = kept_cells(folder).damaged
    labels = {(r.cell.label, r.cell.phase, r.cell.round, r.cell.seed) for r in known.values()}
    lines = []
    for cell in plan.cells():
        record = known.get(cell.identity)
        if cell.identity in damaged:
            verdict = f"run again: {damaged[cell.identity]}"
        elif record is not None and record.status is Status.OK:
            verdict = f"kept: finished {record.started_at}"
        elif record is not None:
            verdict = f"run again: its status was {record.status.value}"
        elif (cell.planned.label, cell.phase, cell.round, cell.seed) in labels:
            verdict = "run again: source, packages, weights or settings changed since"
        else:
            verdict = "run: no record of it"
        lines.append(f"{cell.identity}  {describe_cell(cell)}: {verdict}")
    return "\n".join(lines)

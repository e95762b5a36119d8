"""Whether a run folder holds the same plan, and which of its cells would run again.

A finished cell is kept as long as nothing that can change its result has changed, and the files it
left are what was written.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from he_compare.common.errors import CompareError, IntegrityError, UsageError
from he_compare.common.identity import file_digest
from he_compare.common.run.known_files import files_of_cell
from he_compare.common.run.records import Manifest, RunRecord
from he_compare.common.run.store import MANIFEST, RunFolder, inside, model_bytes
from he_compare.common.run.tape import tape_problem
from he_compare.common.types import Status
from he_compare.comparisons.judging.scoring import read_predictions
from he_compare.comparisons.measuring.measurer import describe_cell
from he_compare.comparisons.measuring.plan import OUTSIDE_PLAN, RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of


def require_same_plan(folder: RunFolder, plan: RunPlan) -> None:
    """Raise UsageError, naming what differs, where a folder holds a run of another plan.

    Raises IntegrityError where the manifest was changed, so that it does not tell.
    """
    manifest = folder.manifest()
    if manifest.plan != plan.plan_key():
        if folder.sums.differ_from(MANIFEST):
            if _as_written(folder, plan, manifest) is not None:
                return
            raise IntegrityError(
                f"{MANIFEST} in {folder.path} is not what was written, and names another plan",
                fix="restore the file, or pass another folder with --out",
            )
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
    known = folder.sums.known()
    damaged = {one.identity: why for one in ended if (why := _damage(folder, one, known))}
    return KeptCells({one.identity: one for one in ended if one.identity not in damaged}, damaged)


def _damage(folder: RunFolder, record: RunRecord, known: Mapping[str, str]) -> str:
    """Say what is wrong with the files of a cell that ended well; '' for nothing.

    ``known``: digests by name, for records of earlier versions, which do not tell their own.
    """
    names = files_of_cell(record)
    for name in names:
        digest = record.files_sha256.get(name) or known.get(name, "")
        if why := _not_as_written(folder, name, digest):
            return why
    if names and all(name in record.files_sha256 for name in names):
        return ""
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


def _not_as_written(folder: RunFolder, name: str, digest: str) -> str:
    try:
        place = inside(folder.path, name)
        if not place.is_file():
            return f"{name} is missing"
        return f"{name} is not what was written" if digest and file_digest(place) != digest else ""
    except IntegrityError as error:
        return error.problem
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"


def mend_manifest(folder: RunFolder, plan: RunPlan) -> str:
    """Write the manifest anew unless it is what the folder's sums say; return what was done.

    It follows from the plan, but for the seeds that the run has had and the moment when it was
    begun. Where the sums do not show what these were, the records tell.
    """
    if folder.sums.vouch_for(MANIFEST):
        return ""
    before = folder.manifest()
    if MANIFEST not in folder.sums.known():
        now = _from_plan(folder, plan, before.seeds, before.created_at)
        write_manifest(folder, now)
        when = f"it says itself that the run was begun {before.created_at}"
        return f"no digest of {MANIFEST} is known: it is written again from the plan; {when}"
    again = _as_written(folder, plan, before)
    if again is None:
        records = folder.records()
        begun = min((one.started_at for one in records), default="")
        again = _from_plan(folder, plan, sorted({one.cell.seed for one in records}), begun)
    write_manifest(folder, again)
    return f"{MANIFEST} is not what was written: it is written again from the plan"


def _as_written(folder: RunFolder, plan: RunPlan, before: Manifest) -> Manifest | None:
    """Return the manifest of which the sums have the digest; None where it cannot be found again.

    ``before``: the damaged one, of which some fields may be right.
    """
    known = folder.sums.known()[MANIFEST]
    for seeds in (before.seeds, ()):
        one = _from_plan(folder, plan, seeds, before.created_at)
        if hashlib.sha256(model_bytes(one)).hexdigest() == known:
            return one
    return None


def _from_plan(folder: RunFolder, plan: RunPlan, seeds: Sequence[int], created_at: str) -> Manifest:
    """Return the manifest of a run that has had these seeds. ``created_at``: '' for now."""
    asked = plan.config.all_seeds
    every = [*seeds, *(one for one in asked if one not in seeds)]
    if every != list(asked):
        plan = replace(plan, config=plan.config.model_copy(update={"seeds": every}))
    now = manifest_of(plan)
    sealed = folder.is_sealed() or folder.begins_sealed()
    facts = {"created_at": created_at or now.created_at, "sums_cover_all": sealed}
    return now.model_copy(update=facts)


def write_manifest(folder: RunFolder, manifest: Manifest) -> None:
    """Write a manifest, and before it its sum, by which it is found again after a kill.

    Where the sums are damaged they are written when the run ends.
    """
    folder.sums.note(MANIFEST, model_bytes(manifest))
    with contextlib.suppress(IntegrityError):
        folder.sums.enter(complete=manifest.sums_cover_all)
    folder.write_model(MANIFEST, manifest)


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

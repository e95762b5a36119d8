"""A run under a changed plan: results that hold stay, the run as it was is kept whole beside.

Cells are named by all that can change them, so what a changed study file leaves alone is not done
again. What goes is not lost: before anything of a run is taken out, the whole run is kept in
``earlier/NAME-N`` as the ordinary run folder that it was.

The order is that of a kill at any moment: first the copy, under a name that is no run's, then its
name, then the records, last the manifest. Until that is written the folder still holds the run of
the old plan, with fewer results at worst, and the same command asks again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from he_compare.common.files import naming, sync_folder, write_atomic
from he_compare.common.run.known_files import ATTACKS, RECORDS
from he_compare.common.run.record_lines import line_of
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.store import COPIES_TABLE, PICTURES, SCORES
from he_compare.common.run.sums import SUMS
from he_compare.common.study.study_folder import EARLIER_RUNS, RUNS, StudyFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of
from he_compare.comparisons.measuring.resuming import write_manifest
from he_compare.comparisons.studying.changes import RowChanges

UNDER_WAY = ".part"
# What is written in place: these are copied, all else may share its bytes.
APPENDED = (".jsonl", ".torn")
REPORT_FOLDER = "report"


def adopt_plan(study: StudyFolder, changes: RowChanges, plan: RunPlan) -> None:
    """Let the run of a row have another plan. Raises OSError, IntegrityError."""
    folder = study.run(changes.name)
    with folder.claimed():
        records = folder.records()
        stale = [one for one in records if one.identity in changes.stale]
        lost = {one.cell.label for one in stale if one.status is Status.OK}
        if lost:
            keep_earlier(study, changes.name)
        kept = [one for one in records if one.identity not in changes.stale]
        labels = {one.label for one in plan.pipelines}
        # Attacks were on what the accuracy cell of the first seed deployed.
        deployed = {
            one.cell.label
            for one in stale
            if one.cell.phase is Phase.ACCURACY and one.cell.seed == folder.manifest().seed
        }
        outcomes = [
            one
            for one in folder.outcomes()
            if (target := one.beside or one.target) in labels and target not in deployed
        ]
        for name in (SUMS, SCORES, COPIES_TABLE, PICTURES):
            (folder.path / name).unlink(missing_ok=True)
        shutil.rmtree(folder.path / REPORT_FOLDER, ignore_errors=True)
        if stale:
            _rewrite(folder.path / RECORDS, kept)
        _rewrite(folder.path / ATTACKS, outcomes)
        write_manifest(folder, manifest_of(plan))


def keep_earlier(study: StudyFolder, name: str) -> Path:
    """Copy the run of a row as it is to ``earlier/NAME-N``; return where."""
    place = _free_place(study, name)
    draft = place.with_name(place.name + UNDER_WAY)
    source = study.path / RUNS / name
    with naming(place):
        draft.parent.mkdir(exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(
            source, draft, symlinks=True, copy_function=_linked_or_copied, ignore=_not_its_own
        )
        draft.rename(place)
        sync_folder(place.parent)
    return place


def set_aside_run(study: StudyFolder, name: str) -> Path | None:
    """Move the run of a row that is no longer asked for to ``earlier/NAME-N``; None for no run."""
    if not study.run(name).exists():
        return None
    place = _free_place(study, name)
    with naming(place), study.run(name).claimed():
        place.parent.mkdir(exist_ok=True)
    (study.path / RUNS / name).rename(place)
    sync_folder(place.parent)
    return place


def sweep_drafts(study: StudyFolder) -> None:
    """Remove copies of runs that a killed process left half made."""
    with contextlib.suppress(OSError):
        for draft in (study.path / EARLIER_RUNS).glob(f"*{UNDER_WAY}"):
            shutil.rmtree(draft, ignore_errors=True)


def _free_place(study: StudyFolder, name: str) -> Path:
    taken = {one.name for one in (study.path / EARLIER_RUNS).glob("*")}
    number = next(n for n in range(1, len(taken) + 2) if f"{name}-{n}" not in taken)
    return study.path / EARLIER_RUNS / f"{name}-{number}"


def _linked_or_copied(source: str, target: str) -> str:
    """Give a file a second name; copy it where that cannot be, or where it is appended to."""
    if not source.endswith(APPENDED):
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return target
    return str(shutil.copy2(source, target, follow_symlinks=False))


def _not_its_own(folder: str, names: list[str]) -> list[str]:
    """Leave out locks and temporary files: their names begin with a dot."""
    return [name for name in names if name.startswith(".")]


def _rewrite(path: Path, lines: Iterable[RunRecord | AttackOutcome]) -> None:
    data = b"".join(map(line_of, lines))
    if data:
        write_atomic(path, data)
    else:
        path.unlink(missing_ok=True)

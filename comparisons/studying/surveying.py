"""Every row of a study looked at before any of it runs: what is there, what changes, what it takes.

One data set is opened at a time, and let go again: its images are in the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from he_compare.common.errors import DataError, IntegrityError, UsageError
from he_compare.common.identity import key_of
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_records import StudyCell, StudyRow
from he_compare.comparisons.cluster.who_runs import WhoRuns, staffed
from he_compare.comparisons.estimating.estimate import (
    RunForecast,
    audit_seconds,
    forecast,
    forecast_by_kept_prices,
)
from he_compare.comparisons.measuring.dataset_spec import shown_dataset
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planned import twin_facts
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.studying.changes import RowChanges, row_changes
from he_compare.comparisons.studying.study_data import (
    StudyPlace,
    data_asked,
    plan_set,
    without_paths,
)
from he_compare.comparisons.studying.study_file import AskedSet, AskedStudy
from he_compare.comparisons.user_folders import default_cache_dir


@dataclass(frozen=True)
class SurveyedSet:
    """One row, looked at. ``missing``: why this machine has no such data, in full; '' where it has.

    ``forecast``: None where nothing is known of what it takes. ``workers``: that would run it.
    ``damage``: what does not hold of the run that is there; None for nothing. ``lone``: pipelines
    without their twin, each with the twin that it wants.
    """

    row: StudyRow
    changes: RowChanges | None = None
    forecast: RunForecast | None = None
    workers: int = 1
    missing: str = ""
    damage: IntegrityError | None = None
    lone: tuple[tuple[str, str], ...] = ()


def survey_study(
    asked: AskedStudy,
    study: StudyFolder,
    place: StudyPlace,
    who: WhoRuns,
    progress: ProgressReporter,
    *,
    probe: bool,
) -> list[SurveyedSet]:
    """Look at every row. ``probe``: measure this machine where no earlier probe did.

    Raises UsageError, naming the data set, where one is there and cannot be run as it is asked for.
    """
    before = {one.name: one for one in study.record().rows} if study.exists() else {}
    found = []
    for number, one in enumerate(asked.sets, start=1):
        progress.line(f"planning {one.name} ({number} of {len(asked.sets)})")
        try:
            found.append(_survey(asked, one, study, place, who, progress, probe=probe))
        except DataError as error:
            found.append(_unplanned(asked, one, place, before.get(one.name), missing=error))
        except IntegrityError as error:
            found.append(_unplanned(asked, one, place, before.get(one.name), damage=error))
        except UsageError as error:
            raise type(error)(f"data set {one.name}: {error.problem}", fix=error.fix) from None
    return found


def _survey(
    asked: AskedStudy,
    one: AskedSet,
    study: StudyFolder,
    place: StudyPlace,
    who: WhoRuns,
    progress: ProgressReporter,
    *,
    probe: bool,
) -> SurveyedSet:
    folder = study.run(one.name)
    known = folder.manifest().settings if folder.exists() else None
    with staffed(who, one.config, known, ProgressReporter(quiet=True)) as staff:
        planned = plan_set(asked, one, place, staff, progress)
        estimate = forecast if probe else forecast_by_kept_prices
        taken = estimate(planned.plan, folder, default_cache_dir(), lanes=staff.lanes)
        return SurveyedSet(
            _row(one, planned.plan, taken),
            row_changes(one.name, folder, planned.plan),
            taken,
            staff.count,
            lone=tuple(_lone(planned.plan)),
        )


def _lone(plan: RunPlan) -> Iterator[tuple[str, str]]:
    for one in plan.pipelines:
        facts = twin_facts(one, plan.pipelines)
        if facts["twin_wanted"] and not facts["twin"]:
            yield one.label, facts["twin_wanted"]


def lone_words(surveyed: Sequence[SurveyedSet]) -> list[str]:
    """Say which pipelines stand without their twin, a line for each twin that is missing."""
    rows: dict[str, dict[str, list[str]]] = {}
    for one in surveyed:
        for label, wanted in one.lone:
            rows.setdefault(wanted, {}).setdefault(label, []).append(one.row.name)
    lines = []
    for wanted, labels in rows.items():
        where = ", ".join(dict.fromkeys(chain(*labels.values())))
        lines.append(
            f"note: {', '.join(labels)} on {where}: no twin, so what the protection costs stays "
            f'unknown; add "{wanted}" to pipelines or more'
        )
    return lines


def plan_id(plan: RunPlan) -> str:
    """Return the key of what is asked of a run, its seeds included."""
    return key_of(plan=plan.plan_key(), seeds=list(plan.config.all_seeds))


def _row(one: AskedSet, plan: RunPlan, taken: RunForecast | None) -> StudyRow:
    return StudyRow(
        name=one.name,
        title=one.title,
        dataset=plan.dataset_spec,
        pipelines=[planned.label for planned in plan.pipelines],
        plan=plan_id(plan),
        cells=_cells(plan, taken),
        audit_seconds=audit_seconds(plan),
    )


def _cells(plan: RunPlan, taken: RunForecast | None) -> list[StudyCell]:
    prices = {}
    for one in taken.cells if taken else ():
        work = one.work
        if work.kept is None:
            prices[work.label, work.seed, work.phase, work.round] = one.seconds
    return [
        StudyCell(
            identity=cell.identity,
            label=cell.planned.label,
            seed=cell.seed,
            phase=cell.phase,
            round=cell.round,
            seconds=prices.get((cell.planned.label, cell.seed, cell.phase, cell.round)),
        )
        for cell in plan.cells()
    ]


def _unplanned(
    asked: AskedStudy,
    one: AskedSet,
    place: StudyPlace,
    before: StudyRow | None,
    *,
    missing: DataError | None = None,
    damage: IntegrityError | None = None,
) -> SurveyedSet:
    """Return a row whose data is not there, or whose run does not hold; what was known stays."""
    from he_compare.comparisons.measuring.planning import resolve_pipelines

    told = data_asked(asked, one, place)
    row = StudyRow(
        name=one.name,
        title=one.title,
        dataset=shown_dataset(one.dataset, told.data_dir),
        pipelines=[planned.label for planned in resolve_pipelines(one.config)],
        unavailable=without_paths(missing.problem if missing else "", told.data_dir, asked.folder),
    )
    if before is not None:
        kept = {name: getattr(before, name) for name in ("plan", "cells", "ended", "audit_seconds")}
        row = row.model_copy(update=kept)
    return SurveyedSet(row, missing=str(missing or ""), damage=damage)

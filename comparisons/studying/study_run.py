"""`compare study run`: every data set of a study as an ordinary run, one after another.

The same command resumes after a kill at any moment: a cell that ended is not done again, and a row
that ended is not opened again. What fails for one data set is told, and the others run.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from he_compare.common.environment import tool_version
from he_compare.common.errors import (
    EXIT_CELLS_FAILED,
    EXIT_OK,
    CompareError,
    UsageError,
)
from he_compare.common.run.records import RunRecord
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_progress import StudyProgress, progress_of
from he_compare.common.study.study_records import StudyCell, StudyRecord, StudyRow
from he_compare.comparisons.cluster.who_runs import WhoRuns, staffed
from he_compare.comparisons.measuring.resuming import kept_cells
from he_compare.comparisons.one_run import carried_out
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.studying.adopting import adopt_plan, set_aside_run, sweep_drafts
from he_compare.comparisons.studying.changes import RowChanges, row_changes
from he_compare.comparisons.studying.study_data import StudyPlace, plan_set, without_paths
from he_compare.comparisons.studying.study_file import AskedSet, AskedStudy
from he_compare.comparisons.studying.study_words import (
    estimate_of_study,
    in_one_line_of_study,
    study_table,
)
from he_compare.comparisons.studying.surveying import SurveyedSet, lone_words, survey_study
from he_compare.comparisons.terminal import terminal_columns

Render = Callable[[Path], list[Path]]


@dataclass(frozen=True)
class HowToRun:
    """How a study is run, beside what it asks for. ``render``: of a run; ``report``: of the study.

    ``formats_missing``: says of a run's folder whether a report of it is still to be written.
    """

    place: StudyPlace
    who: WhoRuns
    render: Render
    report: Render
    formats_missing: Callable[[Path], bool]
    accept_changes: bool = False
    estimate: bool = False
    quiet: bool = False


def study_command(asked: AskedStudy, out: Path, how: HowToRun) -> int:
    """Run or resume a study in a folder, or say what it takes. Return the exit code."""
    how.who.check()
    study = StudyFolder(out)
    with ProgressReporter(quiet=how.quiet) as progress:
        if how.estimate:
            surveyed = survey_study(asked, study, how.place, how.who, progress, probe=True)
            for line in [*lone_words(surveyed), *_changes(asked, study, surveyed)]:
                print(line)
            print(estimate_of_study(surveyed, terminal_columns()))
            return EXIT_OK
        with study.claimed():
            sweep_drafts(study)
            _recover(study, progress)
            surveyed = survey_study(asked, study, how.place, how.who, progress, probe=False)
            for line in lone_words(surveyed):
                progress.say(line)
            _require_accepted(asked, study, surveyed, how, progress)
            code = _Rows(asked, study, surveyed, how, progress).run()
            progress.line("writing the report of the study")
            reports = how.report(study.path)
    print("\n".join(study_table(study, terminal_columns())))
    print()
    print(f"study:  {study.path}")
    for path in reports:
        print(f"report: {path}")
    return code


def _recover(study: StudyFolder, progress: ProgressReporter) -> None:
    """Set lines of records that a kill tore, or that are damaged, aside: their cells run again."""
    for row in study.record().rows if study.exists() else ():
        folder = study.run(row.name)
        if folder.exists():
            with folder.claimed():
                for line in folder.recover():
                    progress.say(f"note: {row.name}: {line}")


def _changes(asked: AskedStudy, study: StudyFolder, surveyed: list[SurveyedSet]) -> list[str]:
    """Say what a study file changes in a study that was begun; [] for nothing, or a new one."""
    if not study.exists():
        return []
    before = study.record()
    known = {one.name: one for one in before.rows}
    lines = []
    if before.title != asked.title:
        lines.append(f"the title is {asked.title!r}, it was {before.title!r}")
    for kind, margin in asked.margins.items():
        if before.margins.get(kind) != margin:
            lines.append(f"margin {kind} is {margin:g}, it was {before.margins.get(kind, 0):g}")
    for one in surveyed:
        name = one.row.name
        if name not in known:
            lines.append(f"{name}: new data set, {len(one.row.cells)} cells")
        elif one.changes is not None and _asks_otherwise(known[name], one.row):
            lines += one.changes.lines()
        if name in known and known[name].title != one.row.title:
            lines.append(f"{name}: its title is {one.row.title!r}, it was {known[name].title!r}")
    gone = known.keys() - {one.name for one in asked.sets}
    lines += [
        line for name in known if name in gone for line in RowChanges(name, gone=True).lines()
    ]
    return lines


def _asks_otherwise(before: StudyRow, now: StudyRow) -> bool:
    """Say whether a row is not what was last accepted: another plan, or other code for it."""
    return before.plan != now.plan or {c.identity for c in before.cells} != {
        c.identity for c in now.cells
    }


def _require_accepted(
    asked: AskedStudy,
    study: StudyFolder,
    surveyed: list[SurveyedSet],
    how: HowToRun,
    progress: ProgressReporter,
) -> None:
    """Write what is asked for into the folder. Raises UsageError on changes nobody accepted.

    What the changes would do is said first.
    """
    lines = _changes(asked, study, surveyed)
    for line in lines:
        progress.say(line)
    if lines and not how.accept_changes:
        raise UsageError(
            f"{study.path} holds a study of another file, or results of another version of "
            "he-compare; above is what would change",
            fix="pass --accept-changes to go on, or another folder to --out",
        )
    before = study.record() if study.exists() else None
    if before is not None:
        names = {one.name for one in asked.sets}
        for row in before.rows:
            if row.name not in names:
                set_aside_run(study, row.name)
    moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = [f"{moment}: {line}" for line in lines]
    study.write(
        StudyRecord(
            digest=asked.digest,
            title=asked.title,
            file=asked.file,
            created_at=before.created_at if before else moment,
            tool_version=tool_version(),
            seeds=list(asked.seeds),
            margins=dict(asked.margins),
            rows=_kept_rows(before, surveyed),
            published=list(asked.published),
            accepted=[*(before.accepted if before else ()), *told],
        )
    )
    study.keep_file(asked.text)


def _kept_rows(before: StudyRecord | None, surveyed: list[SurveyedSet]) -> list[StudyRow]:
    """Return the rows as asked for; one whose plan is as it was keeps how it ended."""
    ended = {one.name: one for one in before.rows} if before else {}
    rows = []
    for one in surveyed:
        known = ended.get(one.row.name)
        same = known is not None and known.plan == one.row.plan and known.ended
        cells = _priced_as_before(one.row, known) if known else one.row.cells
        rows.append(one.row.model_copy(update={"ended": same, "cells": cells}))
    return rows


def _priced_as_before(row: StudyRow, known: StudyRow) -> list[StudyCell]:
    """Return the cells of a row; estimates of cells that are done are those of before."""
    prices = {one.identity: one.seconds for one in known.cells}
    return [
        cell.model_copy(update={"seconds": prices.get(cell.identity)})
        if cell.seconds is None
        else cell
        for cell in row.cells
    ]


@dataclass
class _Rows:
    """Runs the rows one after another, and keeps count."""

    asked: AskedStudy
    study: StudyFolder
    surveyed: list[SurveyedSet]
    how: HowToRun
    progress: ProgressReporter
    _known: dict[str, list[RunRecord]] = field(default_factory=dict)
    _codes: list[int] = field(default_factory=list)

    def run(self) -> int:
        """Run what is not done. Return the exit code."""
        for row in self.study.record().rows:
            self._known[row.name] = self._records(row.name)
        for number, (one, found) in enumerate(zip(self.asked.sets, self.surveyed, strict=True), 1):
            title = f"data set {number} of {len(self.asked.sets)}, {one.name}"
            if found.missing:
                self.progress.say(f"{title}: unavailable: {found.missing}")
            elif found.damage is not None:
                self._give_up(one.name, found.damage)
            elif self._is_done(one.name):
                self.progress.line(f"{title}: already done")
            else:
                self.progress.line(f"{title}: {in_one_line_of_study(self._progress())}")
                self._run(one)
        if all(one.missing for one in self.surveyed):
            return EXIT_CELLS_FAILED
        return max(self._codes, default=EXIT_OK)

    def _run(self, one: AskedSet) -> None:
        try:
            failed = self._carry_out(one)
        except CompareError as error:  # what is wrong with one data set stops no other
            self._give_up(one.name, error)
            return
        self._update(one.name, problem="", ended=not failed)
        self._codes.append(EXIT_CELLS_FAILED if failed else EXIT_OK)

    def _give_up(self, name: str, error: CompareError) -> None:
        self.progress.say(f"{name}: {error}")
        self._update(name, problem=without_paths(error.problem, self.study.path), ended=False)
        self._codes.append(error.exit_code)

    def _carry_out(self, one: AskedSet) -> bool:
        """Run one row to its end; return whether something of it failed."""
        folder = self.study.run(one.name)
        known = folder.manifest().settings if folder.exists() else None
        with staffed(self.how.who, one.config, known, self.progress) as staff:
            planned = plan_set(self.asked, one, self.how.place, staff, self.progress)
            changes = row_changes(one.name, folder, planned.plan)
            if changes is not None:
                adopt_plan(self.study, changes, planned.plan)
            with folder.claimed():
                return carried_out(
                    *(planned.plan, folder, staff, planned.asked),
                    self.how.render,
                    self.progress,
                    lambda record: self._tell(one.name, record),
                ).failed

    def _tell(self, name: str, record: RunRecord) -> None:
        """Count a cell that ended and say how far the study is."""
        self._known[name].append(record)
        self.progress.line(f"    study: {in_one_line_of_study(self._progress())}")

    def _progress(self) -> StudyProgress:
        return progress_of(self.study.record().rows, self._known)

    def _records(self, name: str) -> list[RunRecord]:
        folder = self.study.run(name)
        try:
            return folder.records() if folder.exists() else []
        except CompareError:  # told where the row is run
            return []

    def _is_done(self, name: str) -> bool:
        """Say whether a row came to its end; a report that is missing is written."""
        found = next(one for one in self._progress().rows if one.row.name == name)
        folder = self.study.run(name)
        done = found.row.ended and not found.left and found.planned > 0
        if not done or kept_cells(folder).damaged:
            return False
        if self.how.formats_missing(folder.path):
            self.how.render(folder.path)
        return True

    def _update(self, name: str, **changed: object) -> None:
        record = self.study.record()
        rows = [row.model_copy(update=changed) if row.name == name else row for row in record.rows]
        self.study.write(record.model_copy(update={"rows": rows}))

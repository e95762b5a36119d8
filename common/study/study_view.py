"""A study, read once: the run of each data set, and each protection over all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from he_compare.common.errors import CompareError
from he_compare.common.run.view import PipelineView, RunView, read_run
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_records import StudyRecord, StudyRow

NOT_STARTED = "not started"


@dataclass(frozen=True)
class StudiedSet:
    """One data set. ``view``: None where there is no run to read; ``why``: then the reason.

    ``beside``: the report of its run is where a report of the study can lead to it.
    """

    row: StudyRow
    view: RunView | None
    why: str = ""
    beside: bool = True

    @property
    def title(self) -> str:
        """What the data set is called."""
        return self.row.title

    def pipeline(self, label: str) -> PipelineView | None:
        """Return a pipeline of its run; None where the run has none of that label."""
        return self.view.by_label.get(label) if self.view else None


@dataclass(frozen=True)
class StudyView:
    """A whole study: what was asked, and what each data set gave."""

    record: StudyRecord
    sets: tuple[StudiedSet, ...]
    path: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """Every pipeline that is asked for, each once, in the order of the study."""
        return tuple(dict.fromkeys(label for one in self.sets for label in one.row.pipelines))

    @property
    def read(self) -> tuple[tuple[StudiedSet, RunView], ...]:
        """The data sets whose runs could be read, with the runs."""
        return tuple((one, one.view) for one in self.sets if one.view is not None)

    @property
    def runs_beside(self) -> bool:
        """Whether a report of this study can lead to those of its runs."""
        return all(one.beside for one in self.sets)

    def places(self, label: str) -> tuple[tuple[StudiedSet, RunView, PipelineView], ...]:
        """Return where a pipeline was planned and its run could be read."""
        return tuple(
            (one, view, view.by_label[label]) for one, view in self.read if label in view.by_label
        )

    def first(self, label: str) -> tuple[RunView, PipelineView] | None:
        """Return a pipeline in the first run that measured it, else in the first that has it."""
        found = [(view, pipeline) for _, view, pipeline in self.places(label)]
        measured = [pair for pair in found if pair[1].measured]
        return next(iter(measured or found), None)


def read_study(folder: StudyFolder, *, runs_beside: bool = True) -> StudyView:
    """Read a study and the runs of its rows; a run that does not hold is a row with the reason.

    ``runs_beside``: False where what is made of it goes to a place without the runs.
    Raises UsageError where there is no study, IntegrityError where its own record does not hold.
    """
    record = folder.record()
    found = (_studied(folder, row) for row in record.rows)
    sets = tuple(replace(one, beside=runs_beside) for one in found)
    return StudyView(record, sets, folder.path)


def _studied(folder: StudyFolder, row: StudyRow) -> StudiedSet:
    run = folder.run(row.name)
    if not run.exists():
        why = f"unavailable: {row.unavailable}" if row.unavailable else row.problem
        return StudiedSet(row, None, why or NOT_STARTED)
    try:
        return StudiedSet(row, read_run(run))
    except CompareError as error:
        return StudiedSet(row, None, error.problem)

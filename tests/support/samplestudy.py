"""A study folder of invented runs: broken and unbroken, several seeds, a missing and a late row."""

from __future__ import annotations

from pathlib import Path

from he_compare.common.run.store import RunFolder
from he_compare.common.study.study_folder import RUNS, StudyFolder
from he_compare.common.study.study_records import StudyCell, StudyRecord, StudyRow
from tests.support.samplerun import SampleRun
from tests.support.samplerun.first_pages import none_broken, several_seeds, two_classes

MARGINS = {"accuracy": 0.03, "auc": 0.02}
BEGUN = "2025-03-01T10:00:00+00:00"


def row_of(name: str, run: SampleRun, **changed: object) -> StudyRow:
    """Return the row of a run: all its cells planned, and at its end."""
    cells = [
        StudyCell(
            identity=one.identity,
            label=one.cell.label,
            seed=one.cell.seed,
            phase=one.cell.phase,
            round=one.cell.round,
            seconds=2.0,
        )
        for one in run.records
    ]
    row = StudyRow(
        name=name,
        title=f"Set {name}",
        dataset=run.manifest.dataset.card.name,
        pipelines=[one.label for one in run.manifest.pipelines],
        plan="0" * 16,
        cells=cells,
        audit_seconds=0.0,
        ended=True,
    )
    return row.model_copy(update=changed)


def record_of(rows: list[StudyRow], **changed: object) -> StudyRecord:
    """Return what a study of these rows says of itself."""
    record = StudyRecord(
        digest="5d" * 32,
        title="Invented: what carries over",
        file="invented.toml",
        created_at=BEGUN,
        tool_version="0.1.0",
        seeds=[7, 8, 9],
        margins=MARGINS,
        rows=rows,
    )
    return record.model_copy(update=changed)


def sample_rows() -> dict[str, tuple[StudyRow, SampleRun | None]]:
    """Return rows with their runs: two broken or not, one of three seeds, one missing, one late."""
    runs = {"chest": two_classes(), "mri": several_seeds(), "histology": none_broken()}
    found: dict[str, tuple[StudyRow, SampleRun | None]] = {
        name: (row_of(name, run), run) for name, run in runs.items()
    }
    missing = row_of("ultrasound", runs["chest"], cells=[], ended=False)
    why = "no such folder or CSV: PATH (check the path after folder:)"
    found["ultrasound"] = missing.model_copy(update={"unavailable": why}), None
    found["late"] = row_of("late", runs["chest"], ended=False), None
    return found


def write_study(path: Path, rows: dict[str, tuple[StudyRow, SampleRun | None]]) -> StudyFolder:
    """Write a study folder and return it."""
    folder = StudyFolder(path)
    for name, (_, run) in rows.items():
        if run is not None:
            run.write(path / RUNS / name)
    folder.write(record_of([row for row, _ in rows.values()]))
    return folder


def sample_study(path: Path) -> StudyFolder:
    """Write the study of ``sample_rows``."""
    return write_study(path, sample_rows())


def runs_of(study: StudyFolder) -> list[RunFolder]:
    """Return the runs that a study folder holds."""
    return [study.run(one.name) for one in study.record().rows if study.run(one.name).exists()]

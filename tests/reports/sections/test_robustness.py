"""The robustness section: a panel and a row for each pipeline, and what gave no answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from he_compare.common.run.records import Interval, RobustnessCurve, RobustnessPoint, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.common.types import Phase
from he_compare.reports.document.nodes import Figure, Row, SpanRow, Table, plain
from he_compare.reports.sections import robustness
from tests.support.samplerun import SampleRun, ten_pipelines, three_pipelines

LEVELS = (0.0, 1e-3, 0.1)


def _curve(kind: str, correct: tuple[int, ...], refused: tuple[int, ...]) -> RobustnessCurve:
    points = [
        RobustnessPoint(
            level=level,
            n=20,
            correct=hits,
            same=hits,
            refused=lost,
            unreadable=0,
            garbage=0,
            accuracy=hits / 20,
            interval=Interval(
                low=max(0, hits / 20 - 0.2), high=min(1, hits / 20 + 0.2), method="W"
            ),
        )
        for level, hits, lost in zip(LEVELS, correct, refused, strict=True)
    ]
    return RobustnessCurve(
        disturbance=kind, unit="share of bits", applied_to="every byte", seed=0, points=points
    )


def _disturbed(run: SampleRun) -> SampleRun:
    """Return the run with a robustness cell for every pipeline that has an accuracy cell."""
    noise = RobustnessCurve(
        disturbance="noise", unit="sigma", applied_to="pictures", seed=0, points=[], reason="none"
    )
    added: list[RunRecord] = []
    for record in run.records:
        if record.cell.phase is Phase.ACCURACY and record.claims is not None:
            breaks = record.cell.pipeline.startswith("fhe")
            flips = _curve("bit flips", (18, 9, 1), (0, 10, 19) if breaks else (0, 0, 0))
            cell = record.cell.model_copy(update={"phase": Phase.ROBUSTNESS})
            update = {"identity": f"r{record.identity}", "cell": cell, "robustness": [flips, noise]}
            added.append(record.model_copy(update=update))
    return replace(run, records=(*run.records, *added))


def test_a_run_without_disturbed_messages_has_no_section(tmp_path: Path) -> None:
    assert robustness.SECTION.sections(read_run(RunFolder(three_pipelines().write(tmp_path)))) == []


def test_every_pipeline_has_a_row_and_lost_messages_are_counted(tmp_path: Path) -> None:
    view = read_run(RunFolder(_disturbed(three_pipelines()).write(tmp_path)))
    (section,) = robustness.SECTION.sections(view)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert [table.caption for table in tables] == [
        "Accuracy under bit flips",
        "Messages without an answer under bit flips",
    ]
    rows = [row for row in tables[0].rows if isinstance(row, Row)]
    assert len(rows) == 3
    assert plain(rows[0].cells[1]) == "0.90\n[0.70, 1.00]"
    heads = [plain(row.content) for row in tables[1].rows if isinstance(row, SpanRow)]
    assert heads == ["fhe-head"]
    lost = [[plain(cell) for cell in row.cells] for row in tables[1].rows if isinstance(row, Row)]
    assert lost == [["0.001", "20", "10", "0", "0", "0"], ["0.1", "20", "19", "0", "0", "0"]]


def test_the_figure_says_in_words_where_each_curve_ends(tmp_path: Path) -> None:
    view = read_run(RunFolder(_disturbed(ten_pipelines()).write(tmp_path)))
    (section,) = robustness.SECTION.sections(view)
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    assert b"<svg" in figure.svg
    assert figure.alt.count("goes from 0.90 to 0.05") == sum(
        bool(one.robustness_curves) for one in view.pipelines
    )

"""Transmission errors: three outcomes in one figure, counts and draws in a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from he_compare.common.run.records import Interval, RobustnessCurve, RobustnessPoint, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Phase
from he_compare.reports.disturbed_tables import disturbed_tables
from he_compare.reports.document.nodes import Bullets, Figure, Row, SpanRow, plain
from he_compare.reports.sections import robustness
from tests.support.samplerun import SampleRun, three_pipelines, with_the_hospital_alone

LEVELS = (0.0, 1e-3, 0.1)


def _curve(kind: str, correct: tuple[int, ...], refused: tuple[int, ...]) -> RobustnessCurve:
    points = [
        RobustnessPoint(
            level=level,
            n=60 if level else 20,
            draws=3 if level else 1,
            flips_expected=13.8 if level else 0.0,
            flips_drawn=12 if level else 0,
            correct=hits,
            same=hits,
            refused=lost,
            unreadable=0,
            garbage=0,
            wrong=(60 if level else 20) - hits - lost,
            accuracy=hits / (60 if level else 20),
            interval=Interval(low=0.1, high=0.9, method="W"),
            wrong_interval=Interval(low=0.0, high=0.2, method="W"),
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
            correct, refused = ((18, 9, 0), (0, 48, 60)) if breaks else ((18, 54, 40), (0, 0, 0))
            flips = _curve("bit flips", correct, refused)
            if record.no_server:
                flips = noise.model_copy(update={"disturbance": "bit flips"})
            cell = record.cell.model_copy(update={"phase": Phase.ROBUSTNESS})
            update = {"identity": f"r{record.identity}", "cell": cell, "robustness": [flips, noise]}
            added.append(record.model_copy(update=update))
    return replace(run, records=(*run.records, *added))


def _view(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def test_a_run_without_disturbed_messages_has_no_part(tmp_path: Path) -> None:
    view = _view(three_pipelines(), tmp_path)
    assert robustness.SECTION.sections(view) == []
    assert disturbed_tables(view) == []


def test_the_answer_says_right_refused_and_wrong_of_what_protects(tmp_path: Path) -> None:
    (part,) = robustness.SECTION.sections(_view(_disturbed(three_pipelines()), tmp_path))
    (bullets,) = [block for block in part.blocks if isinstance(block, Bullets)]
    said = [plain(one) for one in bullets.items]
    assert said == [
        "At least half of the messages were answered right at every strength. At 0.1: "
        "block-scramble[al_amin] right 0.67, refused 0.00, wrong 0.33.",
        "From a share of 1e-3 of flipped bits on, fewer than half were answered right. There: "
        "fhe-head right 0.15, refused 0.80, wrong 0.05.",
    ]


def test_there_is_one_figure_and_it_says_in_words_where_each_pipeline_ends(tmp_path: Path) -> None:
    (part,) = robustness.SECTION.sections(_view(_disturbed(three_pipelines()), tmp_path))
    (figure,) = [block for block in part.blocks if isinstance(block, Figure)]
    assert b"<svg" in figure.svg
    assert "fhe-head: at 0 right 0.90, refused 0.00, wrong 0.10, at 0.1 right 0.00" in figure.alt


def test_every_strength_has_its_outcomes_its_interval_and_its_draws(tmp_path: Path) -> None:
    view = _view(_disturbed(with_the_hospital_alone()), tmp_path)
    (table,) = disturbed_tables(view)
    assert table.caption == "Messages under bit flips"
    rows = [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]
    assert rows[-2] == [
        "0.001",
        "60",
        "13.8 / 12",
        "0.15 [0.10, 0.90]",
        "0.80",
        "0.05 [0.00, 0.20]",
        "48 / 0 / 0",
        "0",
    ]
    heads = [plain(row.content) for row in table.rows if isinstance(row, SpanRow)]
    assert "local: nothing is sent" in heads
    assert "3 draws" in plain(table.note)

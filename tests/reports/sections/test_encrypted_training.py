"""Convergence and rounds: drawn from the record's history, and only from one of that kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Phase
from he_compare.reports.document.nodes import Figure, Table
from he_compare.reports.figures.convergence import convergence_plot, rounds_plot
from he_compare.reports.figures.style import house_style
from he_compare.reports.sections import encrypted_training
from tests.support.samplerun import three_pipelines


def history(rounds: int, per_round: int, seconds: float) -> dict[str, Any]:
    entries = [
        {
            "iteration": number * per_round,
            "loss": 0.3 + 0.4 / number + 1e-6,
            "loss_of_twin": 0.3 + 0.4 / number,
            "relative_difference_to_twin": 1e-5 * number,
            "logits_outside_interval": 2,
            "seconds": seconds,
        }
        for number in range(1, rounds + 1)
    ]
    return {
        "history": entries,
        "loss_at_start": 0.69,
        "scikit_learn": {"loss": 0.31, "same_decisions_on_training_rows": 0.987},
        "bytes": {"refresh_upload": 1_000_000, "refresh_download": 500_000},
    }


def view_with(tmp_path: Path, training: dict[str, Any] | None) -> RunView:
    run = three_pipelines()
    records = tuple(
        one.model_copy(update={"training": training})
        if training is not None
        and one.cell.pipeline == "fhe-head"
        and one.cell.phase is Phase.ACCURACY
        else one
        for one in run.records
    )
    return read_run(RunFolder(dataclasses.replace(run, records=records).write(tmp_path / "run")))


def test_a_run_without_such_a_training_has_no_section(tmp_path: Path) -> None:
    view = view_with(tmp_path, None)
    assert encrypted_training.SECTION.sections(view) == []
    assert convergence_plot(view) is None and rounds_plot(view) is None


@pytest.mark.parametrize(
    "training",
    [{"history": [{"epoch": 1}]}, {"history": []}, {"history": "lost"}, {"history": [3]}],
)
def test_histories_of_another_kind_are_left_alone(tmp_path: Path, training: dict[str, Any]) -> None:
    assert encrypted_trainings(view_with(tmp_path, training)) == []


def test_the_section_tells_seconds_rounds_bytes_and_losses(tmp_path: Path) -> None:
    (section,) = encrypted_training.SECTION.sections(view_with(tmp_path, history(4, 2, 0.5)))
    figures = [block for block in section.blocks if isinstance(block, Figure)]
    assert [figure.name for figure in figures] == ["convergence", "rounds"]
    assert all(b"<svg" in figure.svg for figure in figures)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    (row,) = table.rows
    text = str(row)
    for told in ("8 / 4, 2.00 s", "1.50 MB", "0.690, 0.400, 0.310", "0.987", "'8'"):
        assert told in text


def test_the_lines_are_the_seconds_plus_a_wait_a_round(tmp_path: Path) -> None:
    view = view_with(tmp_path, history(4, 2, 0.5))
    with house_style():
        figure = rounds_plot(view)
    assert figure is not None
    line = figure.axes[0].lines[0]
    waits, seconds = (np.asarray(data, dtype=float) for data in line.get_data())
    np.testing.assert_allclose(seconds, 2.0 + 4 * waits)


def test_encrypted_and_twin_and_optimum_are_drawn_from_the_start(tmp_path: Path) -> None:
    view = view_with(tmp_path, history(3, 1, 0.5))
    with house_style():
        figure = convergence_plot(view)
    assert figure is not None
    twin, encrypted, optimum = figure.axes[0].lines
    assert list(twin.get_xdata()) == list(encrypted.get_xdata()) == [0, 1, 2, 3]
    assert twin.get_ydata()[0] == 0.69
    assert set(optimum.get_ydata()) == {0.31}
    (difference,) = figure.axes[1].lines
    assert list(difference.get_ydata()) == pytest.approx([1e-5, 2e-5, 3e-5])

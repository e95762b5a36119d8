"""Costs, convergence, rounds, levels: from one upload, with refreshes, and of older records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Phase
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Figure,
    Paragraph,
    Row,
    SpanRow,
    Table,
    plain,
)
from he_compare.reports.figures.convergence import convergence_plot
from he_compare.reports.figures.encrypted_learning import learning_plot
from he_compare.reports.figures.step_costs import costs_plot
from he_compare.reports.figures.style import house_style
from he_compare.reports.figures.upload import levels_plot, rounds_plot
from he_compare.reports.sections import (
    clear_to_encrypted,
    encrypted_training,
    encrypted_training_detail,
)
from tests.support.samplerun import PLAIN, TRAINED, Kind, build, three_pipelines


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
    return read_run(RunFolder(replace(run, records=records).write(tmp_path / "run")))


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


def blocks_of(view: RunView) -> list[Block]:
    parts = (
        clear_to_encrypted.SECTION,
        encrypted_training.SECTION,
        encrypted_training_detail.SECTION,
    )
    return [block for part in parts for one in part.sections(view) for block in one.blocks]


def table_of(view: RunView, caption: str) -> Table:
    found = [one for one in blocks_of(view) if isinstance(one, Table) and caption in one.caption]
    assert len(found) == 1, [one.caption for one in found]
    return found[0]


def cells_of(row: Row | SpanRow) -> list[str]:
    return [plain(row.content)] if isinstance(row, SpanRow) else [plain(one) for one in row.cells]


def test_an_older_record_tells_seconds_rounds_bytes_and_losses(tmp_path: Path) -> None:
    view = view_with(tmp_path, history(4, 2, 0.5))
    figures = [block for block in blocks_of(view) if isinstance(block, Figure)]
    assert [one.name for one in figures] == ["encrypted-learning", "convergence", "rounds"]
    assert all(b"<svg" in figure.svg for figure in figures)
    (spent,) = table_of(view, "what was spent").rows
    (came_out,) = table_of(view, "what came out").rows
    told = cells_of(spent) + cells_of(came_out)
    for words in ("8 / 3", "2.00 s", "1.50 MB", "0.690, 0.400, 0.310", "0.987", "8"):
        assert words in told
    assert "keys together with the circuit" in plain(table_of(view, "what was spent").note)


def test_the_lines_are_the_seconds_plus_a_wait_a_refresh(tmp_path: Path) -> None:
    view = view_with(tmp_path, history(4, 2, 0.5))
    with house_style():
        figure = rounds_plot(view)
    assert figure is not None
    measured, waiting = figure.axes
    assert [list(line.get_xydata()[0]) for line in measured.lines] == [[3.0, 2.0]]
    waits, seconds = (np.asarray(data, dtype=float) for data in waiting.lines[0].get_data())
    np.testing.assert_allclose(seconds, 2.0 + 3 * waits)


def test_encrypted_and_twin_and_optimum_are_drawn_from_the_start(tmp_path: Path) -> None:
    view = view_with(tmp_path, history(3, 1, 0.5))
    with house_style():
        figure, noise = learning_plot(view), convergence_plot(view)
    assert figure is not None and noise is not None
    twin, encrypted, optimum = figure.axes[0].lines
    assert list(twin.get_xdata()) == [0, 1, 2, 3]
    assert list(encrypted.get_xdata()) == [1, 2, 3]  # where the client saw the weights
    assert twin.get_ydata()[0] == 0.69
    assert set(optimum.get_ydata()) == {0.31}
    (difference,) = noise.axes[0].lines
    assert list(difference.get_ydata()) == pytest.approx([1e-5, 2e-5, 3e-5])


# From one upload --------------------------------------------------------------------------------

REFRESHED = replace(TRAINED, label="fhe-train[C=0.1]", training="refreshed")
OLDER = replace(TRAINED, label="fhe-train[C=1]", training="older")


def trained_view(tmp_path: Path, *kinds: Kind, **changes: Any) -> RunView:
    """A run of trainings beside the plain model; ``changes`` replace facts of the first one."""
    run = build((PLAIN, *kinds), classes=("a", "b"), n=120, untrained=False, rounds=1)
    records = tuple(
        one.model_copy(update={"training": one.training | changes})
        if changes and one.cell.label == kinds[0].label
        else one
        for one in run.records
    )
    return read_run(RunFolder(replace(run, records=records).write(tmp_path / "run")))


def test_one_upload_stands_beside_refreshes_and_older_records(tmp_path: Path) -> None:
    view = trained_view(tmp_path, TRAINED, REFRESHED, OLDER)
    assert [one.title for one in encrypted_training_detail.SECTION.sections(view)] == [
        "Encrypted training in detail",
        "Noise, logits and memory",
        "One upload or rounds",
        "Chosen in the clear",
    ]
    one, refreshed, older = (cells_of(row) for row in table_of(view, "what was spent").rows)
    assert one[2:] == ["3 / 0", "24.0 MB", "96.0 MB", "0 bytes\n262 kB", "2.71 s", "1.52 s"]
    assert refreshed[2:6] == ["3 / 2", "11.0 MB", "22.0 MB", "1.83 MB\n262 kB"]
    assert older[2:] == ["8 / 7", "9.70 MB", "17.0 MB", "1.00 bytes", "—", "3.20 s"]
    memory = [cells_of(row)[1:3] for row in table_of(view, "what came out").rows]
    assert memory[0] == ["410 MB;\n388 MB", "720 MB;\n—"]
    assert memory[2] == ["—;\n—", "—;\n—"]


def test_with_one_upload_there_is_nobody_to_wait_for(tmp_path: Path) -> None:
    with house_style():
        figure = rounds_plot(trained_view(tmp_path, TRAINED, REFRESHED))
    assert figure is not None
    measured, waiting = figure.axes
    assert [tuple(line.get_xydata()[0]) for line in measured.lines] == [(0, 1.52), (2, 0.48)]
    flat, rising = (np.asarray(line.get_ydata(), dtype=float) for line in waiting.lines[:2])
    assert set(flat) == {1.52} and rising[-1] > 1000
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "3 steps, one upload, 1.52 s" in told[0] and "2 refreshes, 480 ms" in told[1]


def test_a_single_stretch_shows_the_twin_step_by_step_and_its_logits(tmp_path: Path) -> None:
    view = trained_view(tmp_path, TRAINED)
    with house_style():
        figure, met = learning_plot(view), convergence_plot(view)
    assert figure is not None and met is not None
    twin, encrypted, _ = figure.axes[0].lines
    assert list(twin.get_xdata()) == [0, 1, 2, 3]
    assert list(twin.get_ydata()) == [0.6931, 0.401, 0.352, 0.337]
    assert list(encrypted.get_xdata()) == [3]
    logits, *bounds, _ = met.axes[0].lines
    assert list(logits.get_ydata()) == [0, 2.9, 5.8]
    # The first step starts from zero and has no polynomial.
    assert [list(bound.get_ydata()) for bound in bounds] == [[8.0, 8.0], [8.0, 8.0]]


def test_steps_whose_logits_left_the_interval_are_marked(tmp_path: Path) -> None:
    steps = [
        {"step": 1, "loss_of_twin": 0.4, "largest_logit": 0.0},
        {"step": 2, "loss_of_twin": 0.5, "largest_logit": 11.0, "interval": 8.0}
        | {"logits_outside_interval": 5},
    ]
    with house_style():
        figure = convergence_plot(trained_view(tmp_path, TRAINED, steps=steps))
    assert figure is not None
    inside, outside, *_ = figure.axes[0].lines
    assert [list(one.get_xdata()) for one in (inside, outside)] == [[1], [2]]
    assert "outside the interval" in str(outside.get_label())


def test_the_stairs_hold_one_step_for_the_first_level_and_one_for_each_four(
    tmp_path: Path,
) -> None:
    with house_style():
        figure = levels_plot(trained_view(tmp_path, TRAINED, OLDER))
    assert figure is not None
    (axes,) = figure.axes
    stairs, *points = axes.lines
    assert list(stairs.get_xdata())[:4] == [0, 1, 5, 9] and stairs.get_drawstyle() == "steps-post"
    assert list(stairs.get_ydata())[:4] == [0, 1, 2, 3]
    names = [text.get_text() for text in axes.texts]
    assert names[1:4] == ["n16384-295", "n16384-402, used", "n16384-430-13"]
    marks = [(line.get_xdata()[0], line.get_ydata()[0], line.get_marker()) for line in points[:6]]
    assert marks == [
        (4, 1, "o"), (6, 2, "o"), (9, 3, "s"), (13, 4, "o"), (17, 5, "o"), (24, 6, "o"),
    ]  # fmt: skip


def test_many_sets_on_one_step_are_named_apart(tmp_path: Path) -> None:
    sets = [
        {"parameter_set": f"n16384-{bits}-long", "ring": 16384, "log2_q": bits}
        | {"levels": levels, "steps_from_one_upload": 1 + (levels - 1) // 4, "chosen": False}
        for bits, levels in enumerate((3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 9, 10), start=200)
    ]
    with house_style():
        figure = levels_plot(trained_view(tmp_path, TRAINED, design_space=sets))
        assert figure is not None
        figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
    assert "and 2 more" in figure.axes[0].texts[1].get_text()


def test_sets_are_listed_once_where_trainings_share_them(tmp_path: Path) -> None:
    rows = [
        cells_of(row)
        for row in table_of(trained_view(tmp_path, TRAINED, REFRESHED), "Steps against").rows
    ]
    assert rows[0] == ["fhe-train; fhe-train[C=0.1]: 3 steps"] and len(rows) == 7
    assert rows[3] == [
        "n16384-402", "16,384, 402", "9", "3", "0", "88.5 MB", "24.6 MB", "590 MB", "420",
    ]  # fmt: skip


def test_the_choice_is_told_with_its_rule_and_the_chosen_entries(tmp_path: Path) -> None:
    (section,) = (
        one
        for one in encrypted_training_detail.SECTION.sections(trained_view(tmp_path, TRAINED))
        if one.title == "Chosen in the clear"
    )
    _, told, components, lengths = section.blocks
    assert isinstance(told, Paragraph)
    words = plain(told.content)
    assert "components 127, later length 1.5, interval 8." in words
    assert "Rule: the fewest components within 0.002 AUC" in words and "no test image" in words
    assert isinstance(components, Table) and isinstance(lengths, Table)
    bold = [
        cells_of(row)
        for table in (components, lengths)
        for row in table.rows
        if isinstance(row, Row) and isinstance(row.cells[0][0], Bold)
    ]
    assert bold == [["127", "0.978"], ["1.5", "8", "0.3567"]]


def test_the_lengths_of_the_steps_are_one_fact(tmp_path: Path) -> None:
    entry = {"components": 63, "interval": 8.0, "length_1": 4.0, "length_2": 1.5, "length_3": 2.25}
    choice = {"grid": [entry, entry | {"components": 31}], "chosen": entry}
    view = trained_view(tmp_path, TRAINED, choice=choice)
    table = table_of(view, "Grid")
    assert [column.title for column in table.columns] == ["Components", "Interval", "Step lengths"]
    assert cells_of(table.rows[0]) == ["63", "8", "4, 1.5, 2.25"]
    told = [plain(one.content) for one in blocks_of(view) if isinstance(one, Paragraph)]
    assert "components 63, interval 8, step lengths 4, 1.5, 2.25." in told[-1]


def test_a_large_grid_is_cut_but_never_the_chosen_entry(tmp_path: Path) -> None:
    grid = [{"components": count, "auc": 0.9} for count in range(1, 31)]
    choice = {"grid": grid, "chosen": {"components": 30}, "rule": "", "measured_on": ""}
    table = table_of(trained_view(tmp_path, TRAINED, choice=choice), "Grid")
    assert [cells_of(row)[0] for row in table.rows] == [*map(str, range(1, 10)), "30"]
    assert "20 further entries" in plain(table.note)


def test_each_cost_is_a_number_of_its_own(tmp_path: Path) -> None:
    view = trained_view(tmp_path, TRAINED)
    table = table_of(view, "What each step costs")
    named, first, *steps = (cells_of(row) for row in table.rows)
    assert named[0].startswith("fhe-train, record ")
    assert first[0] == "clear head" and first[4:] == ["—", "—"]
    assert [step[1] for step in steps] == ["preparation", "few steps", "polynomial", "encryption"]
    assert steps[0][5] == "−0.0040\n[−0.0072, −0.0008]"
    with house_style():
        figure = costs_plot(view)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["preparation", "few steps", "polynomial", "encryption"]
    points = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == [-0.004, -0.0025, 0.0008, 0.0]
    # Filled where the interval does not reach 0.
    assert [line.get_markerfacecolor() == line.get_color() for line in points] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        {"steps": "lost"},
        {"steps": [3, {"step": "one"}], "levels": {"first_step": 1, "later_step": 0}},
        {"design_space": [{"levels": -4}, None], "levels": None},
        {"design_space": [{"levels": 10**12, "ring": 1, "log2_q": 1, "steps_from_one_upload": 1}]},
        {"choice": {"chosen": [1], "grid": {}}},
        {"choice": {"chosen": {"a": None}, "grid": [{}, 3, {"a": None}, {"a": [1, 2]}]}},
        {"bytes": [], "memory": 7, "seconds": "soon", "refresh_rounds": -3},
        {"bytes": {"keys": "many"}, "loss_at_start": 10**400, "refresh_rounds": "Infinity"},
    ],
)
def test_facts_of_another_shape_are_left_out(tmp_path: Path, facts: dict[str, Any]) -> None:
    view = trained_view(tmp_path, TRAINED, **facts)
    assert table_of(view, "what was spent").rows
    assert len(encrypted_training.SECTION.sections(view)) == 1


@pytest.mark.parametrize("value", ["NaN", "Infinity", 1e308])
def test_a_training_that_diverged_is_shown_all_the_same(tmp_path: Path, value: Any) -> None:
    entry = history(1, 3, 0.5)["history"][0]
    entry |= {"loss": value, "loss_of_twin": value, "relative_difference_to_twin": value}
    steps = [{"step": 1, "loss_of_twin": value, "largest_logit": value, "interval": 8.0}]
    view = trained_view(tmp_path, TRAINED, history=[entry], steps=steps)
    (row,) = table_of(view, "what came out").rows
    assert any(words in cells_of(row)[3] for words in ("not a number", "∞", "1"))
    names = [block.name for block in blocks_of(view) if isinstance(block, Figure)]
    assert names == ["step-costs", "encrypted-learning", "convergence", "levels"]


def test_it_says_that_a_choice_in_the_clear_trained_heads_there(tmp_path: Path) -> None:
    chosen = trained_view(tmp_path / "chosen", TRAINED)
    said = [plain(one.content) for one in blocks_of(chosen) if isinstance(one, Paragraph)]
    assert any("had a trained head before the server had one" in one for one in said)
    assert any("it could train this layer alone, without a server" in one for one in said)
    given = trained_view(tmp_path / "given", TRAINED, choice={"chosen": {"components": 63}})
    said = [plain(one.content) for one in blocks_of(given) if isinstance(one, Paragraph)]
    assert not any("had a trained head before" in one for one in said)


# What it came to, in short ----------------------------------------------------------------------

SIGMOID = {"interval": [-6.0, 6.0], "coefficients": [0.18059409286, -0.00309126971]}


def words_of(view: RunView) -> str:
    (section,) = encrypted_training.SECTION.sections(view)
    return " ".join(plain(one.content) for one in section.blocks if isinstance(one, Paragraph))


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((0.40, 0.3105, 0.3102), "0.00020 above the optimum of the exact logistic loss, 0.05%"),
        ((0.40, 0.352, 0.352), "stopped falling 0.042 above the optimum"),
        ((0.40, 0.352, 0.353), "stopped falling 0.043 above the optimum"),
        ((0.45, 0.40, 0.35), "0.040 above the optimum and still falling, by 0.050"),
        ((float("nan"),) * 3, "the loss diverged"),
    ],
)
def test_it_says_where_the_loss_ended_and_whether_it_still_fell(
    tmp_path: Path, losses: tuple[float, ...], words: str
) -> None:
    steps = [
        {"step": number, "loss_of_twin": "NaN" if loss != loss else loss, "largest_logit": 1.0}
        for number, loss in enumerate(losses, start=1)
    ]
    optimum = {"loss": 0.31}
    view = trained_view(tmp_path, TRAINED, steps=steps, scikit_learn=optimum, loss_at_start=0.69)
    assert words in words_of(view)


def test_the_error_of_the_polynomial_is_that_on_the_logits_that_were_met(tmp_path: Path) -> None:
    steps = [
        {"step": 1, "loss_of_twin": 0.4, "largest_logit": 0.0},
        {"step": 2, "loss_of_twin": 0.35, "largest_logit": 1.0, "interval": 6.0},
    ]
    view = trained_view(tmp_path, TRAINED, steps=steps, sigmoid=SIGMOID)
    (row,) = table_of(view, "same steps in the clear").rows
    cells = cells_of(row)
    # 1/(1 + e^-1) - 1/2 = 0.23106 against 0.17750; largest on the interval at its end.
    assert cells[3:] == ["0.054 up to 1.0", "0.082 up to 6"]
    unrecorded = trained_view(tmp_path / "older", TRAINED)
    (row,) = table_of(unrecorded, "same steps in the clear").rows
    assert cells_of(row)[3:] == ["not recorded", "not recorded"]


@pytest.mark.parametrize(
    "sigmoid",
    [
        None,
        {"interval": [-6.0, 6.0]},
        {"interval": 6, "coefficients": [0.1]},
        {"interval": [-6.0, 0], "coefficients": [0.1]},
        {"interval": [-6.0, 6.0], "coefficients": ["a"]},
        {"interval": [-6.0, 1e300], "coefficients": [0.1, -0.1]},
        {"interval": [-6.0, 6.0], "coefficients": [0.1] * 500},
    ],
)
def test_a_polynomial_of_another_shape_is_not_recorded(tmp_path: Path, sigmoid: Any) -> None:
    view = trained_view(tmp_path, TRAINED, sigmoid=sigmoid)
    assert encrypted_trainings(view)[0].polynomial is None
    with house_style():
        assert learning_plot(view) is not None


def test_the_figure_shades_what_the_training_met(tmp_path: Path) -> None:
    with house_style():
        figure = learning_plot(trained_view(tmp_path, TRAINED, sigmoid=SIGMOID))
    assert figure is not None
    curve, met = figure.axes[1].lines
    assert float(np.max(np.asarray(curve.get_ydata(), dtype=float))) == pytest.approx(
        0.0817, abs=1e-4
    )
    assert set(met.get_xdata()) == {5.8}


def test_the_cost_in_accuracy_comes_first_and_is_against_the_twin(tmp_path: Path) -> None:
    told = words_of(trained_view(tmp_path, TRAINED))
    assert told.startswith(
        "fhe-train: no twin in this run: add --pipeline 'plaintext[model=logistic]'"
    )

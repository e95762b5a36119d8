"""Figures: equal bytes for equal input, nothing clipped or colliding from 1 to 12 pipelines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.figures.accuracy import forest_plot
from he_compare.reports.figures.convergence import convergence_plot
from he_compare.reports.figures.robustness import robustness_plot
from he_compare.reports.figures.step_costs import costs_plot
from he_compare.reports.figures.style import house_style, svg_of
from he_compare.reports.figures.time_by_place import time_by_place_plot
from he_compare.reports.figures.upload import levels_plot, rounds_plot
from tests.support.samplerun import (
    PLAIN,
    SCRAMBLE,
    TRAINED,
    SampleRun,
    audited,
    build,
    ten_pipelines,
    three_pipelines,
    with_the_hospital_alone,
)

Plot = Callable[[RunView], Figure | None]
PLOTS: tuple[Plot, ...] = (
    forest_plot,
    time_by_place_plot,
    costs_plot,
    convergence_plot,
    levels_plot,
    robustness_plot,
)


def _view(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def _one() -> SampleRun:
    return build((PLAIN,), classes=("a", "b"), n=40, untrained=False, rounds=1)


def _twelve() -> SampleRun:
    """Twelve pipelines with labels of 120 characters over six decades of time."""
    kinds = [
        replace(
            SCRAMBLE,
            label=f"variant-{i}-" + "parameter=value," * 7,
            accuracy=0.4 + 0.05 * i,
            client_ms=0.02 * 3.5**i,
            server_ms=0.5 * 3.0**i,
        )
        for i in range(12)
    ]
    run = build(tuple(kinds), classes=("a" * 80, "b"), n=80, untrained=False, rounds=1)
    ids = np.array([f"images/test/{'deep/' * 12}person{i}.jpeg" for i in range(4)])
    return replace(run, pictures={**run.pictures, "ids": ids})


def _trained() -> SampleRun:
    """Trainings under encryption of three shapes beside the plain model."""
    long = replace(TRAINED, label="fhe-train[" + "option=value," * 8 + "]", training="refreshed")
    kinds = (PLAIN, TRAINED, long, replace(TRAINED, label="fhe-train[old]", training="older"))
    return build(kinds, classes=("a", "b"), n=120, untrained=False, rounds=1)


RUNS = (
    _one,
    three_pipelines,
    ten_pipelines,
    _twelve,
    _trained,
    audited,
    with_the_hospital_alone,
)


def _figures(view: RunView) -> list[Figure]:
    with house_style():
        figures = [figure for plot in PLOTS if (figure := plot(view)) is not None]
        for figure in figures:
            figure.canvas.draw()
    return figures


def _texts(figure: Figure) -> list[Text]:
    """Every text that is drawn: matplotlib also keeps labels of ticks beyond the axis."""
    found = figure.findobj(match=lambda one: isinstance(one, Text) and one.get_visible())
    beyond = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not axes.axison
        or not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    return [text for text in found if text.get_text().strip() and id(text) not in beyond]


@pytest.mark.parametrize("make", RUNS)
def test_no_text_is_clipped_by_the_edge(make: Callable[[], SampleRun], tmp_path: Path) -> None:
    for figure in _figures(_view(make(), tmp_path)):
        width, height = figure.canvas.get_width_height(physical=True)
        for text in _texts(figure):
            box = text.get_window_extent()
            inside = box.x0 >= -2 and box.y0 >= -2 and box.x1 <= width + 2 and box.y1 <= height + 2
            assert inside, text.get_text()


@pytest.mark.parametrize("make", (_twelve, audited))
def test_words_of_small_panels_do_not_collide(
    make: Callable[[], SampleRun], tmp_path: Path
) -> None:
    view = _view(make(), tmp_path)
    for plot in (forest_plot, robustness_plot):
        with house_style():
            figure = plot(view)
            if figure is None:
                continue
            figure.canvas.draw()
        upright = [text for text in _texts(figure) if text.get_rotation() == 0]
        boxes = [text.get_window_extent() for text in upright]
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:index]), upright[index]


@pytest.mark.parametrize("make", RUNS)
def test_labels_of_rows_do_not_collide(make: Callable[[], SampleRun], tmp_path: Path) -> None:
    for figure in _figures(_view(make(), tmp_path)):
        for axes in figure.axes:
            boxes = [
                label.get_window_extent() for label in axes.get_yticklabels() if label.get_text()
            ]
            boxes.sort(key=lambda box: box.y0)
            for lower, upper in pairwise(boxes):
                assert upper.y0 >= lower.y1 - 1


@pytest.mark.parametrize("plot", PLOTS)
def test_equal_runs_give_equal_bytes(plot: Plot, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        view = _view(audited(), tmp_path / name)
        with house_style():
            figure = plot(view)
        assert figure is not None
        made.append(svg_of(figure))
    assert made[0] == made[1]
    assert b"<dc:date>" not in made[0]


def test_rounds_are_drawn_only_where_a_training_refreshed_something(tmp_path: Path) -> None:
    run = audited()
    for name, rounds in (("one-upload", 0), ("rounds", 2)):
        records = tuple(
            one.model_copy(update={"training": one.training | {"refresh_rounds": rounds}})
            if one.training.get("history")
            else one
            for one in run.records
        )
        view = _view(replace(run, records=records), tmp_path / name)
        with house_style():
            assert (rounds_plot(view) is not None) is bool(rounds)


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    _figures(_view(three_pipelines(), tmp_path))
    assert dict(mpl.rcParams) == before


def test_a_run_without_numbers_has_no_plots(tmp_path: Path) -> None:
    run = three_pipelines()
    view = _view(replace(run, records=(), sheet=None), tmp_path)
    assert [plot(view) for plot in PLOTS] == [None] * len(PLOTS)


def test_small_text_on_lines_keeps_a_white_ground_in_the_file(tmp_path: Path) -> None:
    with house_style():
        figure = levels_plot(_view(audited(), tmp_path))
    assert figure is not None
    drawn = svg_of(figure).decode()
    grounds = re.findall(r"fill: #ffffff; stroke: #ffffff; stroke-width: ([0-9.]+)", drawn)
    named = [text for axes in figure.axes for text in axes.texts if text.get_path_effects()]
    assert len(grounds) == sum(text.get_text().count("\n") + 1 for text in named) > 0
    assert all(20 < float(width) < 50 for width in grounds)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")

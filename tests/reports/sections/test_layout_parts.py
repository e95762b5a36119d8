"""Who holds what, parameters without raw dumps, and an index of the records that are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.run.records import WorkFacts
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import Link, LinkTarget, Row, Table, all_spans, plain
from he_compare.reports.figures.holders import HeldWhere, draw_holders
from he_compare.reports.figures.style import house_style
from he_compare.reports.holdings import holdings_of
from he_compare.reports.plain_values import plain_value
from he_compare.reports.sections.pipeline_parameters import SECTION as PARAMETERS
from tests.support.samplerun import audited, three_pipelines, with_the_hospital_alone

WORK = WorkFacts(
    hospital="runs the network",
    server="evaluates the last layer, on ciphertexts",
    head_trained_by="the hospital",
    head_owner="the hospital; the server holds a copy",
)


def _view(path: Path) -> RunView:
    return read_run(RunFolder(with_the_hospital_alone().write(path)))


def test_set_ups_of_which_the_same_is_said_are_one_kind(tmp_path: Path) -> None:
    view = _view(tmp_path)
    kinds = holdings_of(view)
    named = ", ".join(kind.names for kind in kinds)
    assert all(one.label in named for one in view.pipelines)
    (alone,) = [kind for kind in kinds if not kind.up.count("ciphertext") and not kind.down]
    assert alone.server == () and alone.up == "nothing is sent" and not alone.secret


def test_what_is_recorded_of_the_work_is_said_and_what_is_not_is_not_guessed(
    tmp_path: Path,
) -> None:
    view = _view(tmp_path)
    known = replace(
        view,
        pipelines=tuple(
            replace(one, planned=one.planned.model_copy(update={"work": WORK}))
            for one in view.pipelines
        ),
    )
    kind = next(one for one in holdings_of(known) if "fhe-head" in one.names)
    assert "Runs the network." in kind.hospital
    assert kind.server == ("Evaluates the last layer, on ciphertexts.",)
    assert "owned by the hospital" in kind.head and kind.secret
    older = replace(
        view,
        pipelines=tuple(
            replace(one, planned=one.planned.model_copy(update={"work": None}))
            for one in view.pipelines
        ),
    )
    assert all("owned" not in one.head for one in holdings_of(older))


@pytest.mark.parametrize("name", ["<b>x</b> $y$", "\u202eevil \u05e9\u05dc\u05d5\u05dd", "w" * 300])
def test_hostile_names_fit_the_drawing(name: str) -> None:
    with house_style():
        figure = draw_holders([HeldWhere(name, (name,), name, "scores", (name,), name, True)])
        assert figure is not None
        figure.canvas.draw()
        words = [text for axes in figure.axes for text in axes.texts]
        assert not any("\u202e" in text.get_text() for text in words)
        right = max(text.get_window_extent().x1 for text in words)
    assert right <= figure.bbox.width + 1


def test_parameters_stand_in_words_one_table_a_plug_in(tmp_path: Path) -> None:
    view = read_run(RunFolder(audited().write(tmp_path)))
    (section,) = PARAMETERS.sections(view)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert len(tables) == len({one.planned.name for one in view.pipelines})
    for table in tables:
        for row in table.rows:
            if isinstance(row, Row):
                words = " ".join(plain(cell) for cell in row.cells)
                assert not re.search(r"[{}]|null|None|True|False", words), words


def test_values_are_spelled_for_people() -> None:
    assert plain_value({"degree": 3, "interval": [-12.0, 12.0]}) == "degree 3; interval -12, 12"
    assert plain_value(None) == plain_value("") == "not set"
    assert plain_value(True) == "yes"


@pytest.mark.parametrize("make", [three_pipelines, audited])
def test_the_index_holds_what_links_lead_to_and_no_more(make: object, tmp_path: Path) -> None:
    assert callable(make)
    document = build_document(RunFolder(make().write(tmp_path)))
    found = list(all_spans(document.sections))
    linked = {
        span.target[1:]
        for span in found
        if isinstance(span, Link) and span.target.startswith("#record-")
    }
    targets = [span.anchor for span in found if isinstance(span, LinkTarget)]
    assert linked
    assert sorted(targets) == sorted(linked)

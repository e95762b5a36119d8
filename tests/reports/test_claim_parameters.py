"""Parameters of claims in words: no JSON, no key=value, unknown names, hostile values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.chosen import chosen_words
from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.build import build_document
from he_compare.reports.claim_parameters import (
    LONGEST_VALUE,
    MOST_ROWS,
    NO_DESCRIPTION,
    TOLD_OF_LATTICES,
    named_values,
    value_in_words,
)
from he_compare.reports.document.nodes import Row, Table, plain
from he_compare.reports.render.markdown import markdown
from he_compare.reports.sections import claims, trust_boundary
from tests.support.samplerun import FHE, PLAIN, TRAINED, SampleRun, build, three_pipelines


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (True, "", "yes"),
        (False, "bytes", "no"),
        (974503, "bytes", "975 kB"),
        (4096, "", "4,096"),
        (0.00013, "", "0.000130"),
        ([36, 28, 42], "bits", "36, 28, 42 bits"),
        ([], "bits", "none"),
        (None, "", "none"),
        ({"a_b": 1, "c": [2, 3]}, "", "a b 1, c 2, 3"),
    ],
)
def test_values_are_spelled_for_readers(value: Any, unit: str, words: str) -> None:
    assert value_in_words(value, unit) == words


def test_a_known_name_has_a_meaning_and_an_unknown_one_says_that_it_has_none() -> None:
    known, unknown = named_values({"rotations": 7, "my_own_knob": "on", "absent": None})
    assert (known.name, known.value) == ("Rotations", "7") and known.meaning
    assert (unknown.name, unknown.value, unknown.meaning) == ("My own knob", "on", NO_DESCRIPTION)


def test_what_is_nested_is_laid_out_flat() -> None:
    told = named_values({"training": {"diagonals": 16, "N": 8192}}, TOLD_OF_LATTICES)
    assert [(one.name, one.value) for one in told] == [("Training: diagonals", "16")]
    deep: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": 1}}}}}
    (only,) = named_values(deep)
    assert only.name == "A: b: c: d" and only.value == "e 1"


def test_a_flood_of_parameters_and_long_text_are_cut_and_said_to_be() -> None:
    told = named_values({f"knob_{number}": "x" * 9999 for number in range(500)})
    assert len(told) == MOST_ROWS + 1
    assert told[-1].value == "440 more are in the record"
    assert all(len(one.value) <= LONGEST_VALUE for one in told)


def changed(run: SampleRun, label: str, **update: Any) -> SampleRun:
    """The run with fields of one pipeline's claims changed."""
    records = tuple(
        one.model_copy(update={"claims": one.claims.model_copy(update=update)})
        if one.cell.label == label and one.claims
        else one
        for one in run.records
    )
    return replace(run, records=records)


def view_of(path: Path, run: SampleRun) -> RunView:
    return read_run(RunFolder(run.write(path)))


def test_the_report_prints_no_raw_parameters_of_a_claim(tmp_path: Path) -> None:
    hostile = {
        "modulus_bits": [60, 40, 60],
        "nested": {"deeper": [1, {"x": None}]},
        "<script>alert(1)</script>": "‮right to left",
        "not_claimed": ["integrity", "circuit privacy"],
    }
    run = changed(three_pipelines(), "fhe-head", parameters=hostile)
    view = view_of(tmp_path / "run", run)
    cells = [
        plain(cell)
        for section in claims.SECTION.sections(view)
        for block in section.blocks
        if isinstance(block, Table)
        for row in block.rows
        if isinstance(row, Row)
        for cell in row.cells
    ]
    for cell in cells:
        assert not any(raw in cell for raw in ("modulus_bits", "[60", '"', "null", "{")), cell
    assert "60, 40, 60 bits" in cells
    assert "integrity; circuit privacy" in cells
    assert "<script>" not in markdown(build_document(RunFolder(view.path)))


def test_pipelines_that_state_the_same_share_their_rows(tmp_path: Path) -> None:
    twin = replace(FHE, label="fhe-head[C=1]", parameters=(("C", 1.0),))
    run = build((PLAIN, FHE, twin), classes=("a", "b"), n=40, untrained=False, rounds=1)
    view = view_of(tmp_path / "run", run)
    (_, statements) = claims.SECTION.sections(view)
    table = next(
        one
        for one in statements.blocks
        if isinstance(one, Table) and one.caption == "What each pipeline states"
    )
    heads = [plain(row.content) for row in table.rows if not isinstance(row, Row)]
    assert heads == ["plaintext", "fhe-head; fhe-head[C=1]"]


# The boundary -----------------------------------------------------------------------------------


def boundary_row(view: RunView, label: str) -> list[str]:
    table = trust_boundary.SECTION.blocks(view)[-1]
    assert isinstance(table, Table)
    rows = [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]
    return next(row for row in rows if row[0].startswith(label))


def test_public_material_holds_the_keys_of_training(tmp_path: Path) -> None:
    run = build((PLAIN, TRAINED), classes=("a", "b"), n=40, untrained=False, rounds=1)
    held = boundary_row(view_of(tmp_path / "run", run), "fhe-train")[3]
    assert "of training, 96.0 MB of evaluation keys" in held and "of inference, " in held


def test_noise_is_a_control_and_not_unprotected_data(tmp_path: Path) -> None:
    noise = SecurityClaims(
        scheme="noise: replaced by uniform bytes",
        protects="everything: the bytes do not depend on the image",
        claim_type="none",
        preserves=["the size of the image"],
        source="control",
    )
    run = changed(three_pipelines(), "fhe-head", **noise.model_dump())
    view = view_of(tmp_path / "run", run)
    sent = boundary_row(view, "fhe-head")[2]
    assert sent.startswith("noise: replaced by uniform bytes (a control)")
    text = markdown(build_document(RunFolder(view.path)))
    part = text[text.index("What each pipeline states") :]
    assert "everything: the bytes" not in part
    assert boundary_row(view, "plaintext")[2].startswith("unprotected images")


# What was chosen --------------------------------------------------------------------------------


def test_what_was_left_to_the_program_is_told_as_chosen(tmp_path: Path) -> None:
    kind = replace(
        TRAINED,
        parameters=(("steps", 0), ("components", 0), ("interval", 0.0), ("C", 0.01), ("rounds", 0)),
    )
    run = build((PLAIN, kind), classes=("a", "b"), n=40, untrained=False, rounds=1)
    choice = {
        "chosen": {
            "steps": 3,
            "components": 31,
            "length_1": 4.0,
            "length_2": 8.0,
            "interval_2": 6.0,
            "interval_3": 6.0,
        }
    }
    records = tuple(
        one.model_copy(update={"training": one.training | {"choice": choice}})
        if one.cell.label == kind.label
        else one
        for one in run.records
    )
    view = view_of(tmp_path / "run", replace(run, records=records))
    told = chosen_words(view.by_label[kind.label])
    assert told == {"steps": "chosen: 3", "components": "chosen: 31", "interval": "chosen: 6.00"}


def test_nothing_is_called_chosen_that_is_not_on_record(tmp_path: Path) -> None:
    view = view_of(tmp_path / "run", three_pipelines())
    assert chosen_words(view.by_label["fhe-head"]) == {}
    assert chosen_words(view.by_label["plaintext"]) == {}

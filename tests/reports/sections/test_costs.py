"""Costs in the report: by place, above the twin, cold, and what was not measured said as such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Phase
from he_compare.reports.document.nodes import (
    Bullets,
    Figure,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    plain,
)
from he_compare.reports.figures.time_by_place import beside_twins
from he_compare.reports.sections import costs_in_detail, latency, other_costs, where_time_goes
from tests.support.samplerun import SampleRun, audited, ten_pipelines, three_pipelines

PARTS = (where_time_goes, latency, other_costs, costs_in_detail)


def _view(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def _accuracy(run: SampleRun, **update: object) -> SampleRun:
    def made(record: RunRecord) -> RunRecord:
        first = record.cell.phase is Phase.ACCURACY
        return record.model_copy(update=update) if first else record

    return replace(run, records=tuple(made(one) for one in run.records))


def _table(sections: list[Section], caption: str) -> list[list[str]]:
    (table,) = [
        block
        for section in sections
        for block in section.blocks
        if isinstance(block, Table) and block.caption == caption
    ]
    return [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]


def test_protected_pipelines_stand_below_their_twin(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path)
    groups = [[one.label for one in group] for group in beside_twins(view)]
    logistic = next(group for group in groups if "fhe-head" in group)
    assert logistic[0] == "plaintext[logistic]"
    assert sorted(label for group in groups for label in group) == sorted(view.by_label)


def test_it_is_said_who_spends_the_time(tmp_path: Path) -> None:
    (part,) = where_time_goes.SECTION.sections(_view(audited(), tmp_path))
    said, figure = part.blocks
    assert isinstance(said, Paragraph) and isinstance(figure, Figure)
    assert "the hospital runs the image network itself" in plain(said.content)
    assert "the server runs the network" in plain(said.content)
    assert "fhe-head: " in figure.alt and "of which hospital" in figure.alt


def test_latency_is_by_place_and_above_the_twin(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path)
    (part,) = latency.SECTION.sections(view)
    rows = _table([part], "Latency of one image by place")
    head = next(row for row in rows if row[0].startswith("fhe-head"))
    assert len(head) == 8 and all(" / " in head[column] for column in (4, 5, 6))
    assert head[7].startswith("+") and "[+" in head[7]
    bullets = [block for block in part.blocks if isinstance(block, Bullets)]
    assert any("the same network at the hospital" in plain(one) for one in bullets[0].items)


def test_a_protected_pipeline_without_a_twin_says_how_to_have_one(tmp_path: Path) -> None:
    run = audited()
    planned = [
        one.model_copy(update={"twin": "", "twin_wanted": "plaintext[model=logistic]"})
        if one.label == "fhe-head"
        else one
        for one in run.manifest.pipelines
    ]
    manifest = run.manifest.model_copy(update={"pipelines": planned})
    (part,) = latency.SECTION.sections(_view(replace(run, manifest=manifest), tmp_path))
    (table,) = [block for block in part.blocks if isinstance(block, Table)]
    remarks = [plain(row.content) for row in table.rows if isinstance(row, SpanRow)]
    assert any("no twin in this run: add --pipeline" in one for one in remarks)


def test_one_time_work_is_cold_and_memory_of_the_phase(tmp_path: Path) -> None:
    facts = {
        "reused": ["features-1", "plain-vit-2"],
        "reused_seconds": {"features-1": 1.5, "plain-vit-2": 51.0},
        "client_growth_bytes": 12_000_000,
        "client_peak_method": "a way",
        "library_seconds": 2.5,
    }
    view = _view(_accuracy(three_pipelines(), **facts), tmp_path)
    (part,) = other_costs.SECTION.sections(view)
    rows = _table([part], "One-time work from a cold start, throughput in batches, and memory")
    assert rows[0][1:3] == ["148", "52.5 (reused)"]
    assert rows[0][6] == "12.0"
    detail = costs_in_detail.SECTION.sections(view)
    steps = _table(detail, "One-time work from a cold start")
    assert ["fine-tuning on plain images", "hospital", "once", "51.0", "reused"] in steps
    notes = [
        plain(block.note)
        for section in detail
        for block in section.blocks
        if isinstance(block, Table)
    ]
    assert any("took 7.50 s in all" in note for note in notes)
    assert any("Measured by: a way." in note for note in notes)


def test_what_older_runs_did_not_record_is_said_as_such(tmp_path: Path) -> None:
    run = _accuracy(three_pipelines(), reused=["features-1"], reused_seconds={})
    (part,) = other_costs.SECTION.sections(_view(run, tmp_path))
    rows = _table([part], "One-time work from a cold start, throughput in batches, and memory")
    assert rows[0][1:3] == ["not recorded", "not recorded (reused)"]
    assert rows[0][6] == "not measured"


def test_a_failed_pipeline_keeps_its_row_everywhere(tmp_path: Path) -> None:
    view = _view(ten_pipelines(), tmp_path)
    for module in (latency, other_costs):
        (part,) = module.SECTION.sections(view)
        for table in [block for block in part.blocks if isinstance(block, Table)]:
            rows = [row for row in table.rows if isinstance(row, Row)]
            assert len(rows) == 9  # of ten, one is a control
            assert not any("noise" in plain(row.cells[0]) for row in rows)


def test_a_run_without_records_has_no_costs_in_its_body(tmp_path: Path) -> None:
    run = three_pipelines()
    view = _view(replace(run, records=(), sheet=None), tmp_path)
    for module in (where_time_goes, latency, other_costs):
        assert module.SECTION.sections(view) == []


def test_parts_stand_where_the_order_of_the_report_has_them() -> None:
    assert [module.SECTION.order for module in PARTS] == [210, 500, 550, 1400]

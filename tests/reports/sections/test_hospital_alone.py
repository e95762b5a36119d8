"""The hospital alone in the report: what it costs, why there are servers, and no pass."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.outcomes import standing, strongest
from he_compare.common.run.records import AttackOutcome, PlannedPipeline, RunRecord
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.run.store import RunFolder
from he_compare.common.run.table import frame_of
from he_compare.common.run.timing import fit_seconds
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Knowledge, Status
from he_compare.comparisons.judging.diff import diff_runs
from he_compare.comparisons.judging.limits import Policy, PolicyRule, violations
from he_compare.comparisons.judging.show import table
from he_compare.comparisons.judging.verify import verify_run
from he_compare.reports.build import build_document
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import Paragraph, Row, Table, plain
from he_compare.reports.render.markdown import markdown
from he_compare.reports.sections import deviations, findings, hospital_alone, verdict
from tests.support.samplerun import SampleRun, three_pipelines, with_the_hospital_alone


def attacked(run: SampleRun) -> SampleRun:
    """The run with an attack that does not apply to the hospital and breaks what is scrambled."""
    made = [
        AttackOutcome.model_validate(
            {
                "identity": f"{number}" * 16,
                "attack": "jigsaw",
                "title": "Jigsaw",
                "target": label,
                "target_kind": "pipeline",
                "rung": Knowledge.CIPHERTEXT_ONLY,
                "knowledge": [Knowledge.CIPHERTEXT_ONLY],
                "verdict": found,
                "reason": reason,
            }
        )
        for number, (label, found, reason) in enumerate(
            (
                ("local", "not applicable", NOTHING_TO_ATTACK),
                ("block-scramble[al_amin]", "broken", ""),
                ("fhe-head", "resists within budget", ""),
            ),
            start=1,
        )
    ]
    return replace(run, outcomes=tuple(made))


def view_of(path: Path, run: SampleRun) -> RunView:
    return read_run(RunFolder(run.write(path)))


@pytest.fixture(params=[False, True], ids=["no audit", "audited"])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> RunView:
    run = with_the_hospital_alone()
    return view_of(tmp_path / "run", attacked(run) if request.param else run)


def test_its_records_hold(tmp_path: Path) -> None:
    path = with_the_hospital_alone().write(tmp_path / "run")
    told = verify_run(RunFolder(path))
    assert not [line for line in told if not line.startswith("scores.json: ")]


def rows_of(shown: Any) -> dict[str, list[str]]:
    assert isinstance(shown, Table)
    rows = [[plain(cell) for cell in row.cells] for row in shown.rows if isinstance(row, Row)]
    return {row[0].split()[0]: row for row in rows}


def test_its_row_is_neither_a_pass_nor_missing(view: RunView) -> None:
    (table,) = [one for one in verdict.SECTION.blocks(view) if isinstance(one, Table)]
    cells = [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]
    (row,) = [row for row in cells if row[0] == "Hospital only, no server: local"]
    assert row[1] == "nothing" and row[-2] == "0"
    assert row[-1] == "nothing is sent: there is no server"
    assert standing(view, view.by_label["local"]) == "no server"
    assert strongest(view, view.by_label["local"]) == ("not applicable", NOTHING_TO_ATTACK)


def test_the_verdict_never_offers_it_as_a_protection(view: RunView) -> None:
    blocks = verdict.SECTION.blocks(view)
    words = " ".join(plain(one.content) for one in blocks if isinstance(one, Paragraph))
    assert words.count("local") == 1
    assert "it is the hospital's own layer, which needs no server: local takes" in words


def test_the_section_says_why_there_is_a_server(
    view: RunView,
) -> None:
    (section,) = hospital_alone.SECTION.sections(view)
    told = markdown(build_document(RunFolder(view.path)))
    assert section.title in told
    assert "neither a pass nor a verdict" in told
    for reason in ("belongs to somebody else", "several owners", "sold as a service"):
        assert reason in told
    assert "What it does not give" in told
    assert not any(isinstance(block, Table) for block in section.blocks)


def test_without_such_a_pipeline_there_is_no_section(tmp_path: Path) -> None:
    view = view_of(tmp_path / "run", three_pipelines())
    assert hospital_alone.SECTION.sections(view) == []
    words = [plain(one.content) for one in verdict.SECTION.blocks(view) if hasattr(one, "content")]
    assert any("which needs no server." in told for told in words)


def test_findings_and_deviations_do_not_miss_a_server_that_is_not_there(view: RunView) -> None:
    told = [plain(one.claim) for one in found_by(findings.RULES, view)]
    (apart,) = [one for one in told if "separate process" in one]
    assert "3 of 3 pipelines with a server" in apart and "local" not in apart
    assert not any("not recorded" in one for one in told)
    assert not any("local" in plain(one.claim) for one in found_by(deviations.RULES, view))


def test_terminal_table_policy_and_comparison_know_it(view: RunView, tmp_path: Path) -> None:
    line = next(one for one in table(view).splitlines() if one.startswith("local"))
    assert re.search(r" 0 +nothing is sent: there is no server$", line)
    frame = frame_of(view).set_index("label")
    assert frame["no_server"].to_dict()["local"] and not frame["no_server"].to_dict()["fhe-head"]
    rule = PolicyRule(pipelines=["local"], attacks_required=True, maximum_bytes_per_image=1)
    assert violations(Policy(rule=[rule]), view) == []
    strict = PolicyRule(pipelines=["plaintext"], attacks_required=True)
    assert violations(Policy(rule=[strict]), view)
    found = diff_runs(RunFolder(view.path), RunFolder(view.path), allow_other_environment=False)
    mine = next(one for one in found["pipelines"] if one["label"] == "local")
    assert mine["bytes_per_image"] == {"a": 0.0, "b": 0.0, "ratio": None}


def test_training_counts_what_was_reused_at_the_price_of_making_it(tmp_path: Path) -> None:
    run = with_the_hospital_alone()
    reused = {"reused": ["features-1", "head-2"], "reused_seconds": {"features-1": 8.0}}

    def seconds(**update: Any) -> float | None:
        records = tuple(
            one.model_copy(update=update) if one.cell.label == "local" else one
            for one in run.records
        )
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        return fit_seconds(view_of(path, replace(run, records=records)).by_label["local"])

    assert seconds() == 95.0
    assert seconds(**reused) is None
    assert seconds(**reused | {"reused_seconds": {"features-1": 8.0, "head-2": 0.5}}) == 103.5
    assert seconds(status=Status.FAILED) is None


def test_records_from_before_have_a_server() -> None:
    run = three_pipelines()
    plan = run.manifest.pipelines[0].model_dump(mode="json", exclude={"no_server"})
    assert not PlannedPipeline.model_validate(plan).no_server
    record = run.records[0].model_dump(mode="json", exclude={"no_server"})
    assert not RunRecord.model_validate(record).no_server

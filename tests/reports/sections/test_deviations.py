"""Limits that did not act, what was not run, how a run is repeated, where the network is from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports import data_rules
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import Table, plain
from he_compare.reports.repeat import repeat_commands
from he_compare.reports.sections import deviations
from he_compare.reports.sections.compared import SECTION as COMPARED
from tests.support.samplerun import SampleRun, audited, three_pipelines


def _with_dataset(path: Path, **changes: Any) -> RunView:
    run: SampleRun = three_pipelines()
    dataset = run.manifest.dataset.model_copy(update=changes)
    run = replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))
    return read_run(RunFolder(run.write(path)))


def _claims(view: RunView) -> list[str]:
    return [plain(one.claim) for one in found_by((data_rules._dataset,), view)]


@pytest.mark.parametrize(
    ("more", "acted"),
    [
        ({"before_limits": {"test": 1}}, False),
        ({"before_limits": {"test": 10_000}}, True),
        ({"notes": ["test: {n} of 9999 images, chosen by class share"]}, True),
        ({"notes": []}, False),
    ],
    ids=["did not act", "acted", "acted, older record", "did not act, older record"],
)
def test_a_limit_is_a_deviation_only_where_it_left_images_out(
    more: dict[str, Any], acted: bool, tmp_path: Path
) -> None:
    n = three_pipelines().manifest.dataset.splits["test"].n
    notes = [note.format(n=n) for note in more.get("notes", [])]
    before = dict.fromkeys(more.get("before_limits", {}), n) if not acted else None
    changes = more | {"notes": notes, "limits": {"test": n}}
    if before:
        changes["before_limits"] = before
    claims = _claims(_with_dataset(tmp_path, **changes))
    assert any("Counts were limited" in claim for claim in claims) is acted


def test_what_was_not_run_stands_once_by_reason_and_is_no_deviation(tmp_path: Path) -> None:
    view = read_run(RunFolder(audited().write(tmp_path)))
    stopped = [
        one.model_copy(update={"verdict": "not run", "reason": f"no time {n % 2}"})
        for n, one in enumerate(view.outcomes[:7])
    ]
    view = replace(view, outcomes=(*stopped, *view.outcomes[7:]))
    missing = [one for one in view.outcomes if one.verdict == "not run"]
    by_anchor = {one.anchor: one for one in deviations.SECTION.sections(view)}
    (table,) = by_anchor["not-run"].blocks
    assert isinstance(table, Table)
    rows = [[plain(cell) for cell in row.cells] for row in table.rows if hasattr(row, "cells")]
    assert len(rows) == len({one.reason for one in missing})
    assert sum(int(row[2]) for row in rows) == len(missing)
    told = " ".join(plain(one.claim) for one in found_by(deviations.RULES, view))
    assert "not run" not in told


def test_a_run_is_repeated_by_six_commands_from_its_commit(tmp_path: Path) -> None:
    view = read_run(RunFolder(three_pipelines().write(tmp_path)))
    commands = repeat_commands(view)
    assert len(commands) <= 6
    assert commands[-2] == f"{view.manifest.command} --out again"
    assert commands[-1] == "compare verify again"
    commits = {one.source_commit for one in view.environments if one.source_commit}
    assert commands[0].startswith("git checkout") == (len(commits) == 1)


@pytest.mark.parametrize(
    ("pretrained", "collections", "answer"),
    [
        (["kermany"], ["kermany"], "Yes: from kermany"),
        (["nih"], ["kermany"], "No: from nih, not from kermany"),
        ([], ["kermany"], "Not known"),
        (["nih"], [], "Not known"),
    ],
)
def test_it_is_said_whether_the_network_learnt_from_these_images(
    pretrained: list[str], collections: list[str], answer: str, tmp_path: Path
) -> None:
    run = three_pipelines()
    manifest = run.manifest
    card = manifest.dataset.card.model_copy(update={"collections": collections})
    backbone = manifest.backbone.model_copy(
        update={"pretrained_on": pretrained, "untrained": False, "weights": "file"}
    )
    dataset = manifest.dataset.model_copy(update={"card": card})
    manifest = manifest.model_copy(update={"dataset": dataset, "backbone": backbone})
    view = read_run(RunFolder(replace(run, manifest=manifest).write(tmp_path)))
    (facts,) = next(one for one in COMPARED.sections(view) if one.anchor == "backbone").blocks
    told = dict(facts.items)["Learnt from these images?"]  # type: ignore[union-attr]
    assert plain(told).startswith(answer)
    claims = " ".join(plain(one.claim) for one in found_by((data_rules._backbone,), view))
    assert ("In-domain pretraining" in claims) == answer.startswith("Yes")
    assert ("It is not recorded whether" in claims) == answer.startswith("Not known")

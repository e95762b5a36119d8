"""Runs written by earlier versions of the schema are read, verified and rendered as they are.

``tests/data/run-schema-N`` was written when the schema had version N and is never written again: a
change of the records that cannot read it needs a new version and a way to read the old one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from he_compare.common.run.records import SCHEMA_VERSION
from he_compare.common.run.store import RunFolder
from he_compare.common.types import NotRun
from he_compare.comparisons import load_run
from he_compare.comparisons.auditing.matrix import render
from he_compare.comparisons.judging.verify import verify_run
from he_compare.reports.build import build_document
from he_compare.reports.render.markdown import markdown
from tests.support.repository import OLD_RUNS

RUNS = sorted(OLD_RUNS.glob("run-schema-*"))


def test_every_version_of_the_schema_has_a_run() -> None:
    versions = [json.loads((run / "manifest.json").read_text())["schema_version"] for run in RUNS]
    assert versions == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_run_of_an_earlier_schema_is_read_and_verified(path: Path) -> None:
    assert verify_run(RunFolder(path)) == []
    view = load_run(path)
    assert [pipeline.label for pipeline in view.pipelines] == ["plaintext", "fhe-head"]
    assert view.to_frame()["auc"].notna().all()
    assert "# What does encryption cost for" in markdown(build_document(RunFolder(path)))


# An audited run, written before outcomes had fields for what went wrong -------------------------


@pytest.fixture
def audited_before(tmp_path: Path) -> Path:
    """A run of the synthetic cohort with three pipelines and its audit; fitted models left out."""
    shutil.unpack_archive(OLD_RUNS / "audited-run-schema-1.zip", tmp_path)
    return tmp_path / "run"


def test_an_audited_run_from_before_is_read_verified_and_rendered(audited_before: Path) -> None:
    assert verify_run(RunFolder(audited_before)) == []
    view = load_run(audited_before)
    assert len(view.outcomes) == 102
    text = markdown(build_document(RunFolder(audited_before)))
    assert "Correlation and jigsaw solver" in text
    assert "Key recovery from decrypted results" in text


def test_what_sentences_said_in_an_audited_run_from_before_are_fields(
    audited_before: Path,
) -> None:
    outcomes = RunFolder(audited_before).outcomes()
    assert {one.not_run for one in outcomes if one.verdict == "not run"} == {NotRun.BUDGET}
    failed = [one for one in outcomes if one.controls_failed]
    assert failed and all(one.verdict == "unreliable" for one in failed)
    unpromised = {one.attack for one in outcomes if not one.promised}
    assert {"head_extraction", "ind_cpa_d", "malleability"} <= unpromised
    assert "jigsaw" not in unpromised


def test_the_matrix_of_an_audited_run_from_before_is_printed(audited_before: Path) -> None:
    text = render(RunFolder(audited_before).outcomes())
    assert "BROKEN" in text and "fhe-head" in text and "strongest attack" in text

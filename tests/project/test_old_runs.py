"""Runs written by earlier versions of the schema are read, verified and rendered as they are.

``tests/data/run-schema-N`` was written when the schema had version N and is never written again: a
change of the records that cannot read it needs a new version and a way to read the old one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from he_compare.common.run.records import SCHEMA_VERSION
from he_compare.common.run.store import RunFolder
from he_compare.comparisons import load_run
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
    assert "# Privacy-preserving classification compared" in markdown(
        build_document(RunFolder(path))
    )

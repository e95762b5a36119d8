"""The first page of every kind of run, word for word, and what its rules may never say.

Each golden text was read as a clinician would read it. After an intended change run
``COMPARE_WRITE_GOLDEN=1 python -m pytest tests/reports/answer/test_first_page.py`` and read the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.answer.question import question_of
from he_compare.reports.document.nodes import Document, inline
from he_compare.reports.render.markdown import markdown
from he_compare.reports.sections import verdict
from tests.support.repository import ROOT
from tests.support.samplerun.first_pages import FIRST_PAGES, write_first_page

GOLDEN = ROOT / "tests" / "reports" / "golden"


def view_of(name: str, path: Path) -> RunView:
    return read_run(RunFolder(write_first_page(name, path)))


def page_of(view: RunView) -> str:
    sections = tuple(verdict.SECTION.sections(view))
    return markdown(Document(question_of(view), inline(""), "2025-03-01", (), sections))


@pytest.mark.parametrize("name", FIRST_PAGES)
def test_the_first_page_is_the_golden_one(name: str, tmp_path: Path) -> None:
    text = page_of(view_of(name, tmp_path))
    golden = GOLDEN / f"first-page-{name}.md"
    if os.environ.get("COMPARE_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")

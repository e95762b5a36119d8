"""Markdown: the golden reports, valid tables, and names from outside that stay text.

The golden files hold the whole Markdown of the two sample runs. After an intended change run
``UPDATE_GOLDEN=1 python -m pytest tests/reports/render/test_markdown.py`` and read the diff.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document, write_report
from he_compare.reports.document.nodes import (
    Bold,
    Callout,
    Code,
    CodeBlock,
    Document,
    Figure,
    FindingCard,
    Link,
    Paragraph,
    Section,
    inline,
)
from he_compare.reports.render.markdown import code, escape, markdown, paragraph
from tests.support.repository import GOLDEN
from tests.support.samplerun import SampleRun, ten_pipelines, three_pipelines

RUNS = {"three": three_pipelines, "ten": ten_pipelines}


@pytest.mark.parametrize("name", RUNS)
def test_the_report_of_a_sample_run_is_the_golden_one(name: str, tmp_path: Path) -> None:
    text = markdown(build_document(RunFolder(RUNS[name]().write(tmp_path))))
    golden = GOLDEN / f"report-{name}.md"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("make", RUNS.values())
def test_every_table_row_has_the_cells_of_its_head(
    make: Callable[[], SampleRun], tmp_path: Path
) -> None:
    text = markdown(build_document(RunFolder(make().write(tmp_path))))
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) > 15
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


def test_links_inside_the_document_lead_somewhere(tmp_path: Path) -> None:
    text = markdown(build_document(RunFolder(three_pipelines().write(tmp_path))))
    targets = set(re.findall(r"\]\(#([^)]+)\)", text))
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', text))
    assert targets
    assert targets <= anchors


def test_pictures_are_written_beside_the_report_and_have_alternative_text(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path / "run")
    document = build_document(RunFolder(run))
    (path,) = write_report(run, ["md"], tmp_path / "out")
    shown = re.findall(r"!\[([^!]+)\]\((figures/[^)]+)\)", path.read_text(encoding="utf-8"))
    drawings = [(alt, target) for alt, target in shown if target.endswith(".svg")]
    assert len(drawings) == len(document.figures()) > 2
    for alt, target in drawings:
        assert len(alt) > 20
        assert b"<svg" in (path.parent / target).read_bytes()
    photographs = [(alt, target) for alt, target in shown if target.endswith(".png")]
    assert len(photographs) == 2
    for alt, target in photographs:
        assert "image" in alt
        assert (path.parent / target).read_bytes().startswith(b"\x89PNG")


def test_markup_in_text_is_escaped() -> None:
    assert escape("<b>&|*_`[x](y)#~$") == r"&lt;b&gt;&amp;\|\*\_\`\[x\](y)\#\~\$"
    assert escape("two\nlines") == "two lines"


def test_code_spans_hold_backticks_and_pipes() -> None:
    assert code("a|b") == r"`a\|b`"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"


@pytest.mark.parametrize("text", ["- item", "+ item", "1. item", "2) item", "=== x"])
def test_a_paragraph_never_begins_a_list_or_heading(text: str) -> None:
    assert re.match(r"^(\d+\\[.)]|\\[-+=])", paragraph(inline(text)))


def test_cards_callouts_links_and_code_blocks_are_drawn() -> None:
    blocks = (
        FindingCard("F1", "fail", inline("claim"), inline("record"), inline("limit"), "compare x"),
        Callout("danger", "Title", inline("text")),
        CodeBlock("line ```\nnext"),
        Paragraph(inline(Bold("b"), Code("c"), Link("t", "https://example.org/a b"))),
        Figure("f", "caption", "alt", b"<svg/>"),
    )
    document = Document("t", inline("s"), "", (), (Section("S", 1, "s", blocks),))
    text = markdown(document)
    assert "**F1 · fail** · claim" in text
    assert "- Reproduce: `compare x`" in text
    assert "> [!CAUTION]\n> **Title**: text" in text
    assert "````text\nline ```\nnext\n````" in text
    assert "**b**`c`[t](https://example.org/a%20b)" in text

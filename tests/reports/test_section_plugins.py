"""Sections of third parties: the how-to as printed, and what happens with one that is wrong."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from he_compare.common import plugins
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import Table, plain
from he_compare.reports.parts import parts
from he_compare.reports.render.markdown import markdown
from tests.support.samplerun import three_pipelines

HOWTO = Path(__file__).parents[2] / "docs" / "how-to" / "own-report-section.md"
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs ``my_section`` with some source, as pip would leave it."""

    def write(source: str) -> None:
        info = tmp_path / "site" / "my_sections-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-sections\nVersion: 0.1\n")
        entry = "[he_compare.sections]\nlongest_wait = my_section\n"
        (info / "entry_points.txt").write_text(entry)
        (info.parent / "my_section.py").write_text(source)
        monkeypatch.syspath_prepend(str(info.parent))
        plugins.survey.cache_clear()

    yield write
    plugins.survey.cache_clear()
    sys.modules.pop("my_section", None)


def _source_of_the_howto() -> str:
    text = HOWTO.read_text(encoding="utf-8")
    assert 'longest_wait = "my_section"' in text
    (source,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return str(source)


def test_the_section_of_the_howto_is_in_the_report_at_its_place(
    install: Install, tmp_path: Path
) -> None:
    install(_source_of_the_howto())
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    anchors = [section.anchor for section in document.sections]
    names = [name for name, _ in parts()]
    assert names.index("other_costs") + 1 == names.index("longest_wait")
    view = read_run(RunFolder(tmp_path / "run"))
    before = dict(parts())["other_costs"].sections(view)[-1].anchor
    assert anchors.index(before) + 1 == anchors.index("longest-wait")
    assert not document.sections[anchors.index("longest-wait")].appendix
    table = document.sections[anchors.index("longest-wait")].blocks[1]
    assert isinstance(table, Table)
    assert len(table.rows) == 3
    assert "Longest wait for one image" in markdown(document)


def test_without_it_the_report_has_the_sections_of_the_house(tmp_path: Path) -> None:
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    anchors = [section.anchor for section in document.sections]
    assert anchors[0] == "answer" and "compared" in anchors
    assert anchors[-2:] == ["glossary", "references"]
    assert [part.order for _, part in parts()] == sorted({part.order for _, part in parts()})


def test_without_an_order_a_section_is_an_appendix_before_the_glossary(
    install: Install, tmp_path: Path
) -> None:
    source = _source_of_the_howto()
    install("\n".join(line for line in source.splitlines() if "order =" not in line))
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    mine = next(one for one in document.sections if one.anchor == "longest-wait")
    assert mine.appendix
    assert document.headings()["longest-wait"].endswith(". Longest wait")


def test_an_order_decides_what_is_an_appendix_and_the_first_has_a_heading_of_level_1(
    install: Install, tmp_path: Path
) -> None:
    source = _source_of_the_howto()
    install(re.sub(r"order = .*", "order = 1000\n    level = 2", source))
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    first = next(one for one in document.sections if one.appendix)
    assert (first.anchor, first.level) == ("longest-wait", 1)
    assert document.first_appendix() == "longest-wait"
    assert document.headings()["longest-wait"] == "A. Longest wait"
    text = markdown(document)
    assert '\n---\n\n<a id="longest-wait"></a>\n\n## A. Longest wait\n' in text


def test_a_section_that_raises_on_import_is_named_and_loses_no_other(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("SECTION = 1 / 0\n")
    with caplog.at_level(logging.WARNING):
        document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    assert "report section 'longest_wait' of my-sections cannot be used" in caplog.text
    assert "answer" in {section.anchor for section in document.sections}


CLASS = (
    "from he_compare.reports.document.nodes import Column, Paragraph, Row, Table, inline\n"
    "from he_compare.reports.section import ReportSection\n"
    "class Mine(ReportSection):\n"
    "    title = 'Mine'\n"
    "    def blocks(self, view):\n"
    "        return {blocks}\n"
    "SECTION = {section}\n"
)
ROW = "[Table('t', (Column('a'),), (Row((inline('1'), inline('2'))),))]"
GOOD = "[Paragraph(inline('x'))]"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("SECTION = 'a section'\n", "of type str, but must be a ReportSection"),
        ("SECTION = 5\n", "of type int, but must be a ReportSection"),
        (CLASS.format(blocks=GOOD, section="Mine"), "assign an instance: SECTION = Mine()"),
        (CLASS.format(blocks="1 / 0", section="Mine()"), "ZeroDivisionError"),
        (CLASS.format(blocks=ROW, section="Mine()"), "a row of 2 cells under 1 columns"),
        (CLASS.format(blocks="['words']", section="Mine()"), "made a str, expected a block"),
        (CLASS.format(blocks="5", section="Mine()"), "TypeError"),
        (
            CLASS.format(blocks=GOOD, section="Mine()").replace("'Mine'", "'Answer'"),
            "it uses the anchor 'answer' of the section 'verdict'",
        ),
    ],
)
def test_a_faulty_section_is_a_line_in_its_place_and_loses_no_other(
    source: str, reason: str, install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(three_pipelines().write(tmp_path / "run"))
    before = {section.anchor for section in build_document(run).sections}
    install(source)
    with caplog.at_level(logging.WARNING):
        document = build_document(run)
    assert {section.anchor for section in document.sections} - before == {"not-made-longest-wait"}
    text = markdown(document)
    assert "Section 'longest_wait' could not be made" in text.replace("\\", "")
    assert "section 'longest_wait' could not be made" in caplog.text
    assert reason in caplog.text


def test_a_built_in_section_that_raises_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("no such stage")

    monkeypatch.setattr(type(dict(parts())["other_costs"]), "sections", fails)
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    anchors = [section.anchor for section in document.sections]
    assert "not-made-other-costs" in anchors and "answer" in anchors
    assert "other-costs" not in anchors


def test_a_section_with_nothing_to_show_is_left_out(install: Install, tmp_path: Path) -> None:
    source = _source_of_the_howto()
    install(
        source[: source.index("        rows = []")] + "        return []\nSECTION = LongestWait()\n"
    )
    document = build_document(RunFolder(three_pipelines().write(tmp_path / "run")))
    assert "longest-wait" not in {section.anchor for section in document.sections}
    assert plain(document.subtitle).startswith("3 pipelines")

"""The PDF: opens, reads in order, is tagged and titled, and equals itself byte for byte."""

from __future__ import annotations

import builtins
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2
import pytest

from he_compare.common.errors import UnavailableError
from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import (
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Column,
    Document,
    Figure,
    FindingCard,
    KeyValues,
    Link,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.render.pdf import pdf
from tests.support.samplerun import SampleRun, ten_pipelines, three_pipelines

HOSTILE = (
    '#panic("typst") $x^2$ *b* _i_ `c` <label> @ref // note /* c */ \\ [x] {y} = '
    "<script>alert(1)</script> | pipe\nnewline \u202eevil \x07 שלום مرحبا \ue000 😀 " + "w" * 300
)


def _reader(data: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(data))


def _text(data: bytes) -> str:
    pages = [page.extract_text() for page in _reader(data).pages]
    return "\n".join(pages).replace("\u200b", "")


@pytest.fixture(scope="module", params=[three_pipelines, ten_pipelines])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    make: Callable[[], SampleRun] = request.param
    document = build_document(RunFolder(make().write(tmp_path_factory.mktemp("run"))))
    return document, pdf(document)


def test_sections_are_read_in_order(made: Any) -> None:
    document, data = made
    lines = [line.strip() for line in _text(data).splitlines()]
    headings = document.headings()
    position = 0
    for section in document.sections:
        title = headings[section.anchor]
        assert title in lines[position:], f"{title} does not follow what should stand before it"
        position = lines.index(title, position)


def test_the_appendices_begin_on_a_page_of_their_own(made: Any) -> None:
    document, data = made
    title = document.headings()[document.first_appendix()]
    pages = [page.extract_text() for page in _reader(data).pages]
    (first,) = [page for page in pages if f"{title}\n" in page]
    assert title.startswith("A. ")
    assert pages.index(first) > 3
    assert first.index(title) < 120


def test_the_page_count_is_sane(made: Any) -> None:
    assert 6 <= len(_reader(made[1]).pages) <= 24


def test_title_language_date_and_tags_are_set(made: Any) -> None:
    document, data = made
    reader = _reader(data)
    root: Any = reader.trailer["/Root"]
    assert reader.metadata is not None
    assert reader.metadata.title == document.title
    assert reader.metadata.creation_date is not None
    assert reader.metadata.creation_date.year == 2025
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    metadata = root["/Metadata"].get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert "<pdfaid:part>3</pdfaid:part>" in metadata


def test_the_records_are_attached(made: Any) -> None:
    attached = json.loads(_reader(made[1]).attachments["records.json"][0])
    assert set(attached) == {"manifest", "records", "attacks", "scores"}
    assert attached["records"][0]["status"] == "ok"


def test_equal_documents_give_equal_bytes(made: Any) -> None:
    assert pdf(made[0]) == made[1]


def test_nothing_is_drawn_outside_the_margins(made: Any) -> None:
    """Ink within 1.5 cm of a side edge would mean that a table runs over."""
    pages = pypdfium2.PdfDocument(made[1])
    try:
        for page in pages:
            ink = page.render(scale=1, grayscale=True).to_numpy().squeeze() < 250
            margin = int(1.5 / 2.54 * 72)
            assert not ink[:, :margin].any()
            assert not ink[:, -margin:].any()
    finally:
        pages.close()


def test_banners_stand_on_every_page(tmp_path: Path) -> None:
    document = build_document(RunFolder(ten_pipelines().write(tmp_path)))
    for page in _reader(pdf(document)).pages:
        assert "Untrained backbone · Synthetic data" in page.extract_text()


def test_links_in_the_contents_lead_to_pages(made: Any) -> None:
    links = [
        annotation.get_object()
        for page in _reader(made[1]).pages
        for annotation in page.get("/Annots", [])
    ]
    assert len(links) > 20


def test_text_from_outside_stays_text() -> None:
    hostile = inline(HOSTILE, Code(HOSTILE))
    table = Table(
        HOSTILE,
        (Column(HOSTILE, unit=HOSTILE), Column("b", "right")),
        (SpanRow(hostile), Row((hostile, hostile)), SpanRow(hostile, "remark"), SpanRow(hostile)),
        hostile,
    )
    blocks = (
        Paragraph(hostile),
        Bullets((hostile,)),
        CodeBlock(HOSTILE),
        table,
        Callout("note", HOSTILE, hostile),
        FindingCard("F1", "pass", hostile, hostile, hostile, HOSTILE),
        KeyValues(((HOSTILE, hostile),)),
        Paragraph(inline(Link(HOSTILE, "https://example.org"), Link("there", "#s"))),
    )
    banner = Callout("danger", HOSTILE, hostile)
    section = Section(HOSTILE, 1, "s", blocks)
    document = Document(HOSTILE, hostile, "not a date", (banner,), (section,))
    text = "".join(_text(pdf(document)).split())
    assert '#panic("typst")$x^2$*b*_i_`c`<label>@ref//note/*c*/' in text
    assert "<script>alert(1)</script>" in text
    assert "⟨U+202E⟩evil⟨U+0007⟩" in text
    assert "⟨U+E000⟩" in text


def test_a_table_longer_than_a_page_repeats_its_head() -> None:
    rows = tuple(Row((inline(f"row {i}"), inline("x"))) for i in range(120))
    table = Table("long", (Column("Head of it"), Column("b")), rows)
    document = Document("t", inline("s"), "", (), (Section("S", 1, "s", (table,)),))
    pages = [page.extract_text() for page in _reader(pdf(document)).pages]
    assert len(pages) > 2
    assert all("Head of it" in page for page in pages if "row " in page)


def test_the_head_of_a_group_that_repeats_on_the_next_page_may_name_a_record() -> None:
    head = SpanRow(inline("record ", Link("abc", "https://example.org/abc")))
    rows = tuple(Row((inline(f"row {i}"), inline("x"))) for i in range(120))
    table = Table("long", (Column("a"), Column("b")), (head, *rows))
    document = Document("t", inline("s"), "", (), (Section("S", 1, "s", (table,)),))
    pages = [page.extract_text() for page in _reader(pdf(document)).pages]
    assert sum("record abc" in page for page in pages) > 1


@pytest.mark.parametrize("height", [100, 300], ids=["fits", "higher than a page"])
def test_a_figure_is_never_cut(height: int) -> None:
    """A red bar at the top and a blue one at the bottom: both are on the figure's page."""
    size = f'width="100" height="{height}"'
    bars = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 {height}" {size}>'
        '<rect width="100" height="3" fill="#ff0000"/>'
        f'<rect y="{height - 3}" width="100" height="3" fill="#0000ff"/></svg>'
    )
    figure = Figure("bars", "Two bars", "a red bar above a blue one", bars.encode())
    document = Document("t", inline("s"), "", (), (Section("S", 1, "s", (figure,)),))
    pages = pypdfium2.PdfDocument(pdf(document))
    try:
        seen = [page.render(scale=1, rev_byteorder=True).to_numpy()[..., :3] for page in pages]
        below = int(1.5 / 2.54 * 72)
        red = [(one == (255, 0, 0)).all(axis=2)[below:-below].any() for one in seen]
        blue = [(one == (0, 0, 255)).all(axis=2)[below:-below].any() for one in seen]
    finally:
        pages.close()
    assert red == blue and sum(red) == 1


def test_a_missing_typst_is_unavailable_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "typst":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UnavailableError, match="pip install typst"):
        pdf(Document("t", inline("s"), "", (), ()))


def test_a_refusal_of_typst_is_unavailable(tmp_path: Path) -> None:
    document = build_document(RunFolder(three_pipelines().write(tmp_path)))
    broken = replace(document, language="no language at all")
    with pytest.raises(UnavailableError, match="typst could not make the PDF"):
        pdf(broken)


def test_a_table_without_rows_is_set_like_any_other() -> None:
    table = Table("Nothing of this kind", (Column("Name"), Column("Value")), ())
    sections = (Section("Empty", 1, "empty", (table,)),)
    data = pdf(Document("A question?", inline(""), "2025-03-01", (), sections))
    assert "Nothing of this kind" in _text(data)

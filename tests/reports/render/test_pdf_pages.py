"""Pages of the PDF: the body is short and its pages are full; commands can be copied and run."""

from __future__ import annotations

import io
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pypdf
import pypdfium2
import pytest

from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import (
    CodeBlock,
    Column,
    Document,
    Figure,
    FindingCard,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.render.pdf import pdf
from tests.support.samplerun import audited, ten_pipelines, three_pipelines

FULL = 2 / 3
# The text of a page, without running head and foot, as shares of its height.
TOP, BOTTOM = 0.078, 0.93
COMMAND = (
    "compare run --dataset 'folder:my images/x' --profile quick --pipeline "
    "'block-scramble[cipher=vit_block,mode=adapted]' --pipeline 'fhe-tfhe[components=63]'"
)


def _shares(data: bytes) -> list[float]:
    """Return how far down each page has ink, as a share of the height of its text."""
    pages = pypdfium2.PdfDocument(data)
    found = []
    try:
        for page in pages:
            ink = page.render(scale=1, grayscale=True).to_numpy().squeeze() < 245
            text = ink[int(len(ink) * TOP) : int(len(ink) * BOTTOM)]
            rows = np.flatnonzero(text.any(axis=1))
            found.append(float(rows[-1] + 1) / len(text) if len(rows) else 0.0)
    finally:
        pages.close()
    return found


def _body(document: Document) -> list[float]:
    data = pdf(document)
    title = document.headings()[document.first_appendix()]
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    end = next(n for n, page in enumerate(pages) if f"{title}\n" in page)
    return _shares(data)[:end]


@pytest.mark.parametrize("make", [three_pipelines, ten_pipelines, audited])
def test_no_page_of_the_body_is_under_two_thirds_full(make: object, tmp_path: Path) -> None:
    assert callable(make)
    shares = _body(build_document(RunFolder(make().write(tmp_path))))
    assert min(shares) >= FULL, [round(one, 2) for one in shares]


def _drawing(height: int) -> bytes:
    size = f'viewBox="0 0 100 {height}" width="100" height="{height}"'
    edge = f'<rect width="99" height="{height - 1}" fill="none" stroke="#000"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{edge}</svg>'.encode()


@pytest.mark.parametrize("last", [3, 12, 20, 30, 40])
def test_drawings_move_or_shrink_so_that_the_last_page_is_full_too(last: int) -> None:
    sections = []
    for number in range(8):
        table = Table(
            f"t{number}",
            (Column("a"), Column("b", weight=6.0)),
            tuple(Row((inline(str(i)), inline("words"))) for i in range(14 + number)),
        )
        figure = Figure(f"f{number}", "caption", "a box", _drawing(55))
        text = Paragraph(inline("Words that say what is seen below. " * 10))
        sections.append(Section(f"Part {number}", 1, f"s{number}", (text, figure, table)))
    closing = tuple(Paragraph(inline(f"Line {i}.")) for i in range(last))
    sections.append(Section("Last", 1, "last", closing))
    sections.append(Section("More", 1, "more", (Paragraph(inline("x")),), appendix=True))
    shares = _body(Document("t", inline("s"), "", (), tuple(sections)))
    assert min(shares) >= FULL, [round(one, 2) for one in shares]


def _copied(data: bytes) -> str:
    """Return the text as a reader copies it."""
    pages = pypdfium2.PdfDocument(data)
    try:
        texts = []
        for page in pages:
            text = page.get_textpage()
            texts.append(text.get_text_range())
            text.close()
    finally:
        pages.close()
    return "\n".join(texts).replace("\r\n", "\n")


def test_no_invisible_character_is_in_the_text(tmp_path: Path) -> None:
    data = pdf(build_document(RunFolder(ten_pipelines().write(tmp_path))))
    by_pypdf = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    for text in (_copied(data), by_pypdf):
        assert not set("\u200b\u200c\u200d\u00ad\u2060\ufeff") & set(text)


def test_a_command_longer_than_a_line_is_copied_as_one_command() -> None:
    card = FindingCard("F1", "warn", inline("claim"), inline("evidence"), (), f"{COMMAND} --seed 1")
    blocks = (CodeBlock(f"{COMMAND}\ncompare verify again"), card)
    text = _copied(pdf(Document("t", inline("s"), "", (), (Section("S", 1, "s", blocks),))))
    said = subprocess.run(
        [
            "sh",
            "-c",
            'compare() { printf "%s|" "$@"; echo; }\n' + text[text.index("compare run") :],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    words = "|".join(shlex.split(COMMAND)[1:])
    lines = said.stdout.splitlines()
    assert lines[:2] == [f"{words}|", "verify|again|"]
    assert f"{words}|--seed|1|" in lines


def test_the_commands_that_repeat_a_run_are_copied_as_they_stand(tmp_path: Path) -> None:
    run = RunFolder(three_pipelines().write(tmp_path))
    document = build_document(run)
    (block,) = [
        block
        for section in document.sections
        if section.anchor == "reproduce"
        for block in section.blocks
        if isinstance(block, CodeBlock)
    ]
    commands = block.text.splitlines()
    assert len(commands) <= 6
    assert run.manifest().command in block.text
    assert commands[-1] == "compare verify again"
    text = _copied(pdf(document))
    joined = " ".join(text.replace("\\\n", " ").split())
    for command in commands:
        assert " ".join(command.split()) in joined
        shlex.split(command, comments=True)

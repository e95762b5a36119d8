"""A document as PDF by typst: tagged, PDF/UA-1 and PDF/A-3a, with the records attached.

The document goes to ``templates/report.typ`` as JSON, so no text from outside is ever read as
typst markup. Fonts are typst's own and the DejaVu faces that come with matplotlib; fonts of the
system are not looked at, and the only date is the document's, so equal input gives equal bytes.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import math
import shutil
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl

from he_compare.common.errors import UnavailableError
from he_compare.common.temporary_folders import swept_folder
from he_compare.common.visible_text import visible, visible_lines
from he_compare.reports.document.commands import command_lines
from he_compare.reports.document.legible import breakable
from he_compare.reports.document.nodes import (
    Block,
    Break,
    CodeBlock,
    Document,
    DocumentLink,
    Figure,
    FindingCard,
    Inline,
    Row,
    Span,
    SpanRow,
    Table,
    plain,
)
from he_compare.reports.document.photographs import Grid, Stills

FILE = "report.pdf"
TEMPLATE = "report.typ"
STANDARDS: tuple[Literal["ua-1"], Literal["a-3a"]] = ("ua-1", "a-3a")
# Sizes of the template's tables, in points: text is 17 cm wide, a letter some 3.9, a line some 9.
TEXT_POINTS, LETTER_POINTS, LINE_POINTS = 482.0, 3.9, 9.0
PADDING_LINES, HEAD_POINTS = 0.65, 30.0
FULL_WEIGHT = 6.6
TALLEST_UNBROKEN = 120.0
# How wide drawings are and how much air rows have: the first that fills the last page of the body,
# whose text is 25.3 cm high.
SETTINGS = (
    *(("1", "1"), ("1", "0.9"), ("0.9", "1"), ("0.9", "0.9"), ("1", "1.25"), ("0.8", "0.9")),
    *(("0.8", "1.1"), ("1", "1.5"), ("0.76", "0.75")),
)
TOP_POINTS, BODY_POINTS, FULL_SHARE = 65.2, 717.2, 0.7
MOST_PAGES = 12
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def rendered_files(document: Document) -> dict[str, bytes]:
    """Return ``report.pdf`` by its name. Raises UnavailableError where typst is missing."""
    return {FILE: pdf(document)}


def pdf(document: Document) -> bytes:
    """Return the document as PDF bytes. Raises UnavailableError where typst is missing."""
    try:
        import typst
    except ImportError:
        raise UnavailableError(
            "the PDF report needs typst, which is not installed",
            fix="run `pip install typst`, or ask for --format md",
        ) from None
    with swept_folder("report") as work:
        _lay_out(document, work)
        try:
            made: bytes = typst.compile(
                str(work / TEMPLATE),
                root=str(work),
                font_paths=_fonts(),
                ignore_system_fonts=True,
                sys_inputs=_setting(work),
                pdf_standards=list(STANDARDS),
                timestamp=int(_moment(document.date).timestamp()),
            )
        except (typst.TypstError, RuntimeError) as error:
            raise UnavailableError(
                f"typst could not make the PDF: {error}",
                fix="ask for --format md, and report the message above with the run folder",
            ) from None
    return made


@functools.cache
def _fonts() -> Any:
    """Return typst's own fonts and those of matplotlib, read once."""
    import typst

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return typst.Fonts(include_system_fonts=False, font_paths=[str(folder)])


def _setting(work: Path) -> dict[str, str]:
    """Return how wide drawings and how airy rows are for the body to be short and its end full.

    That is at most ``MOST_PAGES``, the last of them full. Where no setting gives that, the fewest
    pages above the most, and of equal ones the fullest end. A body of one page stays as it is.
    """
    best: dict[str, str] = {}
    rank = (0, 0.0)
    for scale, air in SETTINGS:
        if best and rank[0] > 0 and float(air) > 1:
            continue  # more air makes no body shorter
        setting = {"scale": scale, "air": air}
        page, depth = _end_of_body(work, setting)
        share = (depth - TOP_POINTS) / BODY_POINTS
        if page == 1 or (page <= MOST_PAGES and share >= FULL_SHARE):
            return setting
        mine = (max(0, page - MOST_PAGES), -share)
        if not best or mine < rank:
            best, rank = setting, mine
    return best


def _end_of_body(work: Path, setting: dict[str, str]) -> tuple[int, float]:
    """Lay the body out and return its last page and how far down it ends, in points."""
    import typst

    found = typst.query(
        str(work / TEMPLATE),
        "<body-end>",
        field="value",
        one=True,
        root=str(work),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs=setting | {"body-only": "yes"},
    )
    page, depth = json.loads(found)
    return int(page), float(depth)


def _lay_out(document: Document, work: Path) -> None:
    """Put template, figures, attachments and the document's JSON into a folder for typst."""
    template = resources.files("he_compare.reports") / "templates" / TEMPLATE
    with resources.as_file(template) as source:
        shutil.copyfile(source, work / TEMPLATE)
    for figure in document.figures():
        (work / f"{figure.name}.svg").write_bytes(figure.svg)
    for plate in document.plates():
        for name, png in plate.files().items():
            (work / name).write_bytes(png)
    for attachment in document.attachments:
        (work / attachment.name).write_bytes(attachment.data)
    content = json.dumps(_document(document), ensure_ascii=False)
    (work / "document.json").write_text(content, encoding="utf-8")


def _moment(date: str) -> datetime.datetime:
    """Parse the document's date; a fixed one where it does not parse."""
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError:
        return EPOCH
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _document(document: Document) -> dict[str, Any]:
    moment = _moment(document.date).astimezone(datetime.UTC)
    headings = document.headings()
    return {
        "title": visible(document.title),
        "subtitle": _spans(document.subtitle),
        "date": [moment.year, moment.month, moment.day],
        "language": document.language,
        "banners": [_block(banner) for banner in document.banners],
        "sections": [
            {
                "title": breakable(visible(headings[section.anchor])),
                "level": section.level,
                "anchor": section.anchor,
                "appendix": section.appendix,
                "first_appendix": section.anchor == document.first_appendix(),
                "blocks": [_block(block) for block in section.blocks],
            }
            for section in document.sections
        ],
        "attachments": [
            {"name": one.name, "description": one.description, "media_type": one.media_type}
            for one in document.attachments
        ],
    }


def _block(block: Block) -> dict[str, Any]:
    """Return a block as the template reads it: its kind, and its fields made legible."""
    kind = {"block": type(block).__name__}
    if isinstance(block, Table):
        return kind | _table(block)
    if isinstance(block, Figure):
        data = _table(block.data) if block.data else None
        file = f"{block.name}.svg"
        words = {"caption": visible(block.caption), "alt": visible(block.alt)}
        return kind | words | {"file": file, "width": block.width, "data": data}
    if isinstance(block, Stills):
        return kind | _stills(block)
    if isinstance(block, Grid):
        return kind | _grid(block)
    if isinstance(block, CodeBlock):
        return kind | {"lines": _commands(block.text)}
    if isinstance(block, FindingCard):
        rest = ("id", "severity", "claim", "evidence", "limits")
        said = {name: _value(getattr(block, name)) for name in rest}
        return kind | said | {"reproduce": _commands(block.reproduce) if block.reproduce else []}
    fields = {field.name: getattr(block, field.name) for field in dataclasses.fields(block)}
    return kind | {name: _value(value) for name, value in fields.items()}


def _commands(text: str) -> list[str]:
    """Return lines of code that fit the page, to be copied as they stand."""
    lines = visible_lines(text).split("\n")
    return [part for line in lines for part in command_lines(line) or [""]]


def _stills(block: Stills) -> dict[str, Any]:
    return {
        "caption": visible(block.caption),
        "alt": visible(block.alt),
        "stills": [
            {"title": visible(still.title), "caption": visible(still.caption), "file": file}
            for still, file in zip(block.stills, block.files(), strict=True)
        ],
    }


def _grid(block: Grid) -> dict[str, Any]:
    return {
        "caption": visible(block.caption),
        "heads": [
            {"title": breakable(visible(one.title)), "remark": breakable(visible(one.remark))}
            for one in block.heads
        ],
        "rows": [
            {
                "title": breakable(visible(row.title)),
                "tiles": [
                    {
                        "file": block.file(number, column),
                        "alt": visible(tile.alt),
                        "caption": visible(tile.caption),
                    }
                    for column, tile in enumerate(row.tiles)
                ],
            }
            for number, row in enumerate(block.rows)
        ],
    }


def _value(value: Any) -> Any:
    """Return strings, runs of spans and tuples of both as JSON."""
    if isinstance(value, str):
        return breakable(visible(value))
    if isinstance(value, tuple) and all(isinstance(one, Span) for one in value):
        return _spans(value)
    return [_value(one) for one in value]


def _table(table: Table) -> dict[str, Any]:
    following_rows = [*table.rows[1:], None][: len(table.rows)]
    return {
        "caption": visible(table.caption),
        "columns": [
            {
                "title": breakable(visible(column.title)),
                "unit": breakable(visible(column.unit)),
                "align": column.align,
                "weight": column.weight,
            }
            for column in table.columns
        ],
        "rows": [
            _row(row, heads=isinstance(following, Row))
            for row, following in zip(table.rows, following_rows, strict=True)
        ],
        "note": _spans(table.note),
        "tall": _estimated_height(table) > TALLEST_UNBROKEN,
    }


def _estimated_height(table: Table) -> float:
    """Return about how many points a table is high; typst would lay it out twice to know.

    Only says which tables may break between pages, so it need not be right to the line.
    """
    weights = sum(column.weight for column in table.columns)
    widths = [
        max(4.0, TEXT_POINTS * column.weight / max(weights, FULL_WEIGHT) / LETTER_POINTS - 2)
        for column in table.columns
    ]
    lines = 0.0
    for row in table.rows:
        if isinstance(row, SpanRow):
            lines += max(1.0, len(plain(row.content)) / sum(widths)) + PADDING_LINES
            continue
        cells = zip(row.cells, widths, strict=True)
        lines += max(_lines(plain(cell), width) for cell, width in cells) + PADDING_LINES
    return HEAD_POINTS + lines * LINE_POINTS


def _lines(text: str, width: float) -> float:
    return sum(math.ceil(max(len(line), 1) / width) for line in text.split("\n"))


def _row(row: Row | SpanRow, *, heads: bool) -> dict[str, Any]:
    """Return a row; a group that heads no rows is a ``lone`` line."""
    if isinstance(row, SpanRow):
        role = "lone" if row.role == "group" and not heads else row.role
        return {"role": role, "content": _spans(row.content)}
    return {"role": "cells", "cells": [_spans(cell) for cell in row.cells]}


def _spans(content: Inline) -> list[dict[str, str]]:
    return [_span(span) for span in content]


def _span(span: Span) -> dict[str, str]:
    if isinstance(span, Break):
        return {"span": "Break"}
    if isinstance(span, DocumentLink):
        words = breakable(visible(span.text))
        return {"span": "Link", "text": words, "target": f"{span.path}.pdf"}
    made = {"span": type(span).__name__, "text": breakable(visible(span.text))}
    for field in ("target", "anchor"):
        if hasattr(span, field):
            made[field] = getattr(span, field)
    return made

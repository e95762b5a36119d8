"""A document as one self-contained HTML file: no network, light and dark, readable without script.

Everything from outside goes through the template's escaping; runs of right-to-left letters are
isolated, so that they cannot reorder what stands beside them. Style and script are named by hash in
a content security policy that forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from he_compare.common.visible_text import visible, visible_lines
from he_compare.reports.document.legible import ZERO_WIDTH_SPACE, breakable
from he_compare.reports.document.nodes import (
    Bold,
    Break,
    Code,
    Column,
    Document,
    DocumentLink,
    Figure,
    Inline,
    Link,
    LinkTarget,
    Row,
    Section,
    Span,
    SpanRow,
    Table,
    Text,
)
from he_compare.reports.document.photographs import Grid
from he_compare.reports.render.photographs import held, picture, shown
from he_compare.reports.render.svg import embedded, letters

FILE = "report.html"
TEMPLATE = "report.html.j2"
STYLE = "report.css"
SCRIPT = "report.js"


def rendered_files(document: Document) -> dict[str, bytes]:
    """Return ``report.html`` by its name."""
    return {FILE: html(document).encode()}


def html(document: Document) -> str:
    """Return the whole document as one HTML page."""
    style, script = _asset(STYLE), _asset(SCRIPT)
    anchors = document.anchors()
    made = environment()
    made.filters["spans"] = lambda content: spans(content, anchors)
    return (
        made.get_template(TEMPLATE)
        .render(
            document=document,
            groups=_groups(document),
            headings=document.headings(),
            first_appendix=document.first_appendix(),
            number=lambda block, numbers=_numbers(document): numbers[id(block)],
            style=Markup(style),
            script=Markup(script),
            policy=policy(style, script),
            shared=_shared(document),
        )
        .lstrip()
    )


def policy(style: str, script: str) -> str:
    """Return the content security policy of a page with this one style and this one script."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def environment() -> jinja2.Environment:
    """Return the template environment: everything is escaped, what is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "head": _head_of,
        "text": text,
        "spans": spans,
        "words": visible,
        "lines": visible_lines,
    }
    made.globals |= {
        "kind": _kind,
        "drawing": drawing,
        "picture": picture,
        "shown": shown,
        "sortable": sortable,
    }
    return made


def _shared(document: Document) -> Markup:
    """Return what figures and grids refer to: letters and photographs, each held once."""
    grids = [plate for plate in document.plates() if isinstance(plate, Grid)]
    photographs = held(tile.png for grid in grids for row in grid.rows for tile in row.tiles)
    paths = letters(figure.svg for figure in document.figures())
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" class="shared" '
        'aria-hidden="true"><defs>\n{}\n{}\n</defs></svg>'
    ).format(paths, photographs)


def _asset(name: str) -> str:
    return (resources.files("he_compare.reports") / "templates" / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _kind(block: Any) -> str:
    return type(block).__name__


def _head_of(column: Column) -> str:
    """Return what a cell of the column is, with its unit."""
    return visible(f"{column.title} ({column.unit})" if column.unit else column.title)


def _groups(document: Document) -> list[tuple[Section, ...]]:
    """Return each section of level 1 with the deeper ones that follow it."""
    groups: list[list[Section]] = []
    for section in document.sections:
        if section.level == 1 or not groups:
            groups.append([])
        groups[-1].append(section)
    return [tuple(group) for group in groups]


def _numbers(document: Document) -> dict[int, int]:
    """Number tables and figures in reading order, by the identity of the block."""
    numbers: dict[int, int] = {}
    tables = figures = 0
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                tables += 1
                numbers[id(block)] = tables
            elif _kind(block) in ("Figure", "Stills", "Grid"):
                figures += 1
                numbers[id(block)] = figures
                if isinstance(block, Figure) and block.data is not None:
                    tables += 1
                    numbers[id(block.data)] = tables
    return numbers


def text(content: str) -> Markup:
    """Return text as HTML on one line, each run of right-to-left letters isolated."""
    return Markup("").join(
        Markup("<bdi>{}</bdi>").format(part) if index % 2 else _breakable(part)
        for index, part in enumerate(_cut_at_directions(visible(content)))
    )


def _breakable(content: str) -> Markup:
    """Escape text; long words may break after their joints."""
    return escape(breakable(content)).replace(ZERO_WIDTH_SPACE, Markup("<wbr>"))


def _cut_at_directions(content: str) -> list[str]:
    """Cut text into parts that alternate: left-to-right or neutral, then right-to-left."""
    if content.isascii():
        return [content]
    flags = "".join(
        "R" if unicodedata.bidirectional(char) in ("R", "AL", "AN") else
        "L" if unicodedata.bidirectional(char) == "L" else "N"
        for char in content
    )  # fmt: skip
    parts, last = [], 0
    for found in re.finditer(r"R(?:[RN]*R)?", flags):
        parts += [content[last : found.start()], content[found.start() : found.end()]]
        last = found.end()
    return [*parts, content[last:]]


def spans(content: Inline, anchors: frozenset[str] = frozenset()) -> Markup:
    """Return a run of spans as HTML; links to anchors that are not in the document stay text."""
    return Markup("").join(_span(span, anchors) for span in content)


def _is_web(target: str) -> bool:
    return target.startswith(("https://", "http://"))


def _span(span: Span, anchors: frozenset[str]) -> Markup:
    match span:
        case Text(words):
            return text(words)
        case Bold(words):
            return Markup("<strong>{}</strong>").format(text(words))
        case Code(words):
            return Markup("<code>{}</code>").format(text(words))
        case DocumentLink(words, path):
            return Markup('<a href="{}.html">{}</a>').format(path, text(words))
        case LinkTarget(words, anchor):
            return Markup('<code id="{}">{}</code>').format(anchor, text(words))
        case Link(words, target):
            known = target[1:] in anchors if target.startswith("#") else _is_web(target)
            if not known:
                return text(words)
            return Markup('<a href="{}">{}</a>').format(target, text(words))
        case Break():
            return Markup("<br>")


def drawing(figure: Figure) -> Markup:
    """Return a figure as SVG that follows the page's colours."""
    return embedded(figure.svg, re.sub(r"[^A-Za-z0-9]+", "-", figure.name), visible(figure.alt))


def sortable(table: Table) -> bool:
    """Say whether rows can change places: several, with no group heads among them."""
    rows = [row for row in table.rows if isinstance(row, Row)]
    groups = [row for row in table.rows if isinstance(row, SpanRow) and row.role == "group"]
    return len(rows) > 1 and not groups

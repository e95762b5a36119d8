"""A document as GitHub Markdown, with pictures as files beside it.

Text from outside is escaped so that it stays text: HTML by entities, Markdown by backslashes, a
line break as a space. Spec: GitHub Flavored Markdown 0.29.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from he_compare.common.visible_text import visible, visible_lines
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Column,
    Document,
    DocumentLink,
    Figure,
    FindingCard,
    Inline,
    KeyValues,
    Link,
    LinkTarget,
    Paragraph,
    Row,
    Section,
    Span,
    SpanRow,
    Table,
    Text,
)
from he_compare.reports.document.photographs import Grid, Stills

FILE = "report.md"
FIGURES = "figures"
ALERTS = {"note": "NOTE", "warning": "WARNING", "danger": "CAUTION"}
RULES = {"left": ":---", "right": "---:", "center": ":---:"}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def rendered_files(document: Document) -> dict[str, bytes]:
    """Return ``report.md`` by its name, and ``figures/*``, to which it refers."""
    drawn = {f"{FIGURES}/{one.name}.svg": one.svg for one in document.figures()}
    for plate in document.plates():
        drawn |= {f"{FIGURES}/{name}": png for name, png in plate.files().items()}
    return {FILE: markdown(document).encode()} | drawn


def markdown(document: Document) -> str:
    """Return the whole document as Markdown."""
    return _Writer().document(document)


def escape(text: str) -> str:
    """Return text that Markdown and HTML print as it is, on one line, also in a table cell."""
    safe = "".join(ENTITIES.get(char, char) for char in visible(text))
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", safe)


def code(text: str) -> str:
    """Return a code span that holds the text, whatever backticks and pipes are in it."""
    content = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * (longest + 1)
    space = " " if content.startswith("`") or content.endswith("`") or not content else ""
    return f"{fence}{space}{content}{space}{fence}"


def spans(content: Inline) -> str:
    """Return a run of spans as inline Markdown."""
    return "".join(_span(span) for span in content)


def _span(span: Span) -> str:
    match span:
        case Text(text):
            return escape(text)
        case Bold(text):
            return f"**{escape(text.strip())}**" if text.strip() else ""
        case Code(text):
            return code(text)
        case Link(text, target):
            return f"[{escape(text)}]({quote(target, safe=':/#?=&%.-_~+,;@')})"
        case DocumentLink(text, path):
            return f"[{escape(text)}]({path}.md)"
        case LinkTarget(text, anchor):
            return f'<a id="{anchor}"></a>{code(text)}'
        case Break():
            return "<br>"


def paragraph(content: Inline) -> str:
    """Return spans as a paragraph: nothing at its start is read as a list, rule or heading."""
    text = spans(content).strip()
    text = re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
    return re.sub(r"^([-+=])", r"\\\1", text)


class _Writer:
    """Writes blocks and numbers tables and figures as it goes."""

    def __init__(self) -> None:
        self.tables = 0
        self.figures = 0
        self.drawers: dict[type[Any], Callable[[Any], str]] = {
            Paragraph: lambda block: paragraph(block.content),
            Bullets: self.bullets,
            CodeBlock: self.code_block,
            Table: self.table,
            Figure: self.figure,
            Stills: self.stills,
            Grid: self.grid,
            Callout: self.callout,
            FindingCard: self.card,
            KeyValues: self.key_values,
        }

    def document(self, document: Document) -> str:
        parts = [f"# {escape(document.title)}", paragraph(document.subtitle)]
        parts += [self.callout(banner) for banner in document.banners]
        parts.append(self.contents(document))
        headings = document.headings()
        for section in document.sections:
            if section.anchor == document.first_appendix():
                parts.append("---")
            parts += self.section(section, headings[section.anchor], document.banners)
        return "\n\n".join(part for part in parts if part) + "\n"

    def contents(self, document: Document) -> str:
        headings = document.headings()
        top = [section for section in document.sections if section.level == 1]
        return " · ".join(f"[{escape(headings[one.anchor])}](#{one.anchor})" for one in top)

    def section(self, section: Section, title: str, banners: tuple[Callout, ...]) -> list[str]:
        """Return heading and blocks; top sections repeat the banners' titles."""
        heading = "#" * (section.level + 1)
        parts = [f'<a id="{section.anchor}"></a>\n\n{heading} {escape(title)}']
        if banners and section.level == 1:
            parts.append("> " + " · ".join(f"**{escape(banner.title)}**" for banner in banners))
        return parts + [self.block(block) for block in section.blocks]

    def block(self, block: Block) -> str:
        return self.drawers[type(block)](block)

    def bullets(self, block: Bullets) -> str:
        return "\n".join(f"- {paragraph(item)}" for item in block.items)

    def code_block(self, block: CodeBlock) -> str:
        content = visible_lines(block.text)
        longest = max((len(run) for run in re.findall("`+", content)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{content}\n{fence}"

    def callout(self, block: Callout) -> str:
        kind = ALERTS[block.kind]
        return f"> [!{kind}]\n> **{escape(block.title)}**: {spans(block.content)}"

    def card(self, block: FindingCard) -> str:
        lines = [f"**{escape(block.id)} · {block.severity}** · {spans(block.claim)}", ""]
        lines.append(f"- Evidence: {spans(block.evidence)}")
        if block.limits:
            lines.append(f"- Meaning: {spans(block.limits)}")
        if block.reproduce:
            lines.append(f"- Reproduce: {code(block.reproduce)}")
        return "\n".join(lines)

    def key_values(self, block: KeyValues) -> str:
        lines = ["| | |", "|:---|:---|"]
        lines += [f"| **{escape(name)}** | {spans(value)} |" for name, value in block.items]
        return "\n".join(lines)

    def table(self, block: Table) -> str:
        self.tables += 1
        lines = [f"**Table {self.tables}.** {escape(block.caption)}", ""]
        lines.append("| " + " | ".join(_heading(column) for column in block.columns) + " |")
        lines.append("|" + "|".join(RULES[column.align] for column in block.columns) + "|")
        lines += [_row(row, len(block.columns)) for row in block.rows]
        if block.note:
            lines += ["", f"Note. {spans(block.note)}"]
        return "\n".join(lines)

    def figure(self, block: Figure) -> str:
        self.figures += 1
        target = quote(f"{FIGURES}/{block.name}.svg")
        lines = [f"![{escape(block.alt)}]({target})", ""]
        lines.append(f"**Figure {self.figures}.** {escape(block.caption)}")
        if block.data is not None:
            lines += ["", self.table(block.data)]
        return "\n".join(lines)

    def stills(self, block: Stills) -> str:
        self.figures += 1
        count = len(block.stills)
        titles = " | ".join(escape(still.title) for still in block.stills)
        shown = " | ".join(
            _image(f"{block.alt}: {still.title}", file)
            for still, file in zip(block.stills, block.files(), strict=True)
        )
        words = " | ".join(escape(still.caption) for still in block.stills)
        lines = [f"| {titles} |", "|" + ":---:|" * count, f"| {shown} |", f"| {words} |", ""]
        lines.append(f"**Figure {self.figures}.** {escape(block.caption)}")
        return "\n".join(lines)

    def grid(self, block: Grid) -> str:
        self.figures += 1
        heads = "".join(f" {_under(escape(one.title), one.remark)} |" for one in block.heads)
        lines = [f"| |{heads}", "|:---|" + ":---:|" * len(block.heads)]
        for number, row in enumerate(block.rows):
            shown = "".join(
                f" {_under(_image(tile.alt, block.file(number, column)), tile.caption)} |"
                for column, tile in enumerate(row.tiles)
            )
            lines.append(f"| **{escape(row.title)}** |{shown}")
        lines += ["", f"**Figure {self.figures}.** {escape(block.caption)}"]
        return "\n".join(lines)


def _image(alt: str, file: str) -> str:
    return f"![{escape(alt)}]({quote(f'{FIGURES}/{file}')})"


def _under(first: str, remark: str) -> str:
    return f"{first}<br>{escape(remark)}" if remark else first


def _heading(column: Column) -> str:
    unit = f"<br>({escape(column.unit)})" if column.unit else ""
    return escape(column.title) + unit


def _row(row: Row | SpanRow, count: int) -> str:
    if isinstance(row, Row):
        return "| " + " | ".join(spans(cell) for cell in row.cells) + " |"
    text = spans(row.content).strip()
    first = {"group": f"**{text}**", "note": text}.get(row.role, f"↳ {text}")
    return f"| {first} |" + " |" * (count - 1)

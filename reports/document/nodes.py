"""The one document every renderer draws: frozen nodes, text as typed spans, never markup.

A node says what something is, not how it looks. Text from outside (dataset names, file names,
error messages) goes in as it is; making it harmless is each renderer's job, because only the
renderer knows its own syntax.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from he_compare.reports.document.photographs import Grid, Stills

_PLAIN_PATH = re.compile(r"(?:\.\./)*(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Bold:
    """Text to be stressed."""

    text: str


@dataclass(frozen=True)
class Code:
    """An identifier, a command or a hash: set in a monospaced face, never reflowed as prose."""

    text: str


@dataclass(frozen=True)
class Link:
    """A link; ``target`` is an address or ``#anchor`` of a section."""

    text: str
    target: str


@dataclass(frozen=True)
class DocumentLink:
    """A link to another report, ``path`` from this one's folder on, without the ending.

    Each renderer leads to the file of its own kind. Raises ValueError on anything but a path of
    plain names: nothing of it is ever an address.
    """

    text: str
    path: str

    def __post_init__(self) -> None:
        if not _PLAIN_PATH.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is no plain relative path")


@dataclass(frozen=True)
class LinkTarget:
    """An identifier that links lead to: ``#anchor`` names it."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Break:
    """A line break inside a paragraph or a cell."""


Span: TypeAlias = Text | Bold | Code | Link | DocumentLink | LinkTarget | Break
Inline: TypeAlias = tuple[Span, ...]
Content: TypeAlias = "str | Span | Inline"


def inline(*parts: Content) -> Inline:
    """Join strings, spans and runs of spans into one run of spans."""
    spans: list[Span] = []
    for part in parts:
        if isinstance(part, str):
            spans.append(Text(part))
        elif isinstance(part, tuple):
            spans.extend(part)
        else:
            spans.append(part)
    return tuple(spans)


def plain(content: Inline) -> str:
    """Return the words of a run of spans without their typography."""
    return "".join("\n" if isinstance(span, Break) else span.text for span in content)


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    content: Inline


@dataclass(frozen=True)
class Bullets:
    """An unordered list."""

    items: tuple[Inline, ...]


@dataclass(frozen=True)
class CodeBlock:
    """Lines to be typed or read verbatim."""

    text: str


@dataclass(frozen=True)
class Column:
    """A table column; ``weight`` is its share of the width where a page is narrow."""

    title: str
    align: Literal["left", "right", "center"] = "left"
    unit: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Row:
    """A table row with one cell a column; the first cell names the row."""

    cells: tuple[Inline, ...]


@dataclass(frozen=True)
class SpanRow:
    """A row that spans the table: the head of a group below it, or words on the rows above.

    A "remark" is what must not be overlooked, a "note" what explains them.
    """

    content: Inline
    role: Literal["group", "remark", "note"] = "group"


@dataclass(frozen=True)
class Table:
    """A captioned table; ``note`` stands under it and says where its numbers come from."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row | SpanRow, ...]
    note: Inline = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if isinstance(row, Row) and len(row.cells) != len(self.columns):
                raise ValueError(
                    f"table {self.caption!r}: a row of {len(row.cells)} cells "
                    f"under {len(self.columns)} columns"
                )


@dataclass(frozen=True)
class Figure:
    """A drawing with its description; ``data`` holds the numbers it shows, where not elsewhere.

    ``svg`` is drawn once and shown by every renderer: lines and letters stay sharp on paper.
    """

    name: str
    caption: str
    alt: str
    svg: bytes
    width: float = 1.0
    data: Table | None = None

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"figure {self.name!r} has no alternative text")


CalloutKind: TypeAlias = Literal["note", "warning", "danger"]


@dataclass(frozen=True)
class Callout:
    """A boxed remark that must not be overlooked; ``title`` alone serves as a page banner."""

    kind: CalloutKind
    title: str
    content: Inline


# "pass": executed and observed. "stated": only claimed, by the pipeline or its library.
Severity: TypeAlias = Literal["pass", "warn", "fail", "unknown", "stated"]


@dataclass(frozen=True)
class FindingCard:
    """One finding: what is claimed, on which evidence, within which limits, how to see it again."""

    id: str
    severity: Severity
    claim: Inline
    evidence: Inline
    limits: Inline = ()
    reproduce: str = ""


@dataclass(frozen=True)
class KeyValues:
    """Facts by name."""

    items: tuple[tuple[str, Inline], ...]


Block: TypeAlias = (
    Paragraph
    | Bullets
    | CodeBlock
    | Table
    | Figure
    | Stills
    | Grid
    | Callout
    | FindingCard
    | KeyValues
)


@dataclass(frozen=True)
class Section:
    """A heading (level 1 to 3) and what stands under it, up to the next heading.

    ``appendix``: it stands behind the body. Where it is of level 1, it has a letter.
    """

    title: str
    level: int
    anchor: str
    blocks: tuple[Block, ...]
    appendix: bool = False


@dataclass(frozen=True)
class Attachment:
    """A file that travels inside the document where the format can carry it."""

    name: str
    description: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Document:
    """A whole report; ``date`` is the run's own (UTC, ISO 8601), so rendering has no clock."""

    title: str
    subtitle: Inline
    date: str
    banners: tuple[Callout, ...]
    sections: tuple[Section, ...]
    attachments: tuple[Attachment, ...] = ()
    language: str = "en"

    def __post_init__(self) -> None:
        anchors = [section.anchor for section in self.sections]
        if len(set(anchors)) != len(anchors):
            raise ValueError(f"section anchors repeat: {sorted(anchors)}")
        marks = [section.appendix for section in self.sections]
        if marks != sorted(marks):
            raise ValueError("a section of the body follows an appendix")
        names = [figure.name for figure in self.figures()]
        names += [plate.name for plate in self.plates()]
        if len(set(names)) != len(names):
            raise ValueError(f"figure names repeat: {sorted(names)}")

    def headings(self) -> dict[str, str]:
        """Return every section's heading by its anchor; appendices are lettered A, B, ..."""
        top = [one.anchor for one in self.sections if one.appendix and one.level == 1]
        letters = {anchor: f"{_letter(number)}. " for number, anchor in enumerate(top)}
        return {one.anchor: letters.get(one.anchor, "") + one.title for one in self.sections}

    def first_appendix(self) -> str:
        """Return the anchor of the section where the appendices begin; '' where there are none."""
        return next((one.anchor for one in self.sections if one.appendix), "")

    def figures(self) -> tuple[Figure, ...]:
        """Return all figures in reading order."""
        return tuple(
            block
            for section in self.sections
            for block in section.blocks
            if isinstance(block, Figure)
        )

    def anchors(self) -> frozenset[str]:
        """Return the names of everything that links inside the document can lead to."""
        targets = {span.anchor for span in all_spans(self) if isinstance(span, LinkTarget)}
        return frozenset({section.anchor for section in self.sections} | targets)

    def plates(self) -> tuple[Stills | Grid, ...]:
        """Return all photographs in reading order."""
        return tuple(
            block
            for section in self.sections
            for block in section.blocks
            if isinstance(block, Stills | Grid)
        )


def _letter(number: int) -> str:
    """Return A to Z, then AA to AZ and on, for numbers from 0."""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + last)


def all_spans(node: object) -> Iterator[object]:
    """Yield every span below a node, in reading order."""
    if isinstance(node, tuple):
        for one in node:
            yield from all_spans(one)
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        if isinstance(node, Span):
            yield node
            return
        for field in dataclasses.fields(node):
            yield from all_spans(getattr(node, field.name))

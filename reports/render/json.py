"""A document as JSON: every node by its kind, pictures by their hash, the records it was made from.

For programs that read a report: headings, tables and findings stand in the order of the report;
``plain`` beside a run of spans holds its words. Pictures stay in the other formats.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from he_compare.reports.document.nodes import Document, Span, plain

FILE = "report.json"
FORMAT = "he-compare report 1"


def rendered_files(document: Document) -> dict[str, bytes]:
    """Return ``report.json`` by its name."""
    return {FILE: as_json(document).encode()}


def as_json(document: Document) -> str:
    """Return the whole document as JSON text."""
    content = {
        "format": FORMAT,
        "title": document.title,
        "subtitle": plain(document.subtitle),
        "date": document.date,
        "language": document.language,
        "banners": [_node(banner) for banner in document.banners],
        "sections": [
            {
                "title": section.title,
                "level": section.level,
                "anchor": section.anchor,
                "appendix": section.appendix,
                "blocks": [_node(block) for block in section.blocks],
            }
            for section in document.sections
        ],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    attached = ",\n  ".join(
        f"{json.dumps(one.name)}: {one.data.decode()}"
        for one in document.attachments
        if one.media_type == "application/json"
    )
    # Attachments are JSON already: read and written again they would take as long as all the rest.
    return f'{text[: text.rindex("}")].rstrip()},\n "attachments": {{{attached}}}\n}}\n'


def _node(node: Any) -> dict[str, Any]:
    """Return a node as its kind and its fields."""
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return {"kind": type(node).__name__} | {name: _value(value) for name, value in fields.items()}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest(), "bytes": len(value)}
    if isinstance(value, tuple) and value and all(isinstance(one, Span) for one in value):
        return {"plain": plain(value), "spans": [_node(span) for span in value]}
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return _node(value) if dataclasses.is_dataclass(value) else value

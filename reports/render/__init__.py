"""Renderers of a document, one file a format; ``rendered`` picks one by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence

from he_compare.common.errors import UsageError
from he_compare.reports.document.nodes import Document

FORMATS = {
    "md": "he_compare.reports.render.markdown",
    "html": "he_compare.reports.render.html",
    "pdf": "he_compare.reports.render.pdf",
    "json": "he_compare.reports.render.json",
}


def check_formats(formats: Sequence[str]) -> None:
    """Raise UsageError where a format is unknown or none is named."""
    known = ", ".join(FORMATS)
    if not formats:
        raise UsageError("no report format named", fix=f"known formats: {known}")
    for name in formats:
        if name not in FORMATS:
            near = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"unknown report format {name!r}", fix=f"{hint}known formats: {known}")


def rendered(document: Document, format: str) -> dict[str, bytes]:
    """Return the files of a document in one format by their names, the one to open first.

    Raises UsageError on an unknown format, UnavailableError where the renderer's library is missing
    or refuses the document.
    """
    check_formats([format])
    found: dict[str, bytes] = importlib.import_module(FORMATS[format]).rendered_files(document)
    return found

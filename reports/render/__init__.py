"""Renderers of a document, one file a format; ``render`` picks one by name and writes its files."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path

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


def render(document: Document, format: str, folder: Path) -> Path:
    """Write a document in one format into ``folder`` and return the file to open.

    Raises UsageError on an unknown format or a folder that cannot be written, UnavailableError
    where the renderer's library is missing or refuses the document.
    """
    check_formats([format])
    renderer = importlib.import_module(FORMATS[format])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path: Path = renderer.write(document, folder)
    except OSError as error:
        raise UsageError(
            f"cannot write the report to {folder}: {error.strerror or error}",
            fix="name another folder with --out",
        ) from None
    return path

"""The table of copies of a run, copies.csv: a line for each copy, and for each near copy.

A line names an image of the training or validation split, the image of a later split that it equals
or looks like, the bits in which their perceptual hashes differ, and what was done with the first.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from he_compare.common.errors import IntegrityError
from he_compare.common.run.store import COPIES_TABLE

COLUMNS = ("id", "split", "class", "other", "other_split", "other_class", "bits_apart", "done")
LEFT_OUT, KEPT_IN, NEAR_KEPT = "left out", "kept", "near copy, kept"


@dataclass(frozen=True)
class CopyLine:
    """One line, in the order of ``COLUMNS``."""

    id: str
    split: str
    label: str
    other: str
    other_split: str
    other_label: str
    bits_apart: str
    done: str


def table_bytes(lines: Iterable[CopyLine]) -> bytes:
    """Return the content of the table; b"" for no lines. What is no text is escaped."""
    lines = list(lines)
    if not lines:
        return b""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(astuple, lines))
    return stream.getvalue().encode("utf-8", "backslashreplace")


def read_copies_table(folder: Path) -> list[CopyLine]:
    """Read the table of a run; [] where it has none. Raises IntegrityError."""
    path = folder / COPIES_TABLE
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        if tuple(rows[0]) != COLUMNS:
            raise ValueError
        return [CopyLine(*row) for row in rows[1:]]
    except (OSError, ValueError, IndexError, TypeError, csv.Error):
        raise IntegrityError(f"{COPIES_TABLE} cannot be read", fix="restore the file") from None

"""Reading tables strictly: every row whole, every wanted column there, sizes bounded.

Values may be separated by commas, semicolons, tabs or vertical bars. Empty lines and values beyond
the named columns are passed over where they are empty; ``table_text`` says which encodings are
read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from he_compare.common.datasets.reading.table_text import (
    DELIMITERS,
    check_plain,
    delimiter_of,
    read_text,
)
from he_compare.common.errors import DataError
from he_compare.common.plugins import nearest

MAX_ROWS = 2_000_000
MAX_COLUMNS_NAMED = 20
MAX_LINES_NAMED = 5
SAMPLE_ROWS = 200


@dataclass(frozen=True)
class CsvTable:
    """Columns of equal length; ``lines[i]`` is the line of the file row ``i`` ends on.

    ``notes``: what is to be said of how the file was read.
    """

    name: str
    columns: dict[str, list[str]]
    lines: list[int]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[str]:
        """Return a column. Raises KeyError where it is absent: ask ``in`` first."""
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def where(self, row: int) -> str:
        """Return "labels.csv line 7" for messages."""
        return f"{self.name} line {self.lines[row]}"


def read_table(
    path: Path,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    called: Mapping[str, str] | None = None,
) -> CsvTable:
    """Read a table with a header; other columns are ignored.

    ``called``: the name in the header of those columns that have another one there. Upper and lower
    case of the header are one where that is unambiguous. Raises DataError on a missing or doubled
    column, a row of another length, empty or unprintable values in a column asked for, or no rows
    at all.
    """
    called = called or {}
    rows = _Rows(path, [called.get(name, name) for name in (*required, *optional)])
    wanted = {}
    for name in (*required, *optional):
        place = rows.place(called.get(name, name))
        if place is None and (name in required or name in called):
            raise rows.missing(called.get(name, name))
        if place is not None:
            wanted[name] = place
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    lines: list[int] = []
    blank: dict[str, list[int]] = {name: [] for name in wanted}
    for line, row in rows:
        for name, place in wanted.items():
            value = row[place].strip()
            if not value:
                blank[name].append(line)
            check_plain(value, f"{path.name} line {line}", name)
            columns[name].append(value)
        lines.append(line)
    if not lines:
        raise DataError(f"{path.name} has no rows", fix="add one line per image")
    for name, found in blank.items():
        _refuse_blank(path.name, rows.header[wanted[name]], found, len(lines))
    return CsvTable(path.name, columns, lines, rows.notes)


def sample_table(path: Path, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return the first values by column name, for telling which column is which.

    ``wanted``: names that tell what separates values. Raises DataError where the file is no table.
    """
    rows = _Rows(path, wanted)
    found: dict[str, list[str]] = {name: [] for name in rows.header if name}
    for number, (_, row) in enumerate(rows):
        if number == SAMPLE_ROWS:
            break
        for name, value in zip(rows.header, row, strict=False):
            if name:
                found[name].append(value.strip())
    return found


def _refuse_blank(file: str, column: str, lines: Sequence[int], rows: int) -> None:
    if not lines:
        return
    if len(lines) == 1:
        raise DataError(f"{file} line {lines[0]}: {column} is empty", fix="correct that line")
    named = ", ".join(map(str, lines[:MAX_LINES_NAMED]))
    more = ", ..." if len(lines) > MAX_LINES_NAMED else ""
    raise DataError(
        f"{file}: {column} is empty in {len(lines):,} of {rows:,} rows (lines {named}{more})",
        fix="fill these in or leave the rows out",
    )


class _Rows:
    """The rows of a file after its header: (line, values), at least as many as named columns."""

    def __init__(self, path: Path, wanted: Sequence[str]) -> None:
        self.name = path.name
        text, note = read_text(path)
        self.notes = [note] if note else []
        delimiter, text = delimiter_of(text, wanted)
        if delimiter != ",":
            said = DELIMITERS.get(delimiter, repr(delimiter))
            self.notes.append(f"values of {path.name} are separated by {said}")
        stream = io.StringIO(text, newline="")
        self._reader = csv.reader(stream, delimiter=delimiter, strict=True)
        self.header: list[str] = []
        try:
            for row in self._reader:
                self.header = [name.strip() for name in row]
                if any(self.header):
                    break
        except csv.Error as error:
            raise self._not_csv(error) from None
        self._full = len(self.header)
        while self.header and not self.header[-1]:
            self.header.pop()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        count = 0
        try:
            for row in self._reader:
                if not any(value and not value.isspace() for value in row):
                    continue
                count += 1
                if count > MAX_ROWS:
                    raise DataError(f"{self.name} has more than {MAX_ROWS:,} rows", fix="split it")
                self._check_length(row)
                yield self._reader.line_num, row
        except csv.Error as error:
            raise self._not_csv(error) from None

    def place(self, name: str) -> int | None:
        """Return where a column stands, None where it does not. Raises DataError on two."""
        exact = [i for i, column in enumerate(self.header) if column == name]
        folded = name.casefold()
        found = exact or [i for i, one in enumerate(self.header) if one.casefold() == folded]
        if len(found) > 1:
            raise DataError(
                f"{self.name} has two columns {self.header[found[0]]!r}", fix="rename one of them"
            )
        return found[0] if found else None

    def missing(self, name: str) -> DataError:
        """Return the error that names the columns there are."""
        named = ", ".join(map(repr, self.header[:MAX_COLUMNS_NAMED])) or "none"
        more = len(self.header) - MAX_COLUMNS_NAMED
        return DataError(
            f"{self.name} has no column {name!r} (it has {named}"
            + (f" and {more} more)" if more > 0 else ")"),
            fix=f"add the column; {nearest(name, self.header)}"
            if self.header
            else "add a header line",
        )

    def _check_length(self, row: Sequence[str]) -> None:
        beyond = row[self._full :]
        if len(row) < len(self.header) or any(value.strip() for value in beyond):
            raise DataError(
                f"{self.name} line {self._reader.line_num} has {len(row)} values, "
                f"the header has {len(self.header)}",
                fix="correct that line",
            )

    def _not_csv(self, error: csv.Error) -> DataError:
        return DataError(
            f"{self.name} line {self._reader.line_num} is not CSV: {error}", fix="correct that line"
        )


def read_lines(path: Path) -> list[str]:
    """Read a list of one name per line; empty lines are ignored. Raises DataError."""
    text, _ = read_text(path)
    names = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            check_plain(line.strip(), f"{path.name} line {number}", "name")
            names.append(line.strip())
    return names

"""Reading CSV tables strictly: every row whole, every wanted column there, sizes bounded."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.errors import DataError
from he_compare.common.plugins import nearest

MAX_BYTES = 256 * 1024 * 1024
MAX_FIELD = 4096


@dataclass(frozen=True)
class CsvTable:
    """Columns of equal length; ``line(i)`` is the line of the file row ``i`` ends on."""

    name: str
    columns: dict[str, list[str]]
    lines: list[int]

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


def read_table(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> CsvTable:
    """Read a UTF-8 CSV file with a header; other columns are ignored.

    Raises DataError on a missing or doubled column, a row of another length, an empty or
    unprintable value in a column asked for, or no rows at all.
    """
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        wanted = _wanted_columns(path.name, header, required, optional)
        columns: dict[str, list[str]] = {name: [] for name in wanted}
        lines: list[int] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{path.name} line {reader.line_num} has {len(row)} values, "
                    f"the header has {len(header)}",
                    fix="correct that line",
                )
            for name, place in wanted.items():
                columns[name].append(_value(row[place], path.name, reader.line_num, name))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{path.name} line {reader.line_num} is not CSV: {error}", fix="correct that line"
        ) from None
    if not lines:
        raise DataError(f"{path.name} has no rows", fix="add one line per image")
    return CsvTable(path.name, columns, lines)


def read_lines(path: Path) -> list[str]:
    """Read a list of one name per line; empty lines are ignored. Raises DataError."""
    lines = enumerate(_text_of(path).splitlines(), start=1)
    return [_value(line, path.name, number, "name") for number, line in lines if line.strip()]


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_BYTES:,} bytes", fix="split it")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start})", fix="store it as UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", fix="check the path") from None


def _wanted_columns(
    file: str, header: list[str], required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, int]:
    for name in required:
        if name not in header:
            raise DataError(
                f"{file} has no column {name!r} (it has {', '.join(map(repr, header)) or 'none'})",
                fix=f"add the column; {nearest(name, header)}" if header else "add a header line",
            )
    for name in (*required, *optional):
        if header.count(name) > 1:
            raise DataError(f"{file} has two columns {name!r}", fix="rename one of them")
    return {name: header.index(name) for name in (*required, *optional) if name in header}


def _value(text: str, file: str, line: int, column: str) -> str:
    value = text.strip()
    if not value or not value.isprintable() or len(value) > MAX_FIELD:
        what = "is empty" if not value else f"is not plain text: {value[:40]!r}"
        raise DataError(f"{file} line {line}: {column} {what}", fix="correct that line")
    return value

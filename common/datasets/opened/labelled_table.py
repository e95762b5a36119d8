"""A table of images: file, label and, where they are known, split and group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from he_compare.common.datasets.opened.labelled_rows import LabelledFile, LabelledRows
from he_compare.common.datasets.opened.table_columns import (
    OPTIONAL,
    REQUIRED,
    SPLIT_COLUMNS,
    TableColumns,
    columns_of_table,
)
from he_compare.common.datasets.reading.csv_tables import CsvTable, read_table
from he_compare.common.datasets.reading.named_files import NamedFiles
from he_compare.common.datasets.reading.split_words import split_of
from he_compare.common.errors import DataError
from he_compare.common.types import Split

MAX_MISSING_NAMED = 3


def read_labelled_tables(
    tables: Mapping[Path, Split | None], asked: Mapping[str, str], files: NamedFiles
) -> LabelledRows:
    """Read tables whose files lie in ``files.root``; each may stand for a split of its own.

    ``asked``: columns by role, as the command names them. Raises DataError naming line and value.
    """
    notes: list[str] = []
    read: dict[str, LabelledFile] = {}
    first_line: dict[str, str] = {}
    grouped = True
    for path, split in tables.items():
        columns = columns_of_table(path, asked, files)
        if columns.missing:
            raise columns.error()
        table = read_table(path, REQUIRED, OPTIONAL, columns.called)
        notes += table.notes
        grouped = grouped and "group" in table
        again = 0
        for i, file in enumerate(_rows(table, split, files)):
            if file.id in read:
                _refuse_other(read[file.id], file, table.where(i), first_line[file.id])
                again += 1
            else:
                read[file.id], first_line[file.id] = file, table.where(i)
        if again:
            notes.append(f"lines of {path.name} that say again what others say: {again:,}")
        notes += [*_of_groups(table, columns), *_of_splits(table, columns)]
    name = " and ".join(path.name for path in tables)
    notes += files.notes(name, len(read))
    return LabelledRows(
        root=files.root,
        files=list(read.values()),
        given=frozenset(file.split for file in read.values())
        if any(tables.values()) or "split" in table
        else frozenset(),
        grouped=grouped,
        place=name,
        notes=notes,
    )


def _rows(table: CsvTable, split: Split | None, files: NamedFiles) -> list[LabelledFile]:
    """Return a row per line. Raises DataError where files are missing, with their number."""
    found: list[LabelledFile] = []
    missing: list[int] = []
    for i, name in enumerate(table.column("file")):
        identity = files.find(name, table.where(i))
        if identity is None:
            missing.append(i)
            continue
        found.append(
            LabelledFile(
                id=identity,
                label=table.column("label")[i],
                group=table.column("group")[i] if "group" in table else identity,
                split=split or _split(table, i),
            )
        )
    if missing:
        _refuse_missing(table, missing)
    return found


def _split(table: CsvTable, row: int) -> Split:
    if "split" not in table:
        return Split.TRAIN
    word = table.column("split")[row]
    split = split_of(word)
    if split is None:
        raise DataError(
            f"{table.where(row)}: split {word!r} is not one of train, val, test",
            fix="correct that line, or name another column with --csv-columns split=COLUMN",
        )
    return split


def _refuse_missing(table: CsvTable, rows: Sequence[int]) -> None:
    names = table.column("file")
    if len(rows) == 1:
        raise DataError(
            f"{table.where(rows[0])}: file {names[rows[0]]!r} does not exist",
            fix="restore the file or leave it out",
        )
    shown = ", ".join(repr(names[i]) for i in rows[:MAX_MISSING_NAMED])
    more = ", ..." if len(rows) > MAX_MISSING_NAMED else ""
    raise DataError(
        f"{table.where(rows[0])}: {len(rows):,} of the {len(table):,} files named by the table do "
        f"not exist: {shown}{more}",
        fix="put the table into the folder of the images, or above it"
        if len(rows) == len(table)
        else "restore these files or leave them out",
    )


def _refuse_other(first: LabelledFile, file: LabelledFile, where: str, first_where: str) -> None:
    """Refuse a second line for an image that says something else."""
    for what, one, other in (
        ("has two labels", repr(first.label), repr(file.label)),
        ("is in two splits", first.split, file.split),
        ("is in two groups", repr(first.group), repr(file.group)),
    ):
        if one != other:
            raise DataError(
                f"{where}: image {file.id!r} {what}, {one} and {other} (first on {first_where})",
                fix="keep one of the lines",
            )


def _of_groups(table: CsvTable, columns: TableColumns) -> list[str]:
    """Say what the column of groups is good for. Raises DataError where it holds one value."""
    if "group" not in table:
        named = columns.proposed.get("group")
        if named is None:
            return []
        return [f"if {named!r} of {table.name} names the patient, pass --csv-columns group={named}"]
    counts = Counter(table.column("group"))
    column = columns.called["group"]
    if len(counts) == 1 and len(table) > 1:
        raise DataError(
            f"{table.name}: every row has the group {next(iter(counts))!r} (column {column!r})",
            fix="name the column of the patient with --csv-columns group=COLUMN, or rename this "
            "one so that it is not read",
        )
    notes = []
    if len(counts) == len(table):
        notes.append(f"column {column!r} of {table.name} has another value in every row")
    _refuse_alike_numbers(counts, table.name)
    numbers = Counter(group.lstrip("0") for group in counts if group.isdecimal())
    alike = sum(count > 1 for count in numbers.values())
    if alike:
        notes.append(
            f"{alike:,} groups of {table.name} differ from others in leading zeros only (7 and "
            "007): they count as different patients"
        )
    return notes


def _refuse_alike_numbers(groups: Mapping[str, int], name: str) -> None:
    """Refuse "7" beside "7.0", which spreadsheets and programs write for one id."""
    spellings: dict[str, list[str]] = {}
    for group in groups:
        number, _, zeros = group.partition(".")
        if number.isdecimal() and not zeros.strip("0"):
            spellings.setdefault(number, []).append(group)
    alike = next((found for found in spellings.values() if len(found) > 1), None)
    if alike:
        raise DataError(
            f"{name} spells what may be one group in several ways: "
            + " and ".join(map(repr, alike)),
            fix="write each id in one way",
        )


def _of_splits(table: CsvTable, columns: TableColumns) -> list[str]:
    """Name columns that look like splits and are not read."""
    if "split" in table:
        return []
    return [
        f"column {name!r} of {table.name} is not read; if it names the split (train, val, test), "
        f"pass --csv-columns split={name}"
        for name in columns.header
        if name.casefold().strip() in SPLIT_COLUMNS.split()
    ]

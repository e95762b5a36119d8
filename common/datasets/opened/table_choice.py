"""Which tables of a folder describe its images, where there are several, or class folders too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.datasets.opened.folder_layouts import tables_in
from he_compare.common.datasets.opened.table_columns import TableColumns, columns_of_table
from he_compare.common.datasets.reading.named_files import NamedFiles
from he_compare.common.datasets.reading.split_words import split_of
from he_compare.common.errors import DataError
from he_compare.common.types import Split

PREFERRED = "labels"


@dataclass(frozen=True)
class TableChoice:
    """``tables``: those to be read, each with the split that its name means; empty for none.

    ``others``: the names of the other tables of the folder; ``unusable``: why they cannot be read.
    """

    tables: Mapping[Path, Split | None]
    unusable: Mapping[Path, DataError]
    others: Sequence[str]


def choose_tables(
    family: str, folder: Path, asked: Mapping[str, str], files: NamedFiles
) -> TableChoice:
    """Choose among the tables directly in a folder.

    ``labels.csv`` is used if it has the columns, and refused if it is no table. Else a table is
    used that has them and whose files
    exist: the only one, or ``train.csv`` with ``test.csv``. Raises DataError on several others, and
    on a table that seems to describe the images under other names of columns.
    """
    usable: list[Path] = []
    unusable: dict[Path, DataError] = {}
    proposals: dict[Path, TableColumns] = {}
    for path in tables_in(folder):
        try:
            columns = columns_of_table(path, asked, files)
        except DataError as error:
            if path.stem.lower() == PREFERRED:
                raise
            unusable[path] = error
            continue
        if columns.usable or (path.stem.lower() == PREFERRED and not columns.missing):
            usable.append(path)
        elif columns.missing:
            unusable[path] = columns.error()
            if columns.describes_images and columns.proposed.get("file"):
                proposals[path] = columns
        else:
            unusable[path] = DataError(
                f"{path.name} names files that do not exist in {folder.name!r}",
                fix="put the table into the folder of the images, or above it",
            )
    chosen = _chosen(family, folder, usable)
    if not chosen:
        _ask(family, folder, proposals, files)
    others = [path.name for path in (*usable, *unusable) if path not in chosen]
    return TableChoice(chosen, unusable, others)


def _chosen(family: str, folder: Path, usable: list[Path]) -> dict[Path, Split | None]:
    preferred = [path for path in usable if path.stem.lower() == PREFERRED]
    if len(preferred) == 1 or len(usable) < 2:
        return dict.fromkeys(preferred or usable)
    splits = {path: split_of(path.stem) for path in usable}
    named = [split for split in splits.values() if split is not None]
    if len(named) == len(usable) == len(set(named)) and Split.TRAIN in named:
        return dict(splits)
    names = ", ".join(path.name for path in usable)
    raise DataError(
        f"folder {folder.name!r} holds several CSV files ({names})",
        fix=f"name one: {family}:PATH/FILE.csv",
    )


def _ask(
    family: str, folder: Path, proposals: Mapping[Path, TableColumns], files: NamedFiles
) -> None:
    """Raise the error that proposes columns, where a table would name files that exist by them."""
    named = {}
    for path, columns in proposals.items():
        again = columns_of_table(path, {**columns.called, **columns.proposed}, files)
        if again.exist[0]:
            named[path] = columns
    if len(named) == 1:
        raise next(iter(named.values())).error()
    if named:
        options = "; ".join(f"{path.name}: {columns.option()}" for path, columns in named.items())
        raise DataError(
            f"folder {folder.name!r} holds several tables that may describe the images ({options})",
            fix=f"name one: {family}:PATH/FILE.csv, with its option",
        )

"""Images of the user: classes and splits from folders or from a table.

``FAMILY:PATH`` names the folder or the table. ``folder_layouts`` and ``labelled_table`` say what is
read; labels that may mean one class in several spellings are refused here, whatever gave them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from he_compare.common.datasets.opened.folder_layouts import (
    LAYOUTS_READ,
    ListClass,
    find_class_folders,
    read_class_folders,
    tables_in,
    unwrapped,
)
from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.opened.labelled_rows import LabelledRows
from he_compare.common.datasets.opened.labelled_table import read_labelled_tables
from he_compare.common.datasets.opened.table_choice import TableChoice, choose_tables
from he_compare.common.datasets.opened.table_columns import columns_of_table
from he_compare.common.datasets.reading.class_folders import (
    debris_note,
    refuse_linked_folders,
    subfolders,
    visible_entries,
)
from he_compare.common.datasets.reading.label_spellings import (
    refuse_alike,
    refuse_no_labels,
    refuse_several,
)
from he_compare.common.datasets.reading.named_files import NamedFiles
from he_compare.common.errors import DataError
from he_compare.common.reading_options import NOTHING_ASKED, ReadingOptions
from he_compare.common.types import MAX_CLASSES, Split

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
NO_GROUPS = (
    "patient groups are not known: every image counts as a patient of its own, so that splits may "
    "share patients and intervals may be too narrow; a CSV with a group column, or --group-by "
    "folder where every patient has a folder, solves both"
)


@dataclass(frozen=True)
class OwnImages:
    """Images as the user described them.

    ``given``: the splits that were given, empty for none. ``grouped``: groups come from a table or
    from folders; where they do not, every row is a group of its own. ``notes``: what was left out.
    """

    root: Path
    classes: list[str]
    rows: list[ImageRow]
    given: frozenset[Split]
    grouped: bool
    notes: list[str]


def read_own(
    family: str,
    argument: str,
    data_dir: Path | None,
    list_class: ListClass,
    reading: ReadingOptions = NOTHING_ASKED,
    suffixes: frozenset[str] | None = None,
) -> OwnImages:
    """Read what ``argument`` names, relative to ``data_dir`` where given; without it, ``data_dir``.

    ``list_class(root, folder, notes)`` lists the images of a class folder. ``suffixes``: the
    endings of images; None, where any file may be one, also stands for folders whose single
    sub-folder may name a person, so that it is not looked through. Raises DataError.
    """
    path = _named_path(family, argument, data_dir)
    if not path.is_dir():
        if path.suffix.lower() not in TABLE_ENDINGS or not path.is_file():
            raise DataError(
                f"{path} is neither a folder nor a CSV",
                fix="name one of these; a spreadsheet is stored as CSV first",
            )
        if reading.group_by:
            raise DataError(
                f"--group-by {reading.group_by} is for class folders, and {path.name} is a table",
                fix="name the column of the patient with --csv-columns group=COLUMN",
            )
        files = NamedFiles(path.parent, suffixes)
        read = read_labelled_tables({path: None}, reading.csv_columns, files)
    else:
        read = _read_folder(family, path, list_class, reading, suffixes)
    debris = debris_note(path if path.is_dir() else path.parent)
    return _numbered(read, [debris] if debris else [])


def _named_path(family: str, argument: str, data_dir: Path | None) -> Path:
    if not argument and data_dir is None:
        raise DataError(f"dataset {family!r} names no folder", fix=f"write --dataset {family}:PATH")
    path = Path(argument).expanduser() if argument else Path()
    if data_dir is not None:
        path = data_dir.expanduser() / path
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        raise DataError(f"no such folder or CSV: {path}", fix=f"check the path after {family}:")
    if path.is_dir() and not visible_entries(path):
        raise DataError(f"folder {path} is empty", fix="put one sub-folder per class into it")
    return path


def _read_folder(
    family: str,
    path: Path,
    list_class: ListClass,
    reading: ReadingOptions,
    suffixes: frozenset[str] | None,
) -> LabelledRows:
    """Read a folder by its table where one describes it, else as class folders."""
    notes: list[str] = []
    root = path if suffixes is None else unwrapped(path, notes)
    files = NamedFiles(root, suffixes)
    tables = tables_in(root)
    if suffixes is not None and not len(files):
        _refuse_no_images(root, files, bool(tables))
    choice = TableChoice({}, {}, ())
    if reading.group_by:
        notes += [
            f"{table.name} was not read: --group-by asks for class folders" for table in tables
        ]
    elif tables:
        choice = choose_tables(family, root, reading.csv_columns, files)
    if choice.tables:
        read = read_labelled_tables(choice.tables, reading.csv_columns, files)
        return replace(read, notes=[*notes, *_notes_of(choice, root), *read.notes])
    if reading.csv_columns:
        raise next(iter(choice.unusable.values()), None) or DataError(
            f"--csv-columns is given, and {root.name!r} has no table to use it on",
            fix="name the table, or leave --csv-columns out",
        )
    for error in choice.unusable.values():
        notes.append(f"no table was read: {error.problem}; the folders are the classes")
    try:
        if suffixes is not None:
            _check_images_in_classes(root, files)
        read = read_class_folders(root, list_class, reading.group_by, notes)
        _check_classes(sorted(read.counts()), repr(root.name))
    except DataError:
        for table in choice.unusable:
            _refuse_table(table, reading, files)
        raise
    return read


def _refuse_table(table: Path, reading: ReadingOptions, files: NamedFiles) -> None:
    """Raise the error of a table that seems to name the images which folders do not describe."""
    columns = columns_of_table(table, reading.csv_columns, files)
    if "file" in columns.called or "file" in columns.proposed or not subfolders(files.root):
        read_labelled_tables({table: None}, reading.csv_columns, files)


def _refuse_no_images(root: Path, files: NamedFiles, has_tables: bool) -> None:
    """Raise DataError of a folder without images; a table that names some tells more itself."""
    refuse_linked_folders(root)
    others = files.others()
    most = ", ".join(f"{count:,} x {ending}" for ending, count in others.most_common(5))
    is_dicom = any(others[ending] for ending in DICOM_ENDINGS)
    if is_dicom or not has_tables:
        raise DataError(
            f"there are no {', '.join(sorted(files.suffixes or ()))} images in {root.name!r}"
            + (f", only {most}" if most else ""),
            fix="read DICOM files with --dataset dicom:PATH" if is_dicom else LAYOUTS_READ,
        )


def _check_images_in_classes(root: Path, files: NamedFiles) -> None:
    """Refuse images that lie in one folder only, beside folders without any, and linked folders.

    Raises DataError.
    """
    refuse_linked_folders(root)
    top = files.top_folders()
    if len(top) == 1 and len(subfolders(root)) > 1:
        raise DataError(
            f"all images of {root.name!r} are in its folder {next(iter(top))!r}, the others have "
            "none",
            fix=f"name that folder, if it has class folders; else {LAYOUTS_READ}",
        )


def _notes_of(choice: TableChoice, root: Path) -> list[str]:
    """Say which tables were read where anything else was there to be read."""
    names = " and ".join(path.name for path in choice.tables)
    try:
        folders = len({folder.label for folder in find_class_folders(root, [])})
    except DataError:
        folders = 0
    notes = [f"{name} was not read, {names} was" for name in choice.others]
    if folders > 1:
        notes.append(
            f"files and labels are from {names}; to have the {folders:,} folders as classes "
            "instead, move the table away"
        )
    return notes


def _numbered(read: LabelledRows, notes: list[str]) -> OwnImages:
    """Check the labels and number them in order of name. Raises DataError."""
    counts = read.counts()
    table = _is_table(read.place)
    fix = "spell it in one way " + ("in the table" if table else "in all folders, or join them")
    refuse_no_labels(counts, read.place)
    refuse_alike(counts, read.place, f"{fix}; if these are different classes, name them apart")
    if table:
        refuse_several(counts, read.place)
    labels = {label: unicodedata.normalize("NFC", label) for label in counts}
    classes = sorted(labels.values())
    _check_classes(classes, read.place)
    number = {name: i for i, name in enumerate(classes)}
    rows = [
        ImageRow(file.id, number[labels[file.label]], file.group, file.split) for file in read.files
    ]
    return OwnImages(read.root, classes, rows, read.given, read.grouped, [*read.notes, *notes])


def _is_table(place: str) -> bool:
    return place.lower().endswith(TABLE_ENDINGS)


def _check_classes(classes: Sequence[str], name: str) -> None:
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if classes else "no class folders"
        fix = "check that the label column is the right one" if _is_table(name) else LAYOUTS_READ
        raise DataError(f"{name} has {found}", fix=f"give at least two classes: {fix}")
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{name} has {len(classes)} classes, more than {MAX_CLASSES}, the most that pipelines "
            "take",
            fix="check that the labels are the right ones; else group classes or leave some out",
        )

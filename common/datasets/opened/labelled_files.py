"""Images of the user: classes and splits from folders or from a CSV table.

``FAMILY:PATH`` names the folder or the CSV. A folder may hold the classes directly, or under
``train/``, ``test/`` and, optionally, ``val/``. The CSV has file,label[,split][,group].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.reading.class_folders import subfolders, visible_entries
from he_compare.common.datasets.reading.csv_tables import read_table
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.errors import DataError
from he_compare.common.types import MAX_CLASSES, Split

NO_GROUPS = (
    "patient groups are not known: every image counts as a patient of its own, so that splits may "
    "share patients and intervals may be too narrow; a CSV with a group column solves both"
)


@dataclass(frozen=True)
class OwnImages:
    """Images as the user described them.

    ``given``: the splits that were given, empty for none. ``grouped``: groups come from a table;
    where they do not, every row is a group of its own. ``notes``: what was left out.
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
    list_class: Callable[[Path, str, list[str]], list[str]],
) -> OwnImages:
    """Read what ``argument`` names, relative to ``data_dir`` where given; without it, ``data_dir``.

    ``list_class(root, folder, notes)`` lists the images of a class folder. Raises DataError.
    """
    path = _named_path(family, argument, data_dir)
    table = _table_of(family, path)
    own = read_csv(table) if table is not None else read_folders(path, list_class)
    _check_classes(own.classes, path.name)
    return own


def _named_path(family: str, argument: str, data_dir: Path | None) -> Path:
    if not argument and data_dir is None:
        raise DataError(f"dataset {family!r} names no folder", fix=f"write --dataset {family}:PATH")
    path = Path(argument).expanduser() if argument else Path()
    if data_dir is not None:
        path = data_dir.expanduser() / path
    if not path.exists():
        raise DataError(f"no such folder or CSV: {path}", fix=f"check the path after {family}:")
    if path.is_dir() and not visible_entries(path):
        raise DataError(f"folder {path} is empty", fix="put one sub-folder per class into it")
    return path


def _table_of(family: str, path: Path) -> Path | None:
    """Return the CSV that describes the images, or None where folders are the classes."""
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} is neither a folder nor a CSV", fix="name one of these")
        return path
    if (path / "labels.csv").is_file():
        return path / "labels.csv"
    tables = [entry for entry in visible_entries(path) if entry.suffix.lower() == ".csv"]
    if len(tables) > 1:
        names = ", ".join(entry.name for entry in tables)
        raise DataError(
            f"folder {path} holds several CSV files ({names})",
            fix=f"name one: {family}:PATH/FILE.csv",
        )
    return tables[0] if tables else None


def read_csv(path: Path) -> OwnImages:
    """Read file,label[,split][,group]; files are relative to the folder of the table."""
    table = read_table(path, ("file", "label"), ("split", "group"))
    classes = sorted(set(table.column("label")))
    number = {name: i for i, name in enumerate(classes)}
    inside = InsideFolder(path.parent)
    rows: list[ImageRow] = []
    seen: dict[str, int] = {}
    for i, name in enumerate(table.column("file")):
        identity = inside.check(name, table.where(i))
        split = table.column("split")[i] if "split" in table else "train"
        if split not in list(Split):
            raise DataError(
                f"{table.where(i)}: split {split!r} is not one of train, val, test",
                fix="correct that line",
            )
        if identity in seen:
            first = rows[seen[identity]].split
            what = f"in two splits, {first} and {split}" if first != split else "listed twice"
            raise DataError(
                f"{table.where(i)}: image {identity!r} is {what} "
                f"(first on line {table.lines[seen[identity]]})",
                fix="keep one of the lines",
            )
        seen[identity] = i
        group = table.column("group")[i] if "group" in table else identity
        rows.append(ImageRow(identity, number[table.column("label")[i]], group, Split(split)))
    given = {row.split for row in rows} if "split" in table else set()
    return OwnImages(path.parent, classes, rows, frozenset(given), "group" in table, [])


def read_folders(root: Path, list_class: Callable[[Path, str, list[str]], list[str]]) -> OwnImages:
    """Read [SPLIT/]CLASS folders; every image is a group of its own."""
    notes: list[str] = []
    top = subfolders(root)
    given = {Split(name) for name in top if name in list(Split)}
    if Split.TRAIN not in given:
        given = set()
    elif len(given) != len(top):
        stray = next(name for name in top if name not in list(Split))
        raise DataError(
            f"folder {root.name!r} has {stray!r} beside train/",
            fix="keep only train/, val/ and test/ there",
        )
    prefixes = {split: f"{split}/" for split in Split if split in given} or {Split.TRAIN: ""}
    classes = sorted({name for prefix in prefixes.values() for name in subfolders(root / prefix)})
    _check_classes(classes, root.name)
    rows = []
    for split, prefix in prefixes.items():
        for name in subfolders(root / prefix):
            for identity in list_class(root, f"{prefix}{name}", notes):
                rows.append(ImageRow(identity, classes.index(name), identity, split))
    return OwnImages(root, classes, rows, frozenset(given), False, notes)


def _check_classes(classes: Sequence[str], name: str) -> None:
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if classes else "no class folders"
        raise DataError(f"{name!r} has {found}", fix="give at least two classes")
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{name!r} has {len(classes)} classes, more than {MAX_CLASSES}, the most that "
            "pipelines take",
            fix="check that the labels are the right ones; else group classes or leave some out",
        )

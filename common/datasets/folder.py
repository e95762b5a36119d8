"""Your own images: one sub-folder a class, or a CSV of file,label[,split][,group].

``folder:PATH`` names the folder or the CSV. A folder may hold the classes directly, or under
``train/``, ``test/`` and, if you like, ``val/``. Where no split is given, 70 / 10 / 20 percent are
cut by patient group and class from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from common.contracts import OpenDataset
from common.datasets.cards import choose_subset, positive_of
from common.datasets.csvtable import read_table
from common.datasets.foldertree import class_images, subfolders, visible
from common.datasets.indexed import IndexedImages, Row
from common.datasets.paths import InsideFolder
from common.datasets.splits import cut_by_group, file_twins, join_twins
from common.errors import DataError
from common.records import DatasetCard
from common.types import Split

SHARES = {Split.TEST: 0.2, Split.VAL: 0.1}
VALIDATION_OF_TRAIN = 0.125
MAX_CLASSES = 1000
NO_GROUPS = (
    "patient groups are not known: every image counts as a patient of its own, so that splits may "
    "share patients and intervals may be too narrow; a CSV with a group column mends both"
)


def make_card(name: str, classes: Sequence[str]) -> DatasetCard:
    """Return the card of a folder; what nobody told is said to be unknown."""
    return DatasetCard(
        name=f"folder:{name}" if name else "folder",
        title=f"Images of {name}" if name else "A folder of images, one sub-folder a class",
        description="Images supplied by the user; nothing is known of them but the files.",
        source="supplied by the user",
        licence="not stated; see the owner of the images",
        citation="none",
        caveats=["Origin, licence and population of these images are not known to the tool."],
        classes=list(classes),
        positive_class=positive_of(classes),
        native_size="varies",
    )


class Folder:
    """The family of user-supplied folders and CSV tables."""

    name = "folder"
    subsets = ("all",)

    def card(self) -> DatasetCard:
        """Return the card of an unnamed folder."""
        return make_card("", ())

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Read the folder or CSV named by ``argument``, relative to ``data_dir`` where given.

        Without an argument ``data_dir`` itself is read. Raises DataError.
        """
        subset = choose_subset(self.name, subset, self.subsets)
        path = _named_path(argument, data_dir)
        table = _table_of(path)
        notes: list[str] = []
        root = path if path.is_dir() else path.parent
        if table is not None:
            classes, rows, given = read_csv(table, notes)
        else:
            classes, rows, given = read_folders(root, notes)
        _check_classes(classes, path.name)
        rows = _with_twins(root, rows, notes)
        rows = complete_splits(rows, given, seed, notes)
        card = make_card(path.resolve().name, classes)
        if card.positive_class:
            notes.append(f"positive class: {card.positive_class!r}")
        return IndexedImages.from_rows(card, subset, root, rows, notes)


def _named_path(argument: str, data_dir: Path | None) -> Path:
    if not argument and data_dir is None:
        raise DataError("dataset 'folder' names no folder", fix="write --dataset folder:PATH")
    path = Path(argument).expanduser() if argument else Path()
    if data_dir is not None:
        path = data_dir.expanduser() / path
    if not path.exists():
        raise DataError(f"no such folder or CSV: {path}", fix="check the path after folder:")
    if path.is_dir() and not visible(path):
        raise DataError(f"folder {path} is empty", fix="put one sub-folder a class into it")
    return path


def _table_of(path: Path) -> Path | None:
    """Return the CSV that describes the images, or None where folders are the classes."""
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} is neither a folder nor a CSV", fix="name one of these")
        return path
    if (path / "labels.csv").is_file():
        return path / "labels.csv"
    tables = [entry for entry in visible(path) if entry.suffix.lower() == ".csv"]
    if len(tables) > 1:
        names = ", ".join(entry.name for entry in tables)
        raise DataError(
            f"folder {path} holds several CSV files ({names})", fix="name one: folder:PATH/FILE.csv"
        )
    return tables[0] if tables else None


def read_csv(path: Path, notes: list[str]) -> tuple[list[str], list[Row], set[Split]]:
    """Return classes in order of name, rows, and the splits the table gives (empty: none)."""
    table = read_table(path, ("file", "label"), ("split", "group"))
    classes = sorted(set(table.column("label")))
    number = {name: i for i, name in enumerate(classes)}
    inside = InsideFolder(path.parent)
    rows: list[Row] = []
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
        rows.append(Row(identity, number[table.column("label")[i]], group, Split(split)))
    if "group" not in table:
        notes.append(NO_GROUPS)
    return classes, rows, {row.split for row in rows} if "split" in table else set()


def read_folders(root: Path, notes: list[str]) -> tuple[list[str], list[Row], set[Split]]:
    """Return classes in order of name, rows, and the splits the folders give (empty: none)."""
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
    prefixes = {split: f"{split}/" for split in given} or {Split.TRAIN: ""}
    classes = sorted({name for prefix in prefixes.values() for name in subfolders(root / prefix)})
    _check_classes(classes, root.name)
    rows = []
    for split, prefix in prefixes.items():
        for name in subfolders(root / prefix):
            for identity in class_images(root, f"{prefix}{name}", notes):
                rows.append(Row(identity, classes.index(name), identity, split))
    notes.append(NO_GROUPS)
    return classes, rows, given


def _check_classes(classes: Sequence[str], name: str) -> None:
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if classes else "no class folders"
        raise DataError(f"{name!r} has {found}", fix="give at least two classes")
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{name!r} has {len(classes)} classes, more than {MAX_CLASSES}",
            fix="check that the label column is the right one",
        )


def _with_twins(root: Path, rows: list[Row], notes: list[str]) -> list[Row]:
    twins = file_twins(root, [row.id for row in rows])
    copies = len(twins) - len(set(twins.values()))
    if copies:
        notes.append(f"{copies} files are exact copies of another one; copies stay in one split")
    return [replace(row, twin=twins.get(row.id, "")) for row in rows]


def complete_splits(rows: list[Row], given: set[Split], seed: int, notes: list[str]) -> list[Row]:
    """Cut what is not given: all three splits, or validation from train.

    Raises DataError where train or test is missing while another split is given.
    """
    if not given:
        notes.append(f"split 70 / 10 / 20 by patient group and class with seed {seed}")
        return _cut(rows, SHARES, seed)
    for split in (Split.TRAIN, Split.TEST):
        if split not in given:
            raise DataError(
                f"splits are given, but there is no {split} split",
                fix="give train and test, or no split at all",
            )
    if Split.VAL in given:
        notes.append("splits as given")
        return rows
    train = [row for row in rows if row.split is Split.TRAIN]
    notes.append(f"train and test as given; validation cut from train with seed {seed}")
    return _cut(train, {Split.VAL: VALIDATION_OF_TRAIN}, seed) + [
        row for row in rows if row.split is Split.TEST
    ]


def _cut(rows: list[Row], shares: dict[Split, float], seed: int) -> list[Row]:
    groups = join_twins([row.group for row in rows], [row.twin or row.id for row in rows])
    cut = cut_by_group([row.label for row in rows], groups, shares, seed, "folder")
    return [replace(row, split=split) for row, split in zip(rows, cut, strict=True)]


DATASET = Folder()

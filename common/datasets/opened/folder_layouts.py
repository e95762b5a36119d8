"""Class folders as people have them: which folder holds which class of which split.

Read are CLASS/, SPLIT/CLASS/ and CLASS/SPLIT/, below up to three folders that hold nothing else, as
archives unpack them. ``split_words`` says which names are splits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.datasets.opened.labelled_rows import LabelledFile, LabelledRows
from he_compare.common.datasets.reading.class_folders import (
    INNER_NAMES,
    MASK_NAMES,
    files_below,
    subfolders,
    visible_entries,
)
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.inside_folder import refuse_odd_name
from he_compare.common.datasets.reading.split_words import split_folders, split_of
from he_compare.common.errors import DataError
from he_compare.common.types import Split

MAX_WRAPPERS = 3
MAX_FOLDERS = 5000
# Names of parts of a dataset that are neither classes nor splits under a name in use.
PART = re.compile(
    r"(?:fold|part|split|cv|set)[ _-]?\d+|trn|tst|dev|eval|holdout|originals?|augmented",
    re.IGNORECASE,
)
LAYOUTS_READ = (
    "give one sub-folder per class (PATH/ill, PATH/healthy), or train/, test/ and, if you like, "
    "val/ with these in each, or a CSV of file,label[,split][,group]"
)

ListClass = Callable[[Path, str, list[str]], list[str]]


@dataclass(frozen=True)
class ClassFolder:
    """The folder ``path`` (posix, below the root) of a class; ``split``: None where none is given.

    ``label``: the name of the class as the folder spells it.
    """

    split: Split | None
    label: str
    path: str


def unwrapped(root: Path, notes: list[str]) -> Path:
    """Return the folder below those that hold one folder and no image or table. Raises DataError.

    A folder of images alone wraps nothing: it may be the only class.
    """
    for _ in range(MAX_WRAPPERS):
        top = subfolders(root)
        if len(top) != 1 or split_of(top[0]) or loose_images(root) or tables_in(root):
            break
        inner = root / top[0]
        if not subfolders(inner) and not tables_in(inner):
            break
        refuse_odd_name(top[0], f"folder {root.name!r}")
        notes.append(f"the images were read below the folder {top[0]!r}")
        root = inner
    return root


def tables_in(folder: Path) -> list[Path]:
    """Return the tables directly in a folder, in order of name."""
    return [
        entry
        for entry in visible_entries(folder)
        if entry.suffix.lower() in (".csv", ".tsv") and entry.is_file()
    ]


def loose_images(folder: Path) -> list[str]:
    """Return the names of the images directly in a folder."""
    return [
        entry.name
        for entry in visible_entries(folder)
        if entry.suffix.lower() in SUFFIXES and not entry.is_dir()
    ]


def find_class_folders(root: Path, notes: list[str]) -> list[ClassFolder]:
    """Return the class folders in order of split and name. Raises DataError on no known layout."""
    top = subfolders(root)
    if not top:
        raise _no_classes(root)
    if len(top) > MAX_FOLDERS:
        raise DataError(f"{root.name!r} has {len(top):,} sub-folders", fix=LAYOUTS_READ)
    splits = split_folders(top, repr(root.name))
    if splits:
        return _below_splits(root, splits, [name for name in top if name not in splits], notes)
    inner = {name: subfolders(root / name) for name in top}
    for name in [name for name in top if len(inner[name]) > 1 and set(inner[name]) <= set(top)]:
        if _is_copy_of(root, root / name):
            notes.append(_passed_over_copy(name))
            top.remove(name)
    if all(below and all(map(split_of, below)) for below in inner.values()):
        return [
            ClassFolder(split, name, f"{name}/{below}")
            for name in top
            for below, split in split_folders(inner[name], repr(name)).items()
        ]
    _refuse_classes_below(root, inner)
    top = _without_mask_folders(root, top, notes)
    return [ClassFolder(None, name, name) for name in top]


def _refuse_classes_below(root: Path, inner: dict[str, list[str]]) -> None:
    """Refuse parts of a dataset that all hold the same sub-folders: these are the classes."""
    shared = {frozenset(below) for below in inner.values()}
    names = sorted(next(iter(shared)))
    parts = all(PART.fullmatch(one) or one.lower() in INNER_NAMES | MASK_NAMES for one in inner)
    if not parts or len(inner) < 2 or len(shared) > 1 or len(names) < 2:
        return
    first = next((name for name in inner if name.lower() in INNER_NAMES), sorted(inner)[0])
    raise DataError(
        f"the folders {', '.join(map(repr, sorted(inner)[:3]))} of {root.name!r} all hold the same "
        f"sub-folders ({', '.join(map(repr, names[:3]))}): these look like the classes, and no "
        "split is called train, val or test",
        fix=f"name one of them ({root.name}/{first}), rename the splits to train, val and test, or "
        "list the images in a CSV of file,label,split,group",
    )


def _without_mask_folders(root: Path, top: list[str], notes: list[str]) -> list[str]:
    """Pass over a folder of masks beside class folders, if its files are named as theirs."""
    kept = [name for name in top if name.lower() not in MASK_NAMES]
    if len(kept) < 2:
        return top
    stems = {stem for name in kept for stem in _stems(root / name)}
    for name in [name for name in top if name not in kept]:
        own = _stems(root / name)
        if own and {*own} <= stems | {f"{stem}_mask" for stem in stems}:
            notes.append(f"the folder {name!r} holds masks by its name and was passed over")
        else:
            kept.append(name)
    return sorted(kept)


def _stems(folder: Path) -> list[str]:
    return [Path(name).stem for name in files_below(folder)]


def _below_splits(
    root: Path, splits: dict[str, Split], strays: list[str], notes: list[str]
) -> list[ClassFolder]:
    ordered = sorted(splits.items(), key=lambda one: list(Split).index(one[1]))
    for stray in strays:
        if not _is_copy_of(root, root / stray):
            raise DataError(
                f"folder {root.name!r} has {stray!r} beside "
                + ", ".join(f"{name}/" for name, _ in ordered),
                fix="keep only the folders of the splits there (train, val, test), or only "
                "class folders",
            )
        notes.append(_passed_over_copy(stray))
    found = []
    for name, split in ordered:
        place, below = name, subfolders(root / name)
        if len(below) == 1 and split_of(below[0]) is split:  # train/train, as some archives have it
            place, below = f"{name}/{below[0]}", subfolders(root / name / below[0])
        if not below:
            raise _no_classes_in_split(root, place, split)
        found += [ClassFolder(split, label, f"{place}/{label}") for label in below]
    return found


def _passed_over_copy(name: str) -> str:
    return f"the folder {name!r} holds the same files again and was passed over"


def _is_copy_of(root: Path, inner: Path) -> bool:
    """Say whether all files below ``inner`` are below ``root`` as well, by path and size."""
    try:
        files = files_below(inner)
        return bool(files) and all(
            (root / file).stat().st_size == (inner / file).stat().st_size for file in files
        )
    except OSError:
        return False


def _no_classes(root: Path) -> DataError:
    images = len(loose_images(root))
    has = f"{images:,} images and no class folders: their classes are not known"
    return DataError(f"{root.name!r} has {has if images else 'no class folders'}", fix=LAYOUTS_READ)


def _no_classes_in_split(root: Path, place: str, split: Split) -> DataError:
    images, tables = len(loose_images(root / place)), tables_in(root / place)
    unread = f"; {tables[0].name} in it is not read" if tables else ""
    return DataError(
        f"{place}/ has {images:,} images and no class folders: their classes are not known{unread}",
        fix="put one sub-folder per class into it, or write one CSV of file,label,split for all "
        f"splits into {root.name!r}"
        if split is Split.TRAIN or tables
        else f"put one sub-folder per class into it, or move {place}/ out of the folder",
    )


def read_class_folders(
    root: Path, list_class: ListClass, group_by: str, notes: list[str]
) -> LabelledRows:
    """Read the images of class folders; ``list_class`` lists those of one.

    ``group_by``: "folder" where each sub-folder of a class holds the images of one patient; else
    every image is a group of its own. Raises DataError.
    """
    folders = find_class_folders(root, notes)
    given = frozenset(folder.split for folder in folders if folder.split is not None)
    files = []
    for folder in folders:
        refuse_odd_name(folder.path, f"folder {root.name!r}")
        for identity in list_class(root, folder.path, notes):
            group = _patient(folder, identity) if group_by else identity
            split = folder.split or Split.TRAIN
            files.append(LabelledFile(identity, folder.label, group, split))
    if group_by:
        _tell_patients(files, notes)
    return LabelledRows(root, files, given, bool(group_by), f"folder {root.name!r}", notes)


def _patient(folder: ClassFolder, identity: str) -> str:
    """Return the name of the first folder below the class, or below its folder of images."""
    folders = identity.removeprefix(f"{folder.path}/").split("/")[:-1]
    if len(folders) > 1 and folders[0].lower() in INNER_NAMES:
        folders = folders[1:]
    return unicodedata.normalize("NFC", folders[0]) if folders else identity


def _tell_patients(files: list[LabelledFile], notes: list[str]) -> None:
    splits: dict[str, LabelledFile] = {}
    for file in files:
        first = splits.setdefault(file.group, file)
        if first.split is not file.split:
            raise DataError(
                f"the patient folder {file.group!r} is in two splits, {first.split} and "
                f"{file.split} ({first.id!r} and {file.id!r})",
                fix="keep each patient in one split; if numbers begin again in each split, give "
                "the folders names of their own",
            )
    several = len({(file.group, file.label) for file in files}) - len(splits)
    notes.append(
        f"{len(splits):,} patients, one per name of the first folder below a class; folders of one "
        f"name are one patient, whatever their class ({several:,} such folders)"
    )

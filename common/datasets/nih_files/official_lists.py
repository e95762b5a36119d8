"""The official, patient-wise lists of NIH ChestX-ray14, under the names that copies give them.

A list that is there is used or refused by name: none is passed over without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.datasets.nih_files.image_index import image_stem
from he_compare.common.datasets.reading.csv_tables import read_lines
from he_compare.common.errors import DataError

TRAIN_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
# NIH's own names, and those with an addition, as "test_list_NIH.txt" of copies at 224 pixels.
_ADDITION = r"(?:[ _-]?(?:nih|official|v\d+|\(\d+\)))?"
_KNOWN = {
    TRAIN_LIST: re.compile(rf"train[_-]?val[_-]?list{_ADDITION}\.txt", re.IGNORECASE),
    TEST_LIST: re.compile(rf"test[_-]?list{_ADDITION}\.txt", re.IGNORECASE),
}
_LOOKS_LIKE_ONE = re.compile(
    r".*(?:list|split|train|test|val).*\.(?:txt|csv|tsv|lst|json)", re.IGNORECASE
)
# Of NIH's archive, and no list of a split.
_OTHER = re.compile(r"bbox_list_2017.*\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class OfficialLists:
    """File names without ending of both lists, and the names of the files they are from."""

    train: frozenset[str]
    test: frozenset[str]
    train_file: str
    test_file: str


def find_lists(root: Path, tables: frozenset[str]) -> OfficialLists | None:
    """Read the lists beside the table or one folder below it; None where nothing looks like one.

    ``tables``: files that are known to be something else. Raises DataError on one list without the
    other, on two files for one list, and on a file that looks like a list and is not known.
    """
    found: dict[str, list[Path]] = {name: [] for name in _KNOWN}
    unknown: list[str] = []
    for path in _candidates(root):
        shown = path.relative_to(root).as_posix()
        official = next((name for name, form in _KNOWN.items() if form.fullmatch(path.name)), "")
        if official:
            found[official].append(path)
        elif (
            _LOOKS_LIKE_ONE.fullmatch(path.name)
            and not _OTHER.fullmatch(path.name)
            and shown not in tables
        ):
            unknown.append(shown)
    if unknown:
        raise DataError(
            f"{unknown[0]!r} looks like a list of a split, and is none that is known"
            + (f" ({len(unknown)} such files)" if len(unknown) > 1 else ""),
            fix=f"name the official lists {TRAIN_LIST} and {TEST_LIST}, and put others elsewhere",
        )
    for name, paths in found.items():
        if len(paths) > 1:
            both = " and ".join(path.relative_to(root).as_posix() for path in paths[:2])
            raise DataError(f"there are two lists for {name}: {both}", fix="keep one of them")
    present = [name for name, paths in found.items() if paths]
    if len(present) == 1:
        missing = TEST_LIST if present[0] == TRAIN_LIST else TRAIN_LIST
        raise DataError(
            f"there is {found[present[0]][0].name} but no {missing}", fix="add the official list"
        )
    return _read_both(found[TRAIN_LIST][0], found[TEST_LIST][0]) if present else None


def _candidates(root: Path) -> list[Path]:
    """Return the files of the folder and of its sub-folders, without those of images."""
    files = [path for path in root.iterdir() if path.is_file()]
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.lower().startswith(("images", ".", "__")):
            files += [path for path in folder.iterdir() if path.is_file()]
    return sorted(path for path in files if not path.name.startswith("."))


def _read_both(train: Path, test: Path) -> OfficialLists:
    trained, tested = (frozenset(map(image_stem, read_lines(path))) for path in (train, test))
    if both := sorted(trained & tested):
        raise DataError(
            f"{len(both)} images are in both lists, for instance {both[0]!r}",
            fix="fetch the official lists again",
        )
    return OfficialLists(trained, tested, train.name, test.name)

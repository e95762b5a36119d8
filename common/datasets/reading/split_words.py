"""The words by which people name splits: of folders, of tables and in tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from he_compare.common.errors import DataError
from he_compare.common.types import Split

SPLIT_WORDS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "validate": Split.VAL,
    "dev": Split.VAL,
    "development": Split.VAL,
    "test": Split.TEST,
    "testing": Split.TEST,
}
# Words that say nothing beside the name of a split, as in "Training set" and "test_images".
_NEUTRAL = frozenset(
    {"set", "data", "dataset", "image", "images", "img", "imgs", "split", "files", "labels"}
)


def split_of(name: str) -> Split | None:
    """Return the split that a name means ("Training", "valid", "test_images"), else None."""
    split, rest = _parts(name)
    return split if not rest else None


def split_folders(names: Sequence[str], place: str) -> dict[str, Split]:
    """Return the split by folder name for those of ``names`` that are splits; empty for none.

    Folders are splits where one of them means train, or all mean some split. They may share more
    words: "xray_train" and "xray_test". Raises DataError where two mean one split, or where names
    speak of train and test and are no plain names of splits. ``place``: of the folder, for
    messages.
    """
    parts = {name: _parts(name) for name in names}
    named = {name: split for name, (split, _) in parts.items() if split is not None}
    rests = {parts[name][1] for name in named}
    means_train = Split.TRAIN in named.values()
    if not named or not (means_train or len(named) == len(names)):
        return {}
    if len(rests) > 1:
        plain = {name: split for name, split in named.items() if not parts[name][1]}
        if not means_train:
            return {}
        if Split.TRAIN not in plain.values():
            raise DataError(
                f"{place} has folders that look like splits: {', '.join(map(repr, sorted(named)))}",
                fix="name them train, val and test, with one sub-folder per class in each",
            )
        named = plain
    elif len(named) == 1 and rests != {()}:
        return {}
    for split in Split:
        same = sorted(name for name, one in named.items() if one is split)
        if len(same) > 1:
            raise DataError(
                f"{place} has several folders for the {split} split: " + ", ".join(map(repr, same)),
                fix="keep one of them, or put their images together",
            )
    return named


def _parts(name: str) -> tuple[Split | None, tuple[str, ...]]:
    """Return the split that is named and the other words that say something."""
    words = re.findall(r"[^\W_]+", name.casefold())
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    rest = tuple(word for word in words if word not in SPLIT_WORDS and word not in _NEUTRAL)
    return (splits[0], rest) if len(splits) == 1 else (None, rest)

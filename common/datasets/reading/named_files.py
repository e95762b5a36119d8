"""Finding the files that a table names, where tables and folders spell them differently.

A name is taken as it stands where that file exists. Else the folder is searched for the one file
that it can mean: the same name in another Unicode form or in upper and lower case, without or with
another ending, in sub-folders, or below a folder of another machine (``/kaggle/input/x/images/``)
that all names share. Two candidates are refused. Every way that was taken is counted in ``notes``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from he_compare.common.datasets.reading.class_folders import files_below
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.table_text import is_plain
from he_compare.common.errors import DataError

MAX_FOLDERS_NAMED = 5
CASE = "by upper and lower case taken as one"
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")

Parts = tuple[str, ...]


@dataclass(frozen=True)
class _Match:
    """A file by the parts of its path; the ``prefix`` that the table puts before it; and how."""

    parts: Parts
    prefix: Parts = ()
    ways: tuple[str, ...] = ()


class NamedFiles:
    """The files below a folder, to be found by the names of a table.

    ``suffixes``: the endings of images, None where any file may be one.
    """

    def __init__(self, root: Path, suffixes: frozenset[str] | None) -> None:
        self.root = root
        self.suffixes = suffixes
        self._inside = InsideFolder(root)
        self._files: set[str] = set()
        self._by_name: dict[str, list[Parts]] = defaultdict(list)
        self._by_stem: dict[str, list[Parts]] = defaultdict(list)
        self._prefix: Parts | None = None
        self._ways: Counter[str] = Counter()
        self._deeper: Counter[str] = Counter()
        for path in files_below(root):
            parts = PurePosixPath(path).parts
            if suffixes is None or PurePosixPath(path).suffix.lower() in suffixes:
                self._files.add(path)
                self._by_stem[_key(PurePosixPath(path).stem)].append(parts)
            self._by_name[_key(parts[-1])].append(parts)

    def __len__(self) -> int:
        return len(self._files)

    def top_folders(self) -> set[str]:
        """Return the names of the folders directly below the root that have images at any depth."""
        return {top for top, slash, _ in (path.partition("/") for path in self._files) if slash}

    def others(self) -> Counter[str]:
        """Return the number of files that are no images by ending, in lower case."""
        suffixes = Counter[str]()
        for name, paths in self._by_name.items():
            suffix = PurePosixPath(name).suffix
            if self.suffixes is not None and suffix not in self.suffixes and is_plain(suffix):
                suffixes[suffix or "without ending"] += len(paths)
        return suffixes

    def find(self, name: str, where: str) -> str | None:
        """Return the posix path of the file that ``name`` means, None where there is none.

        ``where`` names the source ("labels.csv line 3"). Raises DataError where it leads out of the
        folder, and on two candidates.
        """
        match = self._match(name, where)
        if match is None:
            return None
        if self._prefix is None:
            self._prefix = match.prefix
        elif self._prefix != match.prefix:
            return None
        self._ways.update(match.ways)
        if "in sub-folders" in match.ways:
            self._deeper["/".join(match.parts[:-1])] += 1
        return self._inside.check("/".join(match.parts), where)

    def can_find(self, name: str) -> bool:
        """Say whether one file has this name, without counting it."""
        try:
            return bool(name) and self._match(name, "") is not None
        except DataError:
            return False

    def notes(self, table: str, listed: int) -> list[str]:
        """Say how names were found, and how many images of the folder were not ``listed``."""
        found = []
        if self._prefix:
            # What is before it may name a person or a machine.
            found.append(f"names in {table} begin with another folder, which was taken as this one")
        for way, count in sorted(self._ways.items()):
            where = ""
            if way == "in sub-folders":
                most = self._deeper.most_common(MAX_FOLDERS_NAMED)
                where = f" ({', '.join(f'{n:,} in {folder}' for folder, n in most)})"
            found.append(f"{count:,} files of {table} were found {way}{where}")
        if self.suffixes is not None and listed < len(self):
            found.append(f"{len(self) - listed:,} images of the folder are not in {table}")
        return found

    def _match(self, name: str, where: str) -> _Match | None:
        parts, foreign = self._parts_of(name, where)
        if not parts:
            return None
        path = self.root.joinpath(*parts)
        if not foreign and os.path.lexists(path) and not path.is_dir():
            return _Match(parts)
        last = parts[-1]
        same = self._by_name.get(_key(last), [])
        stem = PurePosixPath(last)
        bare = stem.stem if self.suffixes and stem.suffix.lower() in self.suffixes else ""
        for candidates, way in (
            ([one for one in same if _nfc(one[-1]) == _nfc(last)], ""),
            (same, CASE),
            (self._by_stem.get(_key(last), []), "without their ending"),
            (self._by_stem.get(_key(bare), []) if bare else [], "under another ending"),
        ):
            found = _best(candidates, parts)
            if len(found) > 1:
                named = " and ".join(repr("/".join(one)) for one in sorted(found)[:2])
                raise DataError(
                    f"{where}: {name!r} can mean {len(found)} files, for instance {named}",
                    fix="write the path with its folder and ending into the table",
                )
            if found:
                return _described(found[0], parts, way, foreign)
        return None

    def _parts_of(self, name: str, where: str) -> tuple[Parts, bool]:
        """Return the parts of a name, and whether it begins in a folder of some machine."""
        if "\\" in name and not os.path.lexists(self.root / name):
            name = name.replace("\\", "/")
        foreign = name.startswith("/") or bool(_DRIVE.match(name))
        for root in (self.root.absolute(), self.root.resolve()):
            if foreign and PurePosixPath(name).is_relative_to(root.as_posix()):
                name, foreign = PurePosixPath(name).relative_to(root.as_posix()).as_posix(), False
        parts = tuple(part for part in PurePosixPath(name).parts if part not in ("/", "//"))
        if ".." in parts:
            self._inside.check("/".join(parts), where)
        return parts, foreign


def _key(name: str) -> str:
    return _nfc(name).casefold()


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _best(candidates: list[Parts], parts: Parts) -> list[Parts]:
    """Return the files whose folders agree with what is named, as far as both go; the closest."""
    folders = [_key(part) for part in parts[:-1]]
    ranked: dict[tuple[int, bool], list[Parts]] = defaultdict(list)
    for one in candidates:
        above = [_key(part) for part in one[:-1]]
        depth = min(len(above), len(folders))
        if above[len(above) - depth :] == folders[len(folders) - depth :]:
            ranked[depth, len(above) == len(folders)].append(one)
    return ranked[max(ranked)] if ranked else []


def _described(found: Parts, parts: Parts, way: str, foreign: bool) -> _Match:
    ways = [way] if way else []
    if len(found) > len(parts):
        ways.append("in sub-folders")
    elif not way and found != parts[len(parts) - len(found) :]:
        named = map(_nfc, parts[len(parts) - len(found) :])
        same = tuple(named) == tuple(map(_nfc, found))
        ways.append("in another Unicode form" if same else CASE)
    prefix = parts[: max(0, len(parts) - len(found))]
    return _Match(found, (("/", *prefix) if foreign else prefix), tuple(ways))

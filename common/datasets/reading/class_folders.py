"""Folders whose names are classes: what lies in them, without hidden and system files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.errors import DataError

IGNORED = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in order of name, without hidden and system entries."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in IGNORED
    )


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible sub-folders."""
    return [entry.name for entry in visible_entries(folder) if entry.is_dir()]


def class_images(root: Path, folder: str, notes: list[str]) -> list[str]:
    """Return the image files directly in ``root/folder`` as posix paths relative to ``root``.

    Files with other endings are left out and counted in ``notes``. Raises DataError on an empty
    class, a folder inside the class folder, or a link that leads out of ``root``.
    """
    inside = InsideFolder(root)
    names: list[str] = []
    others: Counter[str] = Counter()
    for entry in visible_entries(root / folder):
        name = f"{folder}/{entry.name}"
        if entry.is_dir():
            raise DataError(
                f"class folder {folder!r} contains the folder {entry.name!r}",
                fix="put images directly into the class folder",
            )
        if entry.suffix.lower() in SUFFIXES:
            names.append(inside.check(name, f"folder {root.name!r}"))
        else:
            others[entry.suffix.lower() or entry.name] += 1
    if not names:
        raise DataError(
            f"class folder {folder!r} has no {', '.join(sorted(SUFFIXES))} images",
            fix="add images or remove the folder",
        )
    if others:
        endings = ", ".join(f"{count} x {ending}" for ending, count in sorted(others.items()))
        notes.append(f"other files in {folder} were left out: {endings}")
    return names

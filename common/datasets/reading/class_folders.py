"""Folders whose names are classes: what lies in them, without hidden and system files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.errors import DataError

# What systems and archives leave behind, in lower case; names that begin with a dot are hidden.
IGNORED = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
    }
)


def is_debris(name: str) -> bool:
    """Say whether a file or folder is hidden or left behind by a system, an archive or an editor.

    Such entries are passed over wherever files are listed; ``debris_note`` counts them.
    """
    return name.startswith((".", "~$")) or name.lower() in IGNORED


def debris_note(root: Path) -> str:
    """Return a sentence that counts what is passed over at any depth below ``root``, or ''.

    A folder counts as one entry. Names that are not known from systems are not repeated.
    """
    found: Counter[str] = Counter()
    for _, folders, files in os.walk(root):
        found.update(_kind_of_debris(name) for name in (*folders, *files) if is_debris(name))
        folders[:] = [name for name in folders if not is_debris(name)]
    if not found:
        return ""
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(found.items()))
    return f"hidden and system files and folders were passed over: {kinds}"


def _kind_of_debris(name: str) -> str:
    if name.startswith("._"):
        return "._*"
    if name.lower() in IGNORED or name in (".DS_Store", ".ipynb_checkpoints", ".git"):
        return name.strip()
    return "~$*" if name.startswith("~$") else "other hidden"


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in order of name, without hidden and system entries.

    Raises DataError where the folder cannot be listed.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not is_debris(entry.name))
    except OSError as error:
        raise DataError(
            f"cannot list folder {folder.name!r}: {error.strerror}",
            fix="check that it is there and may be read, and that nothing changes it meanwhile",
        ) from None


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

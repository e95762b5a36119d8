"""What lies in a run folder and is not listed in its sums: added, left over, or being written now.

Added is every file that nobody listed, hidden ones and links too, and every empty folder that is
none of a run's own. Left over is what only a command that was killed leaves: half-written files,
and what a run shared with its workers. Both are faults. The lock of a command that was killed is
none: it holds nothing and blocks nobody. What a process that lives writes there now is its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.run.folder_claim import LOCK, SHARED_FILES, is_left_over, owner_of

# Folders that a run makes, and may leave empty; one of attacks holds a folder for each.
OWN_FOLDERS = ("predictions", "tape", "attacks", "artefacts", "report", "report/figures")
OF_ATTACKS = "attacks"


@dataclass(frozen=True)
class Unlisted:
    """Names in the folder, those of folders with a slash at their end. ``notes``: no faults."""

    added: list[str]
    left: list[str]
    notes: list[str]


def unlisted_entries(folder: Path, listed: Collection[str]) -> Unlisted:
    """Sort what lies in a folder and is not listed."""
    owner = owner_of(folder)
    added, left, notes = [], [], []
    if owner.lives:
        notes.append(f"{owner.words} is writing this folder now: what it is doing is not checked")
    for name in entries(folder):
        if name in listed:
            continue
        if name == LOCK and owner.is_lock:
            if not owner.lives:
                notes.append(f"{LOCK} was left by a command that was killed: it blocks nobody")
        elif is_left_over(name) or name.partition("/")[0] == SHARED_FILES:
            left += [] if owner.lives else [name]
        else:
            added.append(name)
    return Unlisted(added, left, notes)


def entries(folder: Path) -> list[str]:
    """Return the names of all that lies in a folder, sorted: files, links, empty folders.

    Folders have a slash at their end; those that a run makes itself are left out.
    """
    found = []
    for here, folders, files in os.walk(folder):
        place = Path(here)
        links = [one for one in folders if (place / one).is_symlink()]
        found += [(place / one).relative_to(folder).as_posix() for one in (*files, *links)]
        if not (files or folders or place == folder or _is_own(place.relative_to(folder))):
            found.append(f"{place.relative_to(folder).as_posix()}/")
    return sorted(found)


def _is_own(place: Path) -> bool:
    return place.as_posix() in OWN_FOLDERS or place.parent.as_posix() == OF_ATTACKS

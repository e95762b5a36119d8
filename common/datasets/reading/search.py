"""Where data is looked for: ``--data-dir``, then ``COMPARE_DATA``, then the user cache.

Each place may be the dataset itself or a folder that contains ``<name>/``. A ``--data-dir`` that is
given is the only place searched: no other images are used instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.errors import DataError

ENVIRONMENT_VARIABLE = "COMPARE_DATA"


@dataclass(frozen=True)
class Place:
    """A folder to look at and who named it."""

    origin: str
    path: Path


def data_cache(name: str) -> Path:
    """Return the folder of the user cache where downloaded data of this name is kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("he-compare", appauthor=False)) / "data" / name


def places_to_search(name: str, data_dir: Path | None) -> list[Place]:
    """Return the folders in which to look for a dataset, in order."""
    if data_dir is not None:
        return _with_named_subfolder(name, data_dir.expanduser(), "--data-dir")
    found: list[Place] = []
    named = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    if named:
        found += _with_named_subfolder(name, Path(named).expanduser(), ENVIRONMENT_VARIABLE)
    return [*found, Place("user cache", data_cache(name))]


def _with_named_subfolder(name: str, folder: Path, origin: str) -> list[Place]:
    return [Place(origin, folder), Place(origin, folder / name)]


def locate(
    name: str,
    data_dir: Path | None,
    wanted: Callable[[Path], Path | None],
    description: str,
) -> tuple[Path | None, str]:
    """Return what ``wanted`` finds in the first place that has it, and an account of the places.

    ``wanted`` maps an existing folder to the path of the data in it, or None; ``description`` says
    what it looks for ("labels.csv or train/ and test/").
    """
    account: list[str] = []
    for place in places_to_search(name, data_dir):
        try:
            missing = _why_unusable(place.path)
            found = None if missing else wanted(place.path)
        except OSError as error:
            found, missing = None, f"cannot be read: {error.strerror}"
        if found is not None:
            return found, ""
        account.append(f"{place.path} ({place.origin}: {missing or f'no {description}'})")
    return None, "; ".join(account)


def passed_over(name: str, found: Path) -> list[str]:
    """Return a note where ``COMPARE_DATA`` is set but the data was found elsewhere.

    The note names no folder: it goes into records.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    if not named or found.is_relative_to(Path(named).expanduser()):
        return []
    lacks = "lacks" if Path(named).expanduser().is_dir() else "does not exist and so lacks"
    return [f"the folder of {ENVIRONMENT_VARIABLE} {lacks} {name}: it was found elsewhere"]


def require(
    name: str,
    data_dir: Path | None,
    wanted: Callable[[Path], Path | None],
    description: str,
) -> Path:
    """Return the path of the data. Raises DataError that lists each place and what it lacks."""
    found, account = locate(name, data_dir, wanted, description)
    if found is None:
        raise DataError(
            f"no {name} data found; looked in {account}",
            fix=f"pass its folder with --data-dir, or set {ENVIRONMENT_VARIABLE} to a folder "
            f"that contains {name}/",
        )
    return found


def _why_unusable(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    if not folder.is_dir():
        return "not a folder"
    with os.scandir(folder) as entries:
        return "" if any(True for _ in entries) else "empty"

"""Where the data sets of a study lie on this machine, and their plans.

Paths in ``folder:PATH`` and ``dicom:PATH`` are relative to ``--data-dir``, else to what
``COMPARE_DATA`` names, else to the folder of the study file. Nothing stands in for data that is
missing: a study is about the data sets that it names.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.search import ENVIRONMENT_VARIABLE
from he_compare.comparisons.cluster.who_runs import Staff
from he_compare.comparisons.measuring.data_access import data_policy
from he_compare.comparisons.measuring.dataset_opening import find_family
from he_compare.comparisons.one_run import DataAsked, settled_weights
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.studying.study_file import AskedSet, AskedStudy
from he_compare.comparisons.user_folders import default_key_file

if TYPE_CHECKING:
    from he_compare.comparisons.measuring.plan import RunPlan

# From a root on, up to what cannot be of its name, or not without quotes.
_PATHS = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?[\\/][^\s();,'\"]+")


@dataclass(frozen=True)
class StudyPlace:
    """Where a study finds its data and its key. ``key``: None for the user's."""

    data_dir: Path | None = None
    key: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class PlannedSet:
    """A data set that is there, planned: its images are in the store, not in memory."""

    plan: RunPlan
    asked: DataAsked


def data_asked(study: AskedStudy, one: AskedSet, place: StudyPlace) -> DataAsked:
    """Return how the data of a row is looked for: never a substitute."""
    return DataAsked(one.dataset, _folder_of(study, one, place), place.offline, True)


def _folder_of(study: AskedStudy, one: AskedSet, place: StudyPlace) -> Path | None:
    """Return the folder that a path of the study file is relative to; None for no such path."""
    family, argument = find_family(one.dataset)
    if place.data_dir is not None or getattr(family, "takes_path", None) is not True:
        return place.data_dir
    if not argument or Path(argument).expanduser().is_absolute():
        return None
    named = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    folders = [Path(named)] if named else []
    folders += [study.folder] if study.folder else []
    there = (folder for folder in folders if _exists(folder / argument))
    return next(there, folders[0] if folders else None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no name of a file
        return False


def without_paths(words: str, *roots: Path | None) -> str:
    """Return words with ``PATH`` in the place of paths of this machine, for records."""
    named = [os.environ.get(ENVIRONMENT_VARIABLE, ""), str(Path.home()), str(Path.cwd())]
    named += [str(one) for one in roots if one is not None]
    for root in sorted(filter(lambda one: len(one) > 1, named), key=len, reverse=True):
        words = words.replace(root, "/PATH")
    return _PATHS.sub("PATH", words)


def plan_set(
    study: AskedStudy, one: AskedSet, place: StudyPlace, staff: Staff, progress: ProgressReporter
) -> PlannedSet:
    """Plan the run of a row. Raises DataError where this machine lacks its data, UsageError."""
    from he_compare.comparisons.measuring.planning import make_plan

    asked = data_asked(study, one, place)
    config = settled_weights(one.config, place.offline, progress)
    with data_policy(place.offline, True, progress):
        plan = make_plan(
            config,
            one.dataset,
            asked.data_dir,
            place.key or default_key_file(),
            threads=staff.threads,
        )
    return PlannedSet(plan, asked)

"""The base class of dataset families: a new dataset is one file with a card and a way to open it.

A family finds its data on this machine and opens it as an ``OpenDataset`` (``contracts.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from he_compare.common.contracts import OpenDataset
from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest
from he_compare.common.run.records import DatasetCard

PATH_MARKS = "/\\~:"


class DatasetFamily(ABC):
    """What a dataset plug-in assigns to ``DATASET``.

    ``name``: as on the command line. ``subsets``: the first is the default. ``takes_path``: whether
    the argument (``NAME:ARGUMENT``) is a path of this machine, which is then never written into
    records, folder names or commands; None, where the family does not say, stands for "yes, if it
    looks like one".
    """

    name: str
    subsets: tuple[str, ...] = ("all",)
    takes_path: bool | None = None

    @abstractmethod
    def card(self) -> DatasetCard:
        """Return the card without opening any data."""

    @abstractmethod
    def open_subset(
        self, subset: str, argument: str, data_dir: Path | None, seed: int
    ) -> OpenDataset:
        """Find and validate the data of one of ``subsets``.

        ``argument`` is what follows ``NAME:``, '' for none; ``data_dir`` is ``--data-dir`` where it
        is given; ``seed`` is for splits that have to be cut. Raises DataError that says where data
        was looked for and what to do.
        """

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Open a subset, the first where ``subset`` is ''.

        Raises UnknownNameError on a subset that does not exist, DataError as ``open_subset`` does.
        """
        return self.open_subset(
            choose_subset(self.name, subset, self.subsets), argument, data_dir, seed
        )

    def example(self, folder: Path) -> str | None:
        """Write a tiny valid dataset into an empty folder, for tests.

        Return the argument with which ``open`` reads it, given the folder as ``data_dir``. A family
        that returns None is tested without data only.
        """
        return None


def choose_subset(dataset: str, subset: str, known: tuple[str, ...]) -> str:
    """Return the subset asked for, the first where '' is asked. Raises UnknownNameError."""
    if not subset:
        return known[0]
    if subset not in known:
        raise UnknownNameError(
            f"dataset {dataset!r} has no subset {subset!r}", fix=nearest(subset, list(known))
        )
    return subset


def is_path(family: DatasetFamily, argument: str, data_dir: Path | None) -> bool:
    """Say whether the argument of a dataset has to be kept out of everything that is written.

    Where the family does not say, an argument is a path if it has a mark of one or exists.
    """
    said = getattr(family, "takes_path", None)  # third parties may not derive from the base class
    if said is not None:
        return bool(said)
    if any(mark in argument for mark in PATH_MARKS):
        return True
    try:
        return any((place / argument).exists() for place in (Path(), data_dir or Path()))
    except OSError:
        return True

"""The base class of dataset families: a new dataset is one file with a card and a way to open it.

A family finds its data on this machine and opens it as an ``OpenDataset`` (``contracts.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from he_compare.common.contracts import OpenDataset
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.reading_options import NOTHING_ASKED, ReadingOptions
from he_compare.common.run.records import DatasetCard

PATH_MARKS = "/\\~:"


@dataclass(frozen=True)
class DataRequest:
    """What a family is asked to open.

    ``subset``: one of the family's. ``argument``: what follows ``NAME:``, or ''. ``data_dir``:
    ``--data-dir`` where it is given. ``seed``: for splits that have to be cut. ``reading``: only
    what the family ``understands`` is ever set.
    """

    subset: str
    argument: str = ""
    data_dir: Path | None = None
    seed: int = 0
    reading: ReadingOptions = field(default_factory=ReadingOptions)


class DatasetFamily(ABC):
    """What a dataset plug-in assigns to ``DATASET``.

    ``name``: as on the command line. ``subsets``: the first is the default. ``takes_path``: whether
    the argument (``NAME:ARGUMENT``) is a path of this machine, which is then never written into
    records, folder names or commands; None, where the family does not say, stands for "yes, if it
    looks like one". ``understands``: the names of the ``ReadingOptions`` it can follow.
    """

    name: str
    subsets: tuple[str, ...] = ("all",)
    takes_path: bool | None = None
    understands: frozenset[str] = frozenset()

    @abstractmethod
    def card(self) -> DatasetCard:
        """Return the card without opening any data."""

    @abstractmethod
    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Find and validate the data that is asked for.

        Raises DataError that says where data was looked for and what to do.
        """

    def open(
        self,
        argument: str,
        data_dir: Path | None,
        subset: str,
        seed: int,
        reading: ReadingOptions = NOTHING_ASKED,
    ) -> OpenDataset:
        """Open a subset, the first where ``subset`` is ''.

        Raises UnknownNameError on a subset that does not exist, UsageError on a reading option that
        the family does not follow, DataError as ``open_subset`` does.
        """
        for name in reading.asked_for():
            if name not in self.understands:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"dataset {self.name!r} does not take {option}", fix=f"leave {option} out"
                )
        chosen = choose_subset(self.name, subset, self.subsets)
        return self.open_subset(DataRequest(chosen, argument, data_dir, seed, reading))

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

"""What is known of each 2-D set of MedMNIST v2 without opening it, read from ``known_sets.toml``.

The facts are copied because importing the ``medmnist`` package takes seconds. A new set is a table
there and a line in ``NAMES`` of ``common/datasets/medmnist.py``, which plug-ins are listed by.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from he_compare.common.run.records import DatasetCard

TABLE = Path(__file__).with_name("known_sets.toml")
SIZES = (28, 64, 128, 224)
ARCHIVE = "doi:10.5281/zenodo.10519652"
PAPER = "Yang et al.: MedMNIST v2, Scientific Data 10:41, 2023, doi:10.1038/s41597-022-01721-8"
NO_PATIENTS = (
    "Patients are not known: every image counts as a patient of its own, so that splits may share "
    "patients and intervals may be too narrow."
)
SMALL = "28 x 28 pixels keep little of what a physician looks at; not for clinical use."


@dataclass(frozen=True)
class MedMnistSet:
    """One set.

    ``counts``: images of train, val and test. ``task``: as MedMNIST calls it. ``md5``: of the npz
    file by side in pixels. ``source`` and ``paper`` are those of the original images.
    ``collection``: as other datasets of the same images name it; '' for a collection of its own.
    """

    name: str
    description: str
    source: str
    paper: str
    task: str
    classes: tuple[str, ...]
    channels: int
    counts: tuple[int, int, int]
    md5: Mapping[int, str]
    caveats: tuple[str, ...]
    positive_class: str = ""
    licence: str = "CC BY 4.0"
    collection: str = ""

    def card(self, title: str) -> DatasetCard:
        """Return the card of the set under a title."""
        train, val, test = (f"{count:,}" for count in self.counts)
        return DatasetCard(
            name=self.name,
            title=title,
            description=f"{self.description} Published split: {train} train, {val} validation and "
            f"{test} test images.",
            source=f"MedMNIST v2, {ARCHIVE}; images of {self.source}",
            licence=self.licence,
            citation=f"{PAPER}; {self.paper}",
            caveats=[*self.caveats, SMALL, NO_PATIENTS],
            classes=list(self.classes),
            positive_class=self.positive_class,
            native_size="28 x 28; 64, 128 or 224 in the larger sets",
            collections=[self.collection or self.name],
        )


def known_set(name: str) -> MedMnistSet:
    """Return the facts about a set by its name. Raises KeyError on a set that is not in the table.

    A set that is ``like`` another one states only what differs.
    """
    table = _table()
    own = dict(table[name])
    like = own.pop("like", "")
    values = {**table[like], **own} if like else own
    for field in ("classes", "counts", "caveats"):
        values[field] = tuple(values[field])
    values["md5"] = {int(size): digest for size, digest in values["md5"].items()}
    return MedMnistSet(name=name, **values)


def known_names() -> frozenset[str]:
    """Return the names of all sets of the table."""
    return frozenset(_table())


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))

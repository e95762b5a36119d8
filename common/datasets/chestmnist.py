"""ChestMNIST: fourteen findings in adult chest radiographs, one of them at a time (MedMNIST v2).

An image of this set can have several findings; this toolkit gives every image one label. So
``chestmnist`` asks whether an image has any finding, ``chestmnist:pneumonia`` whether it has that
one, whatever else it has. ``chestmnist:pneumonia,64`` names a size as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.medmnist_sets.example_npz import write_example_npz
from he_compare.common.datasets.medmnist_sets.known_sets import known_set
from he_compare.common.datasets.medmnist_sets.npz_arrays import finding_table, read_splits
from he_compare.common.datasets.medmnist_sets.npz_files import (
    file_name,
    find_or_fetch,
    origin_notes,
    size_of,
)
from he_compare.common.datasets.medmnist_sets.published_split import published_split
from he_compare.common.datasets.opened.one_finding import (
    AnyOrOne,
    choose_finding,
    refuse_multi_label,
)
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, UInt8Array

TITLE = "ChestMNIST: adult chest X-rays, a finding or none"
FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural",
    "hernia",
)
FACTS = known_set("chestmnist")


class ChestMnist(DatasetFamily):
    """The family: a finding to ask for, and one npz file per size."""

    name = FACTS.name
    subsets = ("published",)
    takes_path = False

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return FACTS.card(TITLE)

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Find or fetch the npz and validate it. ``argument``: [FINDING][,SIZE]."""
        finding, size = _parse(request.argument)
        path = find_or_fetch(FACTS, size, request.data_dir)
        images, stored = read_splits(path, size, FACTS.channels)
        asked = AnyOrOne(FINDINGS, finding)
        labels = {
            split: asked.labels(finding_table(path, split, table, FINDINGS))
            for split, table in stored.items()
        }
        facts = replace(FACTS, classes=asked.classes, positive_class=asked.classes[1])
        notes = [asked.note(), *origin_notes(FACTS, path, size)]
        return published_split(facts.card(TITLE), images, labels, notes)

    def example(self, folder: Path) -> str:
        """Write the npz of the 28-pixel set, in which half of the images have pneumonia."""
        write_example_npz(folder / file_name(self.name, 28), 2, FACTS.channels, _pneumonia)
        return ""


def _pneumonia(labels: IntArray) -> UInt8Array:
    table = np.zeros((len(labels), len(FINDINGS)), np.uint8)
    table[:, FINDINGS.index("pneumonia")] = labels
    return table


def _parse(argument: str) -> tuple[str, int]:
    """Return the finding ('' for any) and the size of ``[FINDING][,SIZE]``."""
    words = [word.strip() for word in argument.split(",") if word.strip()]
    sizes = [word for word in words if word.isdigit()]
    named = [word for word in words if not word.isdigit()]
    if len(named) > 1 or len(sizes) > 1:
        raise refuse_multi_label(FACTS.name, argument)
    return (
        choose_finding(FACTS.name, named[0] if named else "", FINDINGS),
        size_of(FACTS.name, sizes[0] if sizes else ""),
    )


DATASET = ChestMnist()

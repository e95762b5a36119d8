"""The 2-D sets of MedMNIST v2 with one label per image, in 28 to 224 pixels per side.

``NAMES`` is read without importing this file, as for every plug-in, so it is written out here. What
else is known of a set is in ``medmnist_sets/known_sets.toml``: a new set is a line here and a table
there.

``NAME`` is the 28-pixel set, ``NAME:224`` (64, 128) a larger one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.medmnist_sets.example_npz import write_example_npz
from he_compare.common.datasets.medmnist_sets.known_sets import MedMnistSet, known_set
from he_compare.common.datasets.medmnist_sets.npz_files import file_name, find_or_fetch, size_of
from he_compare.common.datasets.medmnist_sets.published_split import open_single_label
from he_compare.common.run.records import DatasetCard

NAMES = {
    "bloodmnist": "BloodMNIST: eight kinds of blood cells",
    "breastmnist": "BreastMNIST: breast ultrasound, malignant or not",
    "dermamnist": "DermaMNIST: seven kinds of pigmented skin lesions",
    "octmnist": "OCTMNIST: retinal OCT, three diseases or normal",
    "organamnist": "OrganAMNIST: eleven organs in axial CT slices",
    "organcmnist": "OrganCMNIST: eleven organs in coronal CT slices",
    "organsmnist": "OrganSMNIST: eleven organs in sagittal CT slices",
    "pathmnist": "PathMNIST: nine tissue types in colorectal histology",
    "pneumoniamnist": "PneumoniaMNIST: small paediatric chest X-rays, normal or pneumonia",
    "retinamnist": "RetinaMNIST: diabetic retinopathy in five grades",
    "tissuemnist": "TissueMNIST: eight kinds of kidney cortex cells",
}


class MedMnist(DatasetFamily):
    """The family of one set: one npz file per size."""

    subsets = ("published",)
    takes_path = False

    def __init__(self, facts: MedMnistSet) -> None:
        self.facts = facts
        self.name = facts.name

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return self.facts.card(NAMES[self.name])

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Find or fetch the npz and validate it. ``argument``: pixels per side."""
        size = size_of(self.name, request.argument)
        path = find_or_fetch(self.facts, size, request.data_dir)
        return open_single_label(self.facts, self.card(), path, size)

    def example(self, folder: Path) -> str:
        """Write the npz of the 28-pixel set, with a few images of each class."""
        path = folder / file_name(self.name, 28)
        classes = len(self.facts.classes)
        write_example_npz(
            path, classes, self.facts.channels, lambda labels: labels[:, None].astype(np.uint8)
        )
        return ""


DATASET = {name: MedMnist(known_set(name)) for name in NAMES}

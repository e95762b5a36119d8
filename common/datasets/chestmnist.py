"""ChestMNIST: fourteen findings in adult chest radiographs, one of them at a time (MedMNIST v2).

An image of this set can have several findings; this toolkit gives every image one label. So
``chestmnist`` asks whether an image has any finding, ``chestmnist:pneumonia`` whether it has that
one, whatever else it has. ``chestmnist:pneumonia,64`` names a size as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.medmnist import (
    MedMnistFacts,
    find_or_fetch,
    finding_table,
    origin_notes,
    read_splits,
    size_of,
)
from he_compare.common.datasets.opened.arrays import (
    ArrayImages,
    index_of,
    pixel_digests,
    shared_pixels_note,
)
from he_compare.common.datasets.opened.labels import (
    AnyOrOne,
    choose_finding,
    choose_subset,
    refuse_multi_label,
)
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.run.records import DatasetCard

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
FACTS = MedMnistFacts(
    name="chestmnist",
    title="ChestMNIST: adult chest X-rays, a finding or none",
    description="Frontal chest radiographs of 30,805 patients with fourteen findings mined from "
    "reports; one finding at a time, or any of them, against its absence.",
    source="NIH ChestX-ray14 (Wang et al. 2017)",
    paper="Wang et al.: ChestX-ray8, CVPR 2017, doi:10.1109/CVPR.2017.369",
    task="multi-label, binary-class",
    classes=("no finding", "finding"),
    positive_class="finding",
    channels=1,
    counts=(78_468, 11_219, 22_433),
    md5={
        28: "02c8a6516a18b556561a56cbdd36c4a8",
        64: "9de6cd0b934ebb5b7426cfba5efbae16",
        128: "db107e5590b27930b62dbaf558aebee3",
        224: "45bd33e6f06c3e8cdb481c74a89152aa",
    },
    caveats=(
        "Labels were mined from reports by a program and are wrong for part of the images.",
        "An image without the chosen finding may have others.",
        "The published split is by patient, but the file does not name patients.",
    ),
)


class ChestMnist:
    """The family: a finding to ask for, and one npz file a size."""

    name = FACTS.name
    subsets = ("published",)

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return FACTS.card()

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Find or fetch the npz and validate it. ``argument``: [FINDING][,SIZE]."""
        subset = choose_subset(self.name, subset, self.subsets)
        finding, size = _parse(argument)
        path = find_or_fetch(FACTS, size, data_dir)
        images, stored = read_splits(path, size, FACTS.channels)
        asked = AnyOrOne(FINDINGS, finding)
        splits = {
            split: index_of(split, asked.labels(finding_table(path, split, table, FINDINGS)))
            for split, table in stored.items()
        }
        check_splits(splits, asked.classes)
        notes = [
            asked.note(),
            *origin_notes(FACTS, path, size),
            shared_pixels_note(pixel_digests(images)),
        ]
        facts = replace(FACTS, classes=asked.classes, positive_class=asked.classes[1])
        return ArrayImages(facts.card(), subset, images, splits, notes)


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

"""Paediatric chest radiographs, NORMAL or PNEUMONIA (Kermany et al. 2018).

Two layouts are read: a folder with ``labels.csv`` (and ``subset.csv`` for the balanced choice), or
the published tree ``train|test/NORMAL|PNEUMONIA``, with or without ``chest_xray/`` around it. Where
neither is found, ``embedded/substitutes.py`` says what is used instead.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.embedded.substitutes import MARKERS, open_substitute
from he_compare.common.datasets.opened.balancing import (
    BALANCED_PER_CLASS,
    balance,
    without_tested_groups,
)
from he_compare.common.datasets.opened.indexed import ImageRow, IndexedImages
from he_compare.common.datasets.opened.labels import label_number
from he_compare.common.datasets.opened.row_splits import cut_rows
from he_compare.common.datasets.reading.class_folders import class_images
from he_compare.common.datasets.reading.copies import find_twins
from he_compare.common.datasets.reading.csv_tables import read_table
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.search import locate, passed_over
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import Split

CLASSES = ("NORMAL", "PNEUMONIA")
VALIDATION_SHARE = 0.1
WANTED = "labels.csv and no train/ and test/ folders"
TABLE_RULE = "pixel_md5 of the table"
_PATIENT = re.compile(r"^(person\d+|(?:NORMAL2-)?IM-\d+)(?=[_\-.])")

CARD = DatasetCard(
    name="chestxray",
    title="Paediatric chest X-rays: normal or pneumonia",
    description="Anterior-posterior chest radiographs of children of one to five years from one "
    "hospital in Guangzhou, labelled normal or pneumonia (bacterial or viral).",
    source="Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
    "Images for Classification, Mendeley Data V2, 2018, doi:10.17632/rscbjbr9sj.2",
    licence="CC BY 4.0",
    citation="Kermany et al.: Identifying Medical Diagnoses and Treatable Diseases by Image-Based "
    "Deep Learning, Cell 172(5):1122-1131, 2018, doi:10.1016/j.cell.2018.02.010",
    caveats=[
        "Children of one to five years only: results do not carry over to adults.",
        "Images are squashed to a square; copies at 224 x 224 pixels were also compressed again.",
        "170 personN ids of the published data occur in both train and test. The numbering may "
        "restart in each split, which is not known; the published split keeps them, so that train "
        "and test may share patients.",
        "The published test split is shifted from train.",
        MARKERS,
        "Patient groups come from file names and may not be patients.",
    ],
    classes=list(CLASSES),
    positive_class="PNEUMONIA",
    native_size="varies; 224 x 224 in resized copies",
    collections=["kermany-chest-2018"],
)


class ChestXray(DatasetFamily):
    """The family: published split with validation cut from train, or a balanced choice."""

    name = "chestxray"
    subsets = ("published", "balanced")
    takes_path = False

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return CARD

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Find and validate the data, or open what stands in for it. Raises DataError."""
        if request.argument:
            raise DataError(
                f"dataset 'chestxray' takes no argument, got {request.argument!r}",
                fix="pass the folder with --data-dir",
            )
        root, account = locate(self.name, request.data_dir, find_root, WANTED)
        if root is None:
            return open_substitute(CARD, request.data_dir, request.subset, request.seed, account)
        from_table = (root / "labels.csv").is_file()
        notes = passed_over(self.name, root) if request.data_dir is None else []
        if request.subset == "balanced" and (root / "subset.csv").is_file():
            rows, compared = read_labels(root, "subset.csv"), TABLE_RULE
            notes.append("balanced choice of subset.csv")
        else:
            if from_table:
                rows, compared = read_labels(root, "labels.csv"), TABLE_RULE
            else:
                rows, compared = read_tree(root, notes)
            notes += _origin_notes(rows, from_table)
            rows = (
                _balanced(rows, request.seed, notes)
                if request.subset == "balanced"
                else _published(rows, request.seed, notes)
            )
        return IndexedImages.from_rows(
            CARD,
            request.subset,
            root,
            rows,
            notes,
            compared if any(row.twin for row in rows) else "",
        )

    def example(self, folder: Path) -> str:
        """Write the published tree, with two images of each of a few patients."""
        for split, patients in (("train", 10), ("test", 4)):
            for label, name in enumerate(CLASSES):
                for number in range(2 * patients):
                    patient = f"{split}{number // 2}"
                    file = folder / split / name / f"{patient}_{number % 2}.png"
                    write_example_picture(file, label, number + 100 * patients)
        return ""


def find_root(folder: Path) -> Path | None:
    """Return the folder that holds labels.csv or the published tree, at most two levels down."""
    for root in (folder, folder / "chest_xray", folder / "chest_xray" / "chest_xray"):
        if (root / "labels.csv").is_file() or (root / "train").is_dir() or (root / "test").is_dir():
            return root
    return None


def read_labels(root: Path, file: str) -> list[ImageRow]:
    """Read rows of labels.csv or subset.csv. Raises DataError naming line, value and fix."""
    table = read_table(root / file, ("file", "label", "split", "group"), ("pixel_md5", "duplicate"))
    inside = InsideFolder(root)
    rows: list[ImageRow] = []
    seen: dict[str, int] = {}
    splits, labels, groups = (table.column(name) for name in ("split", "label", "group"))
    for i, name in enumerate(table.column("file")):
        identity = inside.check(name, table.where(i))
        if identity in seen:
            first = seen[identity]
            what = (
                f"in two splits, {splits[first]} and {splits[i]}"
                if splits[first] != splits[i]
                else "listed twice"
            )
            raise DataError(
                f"{file}: image {identity!r} is {what} (lines {table.lines[first]} and "
                f"{table.lines[i]})",
                fix="keep one of the lines",
            )
        seen[identity] = i
        if splits[i] not in list(Split):
            raise DataError(
                f"{table.where(i)}: split {splits[i]!r} is not one of train, val, test",
                fix="correct that line",
            )
        rows.append(
            ImageRow(
                id=identity,
                label=label_number(labels[i], CLASSES, table.where(i)),
                group=groups[i],
                split=Split(splits[i]),
                twin=table.column("pixel_md5")[i] if "pixel_md5" in table else "",
            )
        )
    return rows


def read_tree(root: Path, notes: list[str]) -> tuple[list[ImageRow], str]:
    """List the published tree, and say how copies were found.

    A small ``val/`` of later copies is joined to train.
    """
    rows: list[ImageRow] = []
    for folder, split in (("train", Split.TRAIN), ("val", Split.TRAIN), ("test", Split.TEST)):
        if folder == "val" and not (root / folder).is_dir():
            continue
        for label, name in enumerate(CLASSES):
            if not (root / folder / name).is_dir():
                raise DataError(
                    f"{root.name}/ has no folder {folder}/{name}",
                    fix="unpack the published archive again",
                )
            for identity in class_images(root, f"{folder}/{name}", notes):
                rows.append(ImageRow(identity, label, patient_of(identity), split))
        if folder == "val":
            notes.append("val/ was joined to train before the validation split was cut")
    twins = find_twins(root, [row.id for row in rows])
    notes.append(twins.note())
    return [replace(row, twin=twins.keys.get(row.id, "")) for row in rows], twins.rule


def patient_of(identity: str) -> str:
    """Return the patient-like id in a published file name, else the name itself."""
    path = PurePosixPath(identity)
    match = _PATIENT.match(path.name)
    return match.group(1) if match else path.stem


def cut_validation(rows: list[ImageRow], seed: int, notes: list[str]) -> list[ImageRow]:
    """Cut about a tenth of train, by patient group and class, unless there is a val split."""
    if any(row.split is Split.VAL for row in rows):
        notes.append("train, validation and test split as published in labels.csv")
        return rows
    train = [row for row in rows if row.split is Split.TRAIN]
    cut = cut_rows(train, {Split.VAL: VALIDATION_SHARE}, seed, CARD.name)
    moved = sum(row.split is Split.VAL for row in cut)
    notes.append(
        f"published train and test split; {moved} of {len(train)} training images are the "
        f"validation split, cut by patient group with seed {seed}"
    )
    return cut + [row for row in rows if row.split is Split.TEST]


def _published(rows: list[ImageRow], seed: int, notes: list[str]) -> list[ImageRow]:
    """Keep the published split, in which an id that restarts in test is another patient."""
    notes.append("an id of train and the same id of test count as different patients")
    return [
        replace(row, group=f"{Split.TEST if row.split is Split.TEST else Split.TRAIN}/{row.group}")
        for row in cut_validation(rows, seed, notes)
    ]


def _balanced(rows: list[ImageRow], seed: int, notes: list[str]) -> list[ImageRow]:
    """Choose a balanced part, in which no id occurs in two splits."""
    rows = cut_validation(without_tested_groups(rows, notes), seed, notes)
    return balance(rows, BALANCED_PER_CLASS, seed, notes)


def _origin_notes(rows: list[ImageRow], from_table: bool) -> list[str]:
    held = {split: {row.group for row in rows if row.split is split} for split in (*Split,)}
    shared = len((held[Split.TRAIN] | held[Split.VAL]) & held[Split.TEST])
    notes = [f"{shared} patient-like ids occur in both published train and test"]
    if not from_table:
        return notes
    copies = sum(count - 1 for count in Counter(row.twin for row in rows if row.twin).values())
    return [
        f"{copies} images are exact copies of another one (compared by pixels, according to "
        "labels.csv)",
        *notes,
    ]


DATASET = ChestXray()

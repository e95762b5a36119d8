"""NIH ChestX-ray14: adult chest radiographs, with or without a finding (Wang 2017).

The folder holds ``Data_Entry_2017*.csv`` (or ``sample_labels.csv``), the images in sub-folders, and
the official, patient-wise lists ``train_val_list.txt`` and ``test_list.txt``. ``nih-cxr14`` asks
whether an image has any of the fourteen findings, ``nih-cxr14:Pneumonia`` whether it has that one,
whatever else it has: every image has one label here. Validation is cut from the training list by
patient.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.nih_files.image_index import image_stem, list_images
from he_compare.common.datasets.nih_files.official_lists import TEST_LIST, TRAIN_LIST, find_lists
from he_compare.common.datasets.opened.indexed import ImageRow, IndexedImages
from he_compare.common.datasets.opened.one_finding import AnyOrOne, choose_finding
from he_compare.common.datasets.opened.row_splits import SHARES, cut_rows
from he_compare.common.datasets.reading.csv_tables import CsvTable, read_table
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.datasets.reading.search import ENVIRONMENT_VARIABLE, locate, passed_over
from he_compare.common.errors import DataError
from he_compare.common.plugin_names import canonical_name
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import Split

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
NO_FINDING = "No Finding"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
ENTRY_TABLES = ("data_entry_2017*.csv", "sample_labels.csv")
VALIDATION_SHARE = 0.1
ADDRESS = "https://nihcc.app.box.com/v/ChestXray-NIHCC"

CARD = DatasetCard(
    name="nih-cxr14",
    title="NIH ChestX-ray14: adult chest X-rays, a finding or none",
    description="112,120 frontal chest radiographs of 30,805 patients of the NIH Clinical Center "
    "with fourteen findings mined from reports; one finding at a time, or any of them, against its "
    "absence.",
    source=f"NIH Clinical Center, {ADDRESS}",
    licence="no restriction on use; the NIH Clinical Center is to be acknowledged and the paper "
    "cited",
    citation="Wang et al.: ChestX-ray8: Hospital-Scale Chest X-Ray Database and Benchmarks, CVPR "
    "2017, doi:10.1109/CVPR.2017.369",
    caveats=[
        "Labels were mined from reports by a program and are wrong for part of the images.",
        "An image without the chosen finding may have others.",
        "Patients have up to 184 images; many were imaged after treatment began (tubes, drains).",
        "The official test list has more findings per image than the other list.",
        "Only files with equal bytes are found as copies; an image saved twice is not.",
    ],
    classes=["no finding", "finding"],
    positive_class="finding",
    native_size="1024 x 1024",
    collections=["nih-chest-x-ray-14"],
)


class NihCxr14(DatasetFamily):
    """The family: a finding to ask for, over the folder as NIH hands it out."""

    name = "nih-cxr14"
    subsets = ("published",)
    takes_path = False

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return CARD

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Find and validate the folder. ``argument``: a finding, '' for any. Raises DataError."""
        asked = AnyOrOne(FINDINGS, choose_finding(self.name, request.argument, FINDINGS))
        root = _require(request.data_dir)
        notes = [asked.note()] + (passed_over(self.name, root) if request.data_dir is None else [])
        rows = read_entries(root, asked, notes)
        rows = split_rows(root, rows, request.seed, notes)
        card = CARD.model_copy(
            update={"classes": list(asked.classes), "positive_class": asked.classes[1]}
        )
        return IndexedImages.from_rows(card, request.subset, root, rows, notes)

    def example(self, folder: Path) -> str:
        """Write the table, the official lists and two images of each of a few patients."""
        lines = [",".join(COLUMNS)]
        lists: dict[str, list[str]] = {TRAIN_LIST: [], TEST_LIST: []}
        for number in range(48):
            patient, ill = number // 2, number // 2 % 2
            name = f"{patient:08d}_{number % 2:03d}.png"
            write_example_picture(folder / "images_001" / "images" / name, ill, number)
            lines.append(f"{name},{'Pneumonia' if ill else NO_FINDING},{patient}")
            lists[TEST_LIST if patient >= 18 else TRAIN_LIST].append(name)
        for file, content in {"Data_Entry_2017.csv": lines, **lists}.items():
            (folder / file).write_text("\n".join(content) + "\n", encoding="utf-8")
        return ""


def _require(data_dir: Path | None) -> Path:
    root, account = locate("nih-cxr14", data_dir, folder_with_entries, "Data_Entry_2017*.csv")
    if root is None:
        raise DataError(
            f"no nih-cxr14 data found; looked in {account}",
            fix=f"fetch it from {ADDRESS} (45 GB) and pass its folder with --data-dir, or set "
            f"{ENVIRONMENT_VARIABLE} to a folder that contains nih-cxr14/",
        )
    return root


def folder_with_entries(folder: Path) -> Path | None:
    """Return the folder with a table of entries: this one, or the only one of its sub-folders."""
    if entry_tables(folder):
        return folder
    below = [one for one in sorted(folder.iterdir()) if one.is_dir() and entry_tables(one)]
    return below[0] if len(below) == 1 else None


def entry_tables(folder: Path) -> list[Path]:
    """Return the tables of entries in a folder, in order of name."""
    return sorted(
        path
        for path in folder.iterdir()
        if any(fnmatchcase(path.name.lower(), form) for form in ENTRY_TABLES) and path.is_file()
    )


def read_entries(root: Path, asked: AnyOrOne, notes: list[str]) -> list[ImageRow]:
    """Return a row for each listed image that is there, split not yet known. Raises DataError."""
    table = _only_table(root, notes)
    images = list_images(root, notes)
    inside = InsideFolder(root)
    labels = asked.labels(_finding_rows(table))
    rows: list[ImageRow] = []
    seen: dict[str, int] = {}
    for i, name in enumerate(map(image_stem, table.column("Image Index"))):
        if name in seen:
            raise DataError(
                f"{table.where(i)}: image {name!r} is listed twice (first on line "
                f"{table.lines[seen[name]]})",
                fix="keep one of the lines",
            )
        seen[name] = i
        if name in images:
            patient = pseudonym("patient", b"nih " + table.column("Patient ID")[i].encode())
            identity = inside.check(images[name], table.where(i))
            rows.append(ImageRow(identity, int(labels[i]), patient, Split.TRAIN))
    if not rows:
        raise DataError(
            f"none of the {len(table):,} images of {table.name} is in the folder of the table",
            fix="unpack the archives of images next to the table",
        )
    unlisted = len(set(images) - set(seen))
    if len(rows) < len(table) or unlisted:
        notes.append(
            f"{len(rows):,} of {len(table):,} listed images are there; {unlisted:,} images that "
            "are not listed were left out"
        )
    return rows


def _only_table(root: Path, notes: list[str]) -> CsvTable:
    """Read the table of entries; of several that agree, the last by name. Raises DataError."""
    paths = entry_tables(root)
    tables = [read_table(path, COLUMNS, ()) for path in paths]
    chosen = tables[-1]
    for other in tables[:-1]:
        differ = set(_entries(other)) ^ set(_entries(chosen))
        if differ:
            images = sorted({entry[0] for entry in differ})
            raise DataError(
                f"there are several tables of entries ({', '.join(one.name for one in paths)}), "
                f"and {other.name} and {chosen.name} differ for {len(images):,} images, for "
                f"instance {images[0]!r}",
                fix="keep one of them",
            )
        notes.append(f"{chosen.name} was read; {other.name} says the same")
    return chosen


def _entries(table: CsvTable) -> list[tuple[str, ...]]:
    return list(zip(*(table.column(name) for name in COLUMNS), strict=True))


def _finding_rows(table: CsvTable) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return int64 (n, 14) of 0 and 1. Raises DataError on an unknown finding."""
    column = {_spelled(name): i for i, name in enumerate(FINDINGS)}
    found = np.zeros((len(table), len(FINDINGS)), dtype=np.int64)
    for i, text in enumerate(table.column("Finding Labels")):
        named = [name.strip() for name in text.split("|")]
        if [_spelled(name) for name in named] == [_spelled(NO_FINDING)]:
            continue
        for name in named:
            place = column.get(_spelled(name))
            if place is None:
                raise DataError(
                    f"{table.where(i)}: finding {name!r} is not one of {', '.join(FINDINGS)} or "
                    f"{NO_FINDING!r}",
                    fix="correct that line",
                )
            found[i, place] = 1
    return found


def _spelled(finding: str) -> str:
    return canonical_name(finding).replace(" ", "-")


def split_rows(root: Path, rows: list[ImageRow], seed: int, notes: list[str]) -> list[ImageRow]:
    """Split by the official lists, or by patient from the seed where neither is there."""
    lists = find_lists(root, frozenset(path.name for path in entry_tables(root)))
    if lists is None:
        notes.append(
            f"the official lists do not exist here: split 70 / 10 / 20 by patient with seed {seed}"
        )
        return cut_rows(rows, SHARES, seed, CARD.name)
    named = [(row, image_stem(row.id)) for row in rows]
    tested = [replace(row, split=Split.TEST) for row, name in named if name in lists.test]
    rest = [row for row, name in named if name in lists.train]
    if not tested or not rest:
        empty = lists.test_file if not tested else lists.train_file
        raise DataError(
            f"none of the images that are here is in {empty}",
            fix="fetch the official lists again, one image name per line, or more of the images",
        )
    notes.append(
        f"official patient-wise lists ({lists.train_file}, {lists.test_file}); validation is "
        f"{VALIDATION_SHARE:.0%} of {lists.train_file}, cut by patient with seed {seed}"
    )
    if len(tested) + len(rest) < len(rows):
        notes.append(
            f"{len(rows) - len(tested) - len(rest):,} images in neither list were left out"
        )
    return cut_rows(rest, {Split.VAL: VALIDATION_SHARE}, seed, CARD.name) + tested


DATASET = NihCxr14()

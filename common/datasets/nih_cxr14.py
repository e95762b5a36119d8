"""NIH ChestX-ray14: adult chest radiographs, with or without a finding (Wang 2017).

The folder holds ``Data_Entry_2017*.csv``, the images below ``images*/``, and the official,
patient-wise lists ``train_val_list.txt`` and ``test_list.txt``. ``nih-cxr14`` asks whether an image
has any of the fourteen findings, ``nih-cxr14:Pneumonia`` whether it has that one, whatever else it
has: every image has one label here. Validation is cut from ``train_val_list.txt`` by patient.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.opened.indexed import ImageRow, IndexedImages
from he_compare.common.datasets.opened.one_finding import AnyOrOne, choose_finding
from he_compare.common.datasets.opened.row_splits import SHARES, cut_rows
from he_compare.common.datasets.reading.csv_tables import CsvTable, read_lines, read_table
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.datasets.reading.search import ENVIRONMENT_VARIABLE, locate, passed_over
from he_compare.common.errors import DataError
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
TRAIN_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
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
        "Copies of images are not looked for; `compare data check` counts them.",
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
    def there(folder: Path) -> Path | None:
        return folder if entry_tables(folder) else None

    root, account = locate("nih-cxr14", data_dir, there, "Data_Entry_2017*.csv")
    if root is None:
        raise DataError(
            f"no nih-cxr14 data found; looked in {account}",
            fix=f"fetch it from {ADDRESS} (45 GB) and pass its folder with --data-dir, or set "
            f"{ENVIRONMENT_VARIABLE} to a folder that contains nih-cxr14/",
        )
    return root


def entry_tables(folder: Path) -> list[Path]:
    """Return the tables of entries in a folder, in order of name."""
    return sorted(folder.glob("Data_Entry_2017*.csv"))


def read_entries(root: Path, asked: AnyOrOne, notes: list[str]) -> list[ImageRow]:
    """Return a row for each listed image that is there, split not yet known. Raises DataError."""
    tables = entry_tables(root)
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"there are several tables of entries ({names})", fix="keep one of them")
    table = read_table(tables[0], COLUMNS, ())
    images = list_images(root)
    inside = InsideFolder(root)
    labels = asked.labels(_finding_rows(table))
    rows: list[ImageRow] = []
    seen: dict[str, int] = {}
    for i, name in enumerate(table.column("Image Index")):
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
            f"none of the {len(table):,} images of {table.name} is below images*/",
            fix="unpack the archives of images next to the table",
        )
    unlisted = len(set(images) - set(seen))
    if len(rows) < len(table) or unlisted:
        notes.append(
            f"{len(rows):,} of {len(table):,} listed images are there; {unlisted:,} images that "
            "are not listed were left out"
        )
    return rows


def _finding_rows(table: CsvTable) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return int64 (n, 14) of 0 and 1. Raises DataError on an unknown finding."""
    column = {name: i for i, name in enumerate(FINDINGS)}
    found = np.zeros((len(table), len(FINDINGS)), dtype=np.int64)
    for i, text in enumerate(table.column("Finding Labels")):
        if text == NO_FINDING:
            continue
        for name in text.split("|"):
            if name not in column:
                raise DataError(
                    f"{table.where(i)}: finding {name!r} is not one of {', '.join(FINDINGS)} or "
                    f"{NO_FINDING!r}",
                    fix="correct that line",
                )
            found[i, column[name]] = 1
    return found


def list_images(root: Path) -> dict[str, str]:
    """Return the path below ``root`` of every PNG below ``images*/``, by file name."""
    images: dict[str, str] = {}
    for top in sorted(root.glob("images*")):
        for parent, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                if not name.lower().endswith(".png") or name.startswith("."):
                    continue
                path = (Path(parent) / name).relative_to(root).as_posix()
                if name in images:
                    raise DataError(
                        f"image {name!r} is there twice: {images[name]} and {path}",
                        fix="remove one of them",
                    )
                images[name] = path
    return images


def split_rows(root: Path, rows: list[ImageRow], seed: int, notes: list[str]) -> list[ImageRow]:
    """Split by the official lists, or by patient from the seed where neither is there."""
    present = [name for name in (TRAIN_LIST, TEST_LIST) if (root / name).is_file()]
    if len(present) == 1:
        missing = TEST_LIST if present[0] == TRAIN_LIST else TRAIN_LIST
        raise DataError(f"there is {present[0]} but no {missing}", fix="add the official list")
    if not present:
        notes.append(
            f"the official lists do not exist here: split 70 / 10 / 20 by patient with seed {seed}"
        )
        return cut_rows(rows, SHARES, seed, CARD.name)
    train, test = (set(read_lines(root / name)) for name in (TRAIN_LIST, TEST_LIST))
    if both := sorted(train & test):
        raise DataError(
            f"{len(both)} images are in both lists, for instance {both[0]!r}",
            fix="fetch the official lists again",
        )
    named = [(row, row.id.rpartition("/")[2]) for row in rows]
    tested = [replace(row, split=Split.TEST) for row, name in named if name in test]
    rest = [row for row, name in named if name in train]
    notes.append(
        f"official patient-wise lists; validation is {VALIDATION_SHARE:.0%} of {TRAIN_LIST}, cut "
        f"by patient with seed {seed}"
    )
    if len(tested) + len(rest) < len(rows):
        notes.append(
            f"{len(rows) - len(tested) - len(rest):,} images in neither list were left out"
        )
    return cut_rows(rest, {Split.VAL: VALIDATION_SHARE}, seed, CARD.name) + tested


DATASET = NihCxr14()

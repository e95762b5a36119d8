"""Small synthetic datasets on disk for tests: folders, CSV tables and MedMNIST-like npz files.

The two classes differ by a bright disc at a fixed place, so that a model can learn them from a few
dozen images; position, size and noise vary from image to image. Nothing here is medical.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ("NORMAL", "PNEUMONIA")
LABEL_COLUMNS = ("file", "label", "split", "subtype", "group", "pixel_md5", "duplicate")


def synthetic_image(label: int, size: int, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a grey picture uint8 (size, size): a noisy gradient, with a disc where label is 1."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    picture = 60 + 50 * rows + 20 * np.sin(3 * columns + generator.uniform(0, 6))
    if label:
        centre = 0.35 + generator.uniform(-0.06, 0.06, size=2)
        radius = 0.2 + generator.uniform(-0.04, 0.04)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        picture = picture + 90 * inside
    picture = picture + generator.normal(0, 8, size=(size, size))
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_image(
    path: Path, label: int, size: int, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Write one synthetic picture (format from the file's ending) and return its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = synthetic_image(label, size, generator)
    Image.fromarray(picture).convert("RGB").save(path)
    return picture


def file_name(label: int, number: int, image: int) -> str:
    """Return a name spelled as in the published chest X-ray data, without its ending."""
    if label:
        kind = "bacteria" if number % 2 else "virus"
        return f"person{number}_{kind}_{image}"
    return f"IM-{number:04d}-{image:04d}"


def write_rows(path: Path, rows: list[dict[str, object]], columns: tuple[str, ...]) -> None:
    """Write a CSV file with these columns."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_chestxray_like(
    folder: Path,
    per_class_train: int = 24,
    per_class_test: int = 12,
    size: int = 64,
    seed: int = 0,
    *,
    per_class_subset: tuple[int, int, int] | None = None,
) -> Path:
    """Write labels.csv and images/{train,test}/{NORMAL,PNEUMONIA}/*.png; return the folder.

    Every patient-like group has two images, and group numbers restart in the test split, as in the
    published data. ``per_class_subset`` = (train, val, test) images a class also writes subset.csv
    with groups that are disjoint between its splits.
    """
    generator = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for split, count in (("train", per_class_train), ("test", per_class_test)):
        for label, name in enumerate(CLASSES):
            for i in range(count):
                number, image = i // 2 + 1, i % 2 + 1
                stem = file_name(label, number, image)
                file = f"images/{split}/{name}/{stem}.png"
                picture = write_image(folder / file, label, size, generator)
                rows.append(
                    {
                        "file": file,
                        "label": name,
                        "split": split,
                        "subtype": stem.split("_")[1] if label else "normal",
                        "group": stem.split("_")[0] if label else stem.rsplit("-", 1)[0],
                        "pixel_md5": hashlib.md5(
                            picture.tobytes(), usedforsecurity=False
                        ).hexdigest(),
                        "duplicate": 0,
                    }
                )
    write_rows(folder / "labels.csv", rows, LABEL_COLUMNS)
    if per_class_subset is not None:
        chosen = choose_subset(rows, per_class_subset)
        write_rows(folder / "subset.csv", chosen, LABEL_COLUMNS)
    return folder


def choose_subset(
    rows: list[dict[str, object]], per_class: tuple[int, int, int]
) -> list[dict[str, object]]:
    """Choose rows for subset.csv: test from the test split, train and val from other groups."""
    chosen: list[dict[str, object]] = []
    for name in CLASSES:
        train = [row for row in rows if row["label"] == name and row["split"] == "train"]
        test = [row for row in rows if row["label"] == name and row["split"] == "test"]
        taken = test[: per_class[2]]
        seen = {row["group"] for row in taken}
        val: list[dict[str, object]] = []
        rest = [row for row in train if row["group"] not in seen]
        for row in rest:
            if len(val) >= per_class[1] and row["group"] != val[-1]["group"]:
                break
            val.append(row)
        groups = {row["group"] for row in val}
        fit = [row for row in rest if row["group"] not in groups][: per_class[0]]
        chosen += [{**row, "split": "train"} for row in fit]
        chosen += [{**row, "split": "val"} for row in val[: per_class[1]]]
        chosen += [{**row, "split": "test"} for row in taken]
    return chosen


def write_tree(
    folder: Path,
    counts: dict[str, int],
    size: int = 32,
    seed: int = 0,
    *,
    classes: tuple[str, ...] = CLASSES,
    suffix: str = ".png",
) -> Path:
    """Write SPLIT/CLASS/*.png (or CLASS/*.png for the split name ''); return the folder.

    ``counts``: images a class by split name.
    """
    generator = np.random.default_rng(seed)
    for split, count in counts.items():
        for label, name in enumerate(classes):
            for i in range(count):
                stem = file_name(min(label, 1), i // 2 + 1, i % 2 + 1)
                write_image(folder / split / name / f"{stem}{suffix}", label, size, generator)
    return folder


def write_medmnist_like(
    path: Path,
    counts: tuple[int, int, int] = (40, 10, 20),
    size: int = 28,
    seed: int = 0,
    *,
    classes: int = 2,
    channels: int = 1,
) -> Path:
    """Write an npz with MedMNIST array names and (train, val, test) images; return its path."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        labels = (np.arange(count) % classes).astype(np.uint8)
        images = [synthetic_image(int(label % 2), size, generator) for label in labels]
        grey = np.stack(images)
        arrays[f"{split}_images"] = grey if channels == 1 else np.stack([grey] * channels, axis=-1)
        arrays[f"{split}_labels"] = labels[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def rewrite_npz(path: Path, **changes: npt.NDArray[Any] | None) -> Path:
    """Replace arrays of an npz file, or leave out those that are None."""
    with np.load(path) as archive:
        arrays: dict[str, Any] = {**{name: archive[name] for name in archive.files}, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_chestmnist_like(path: Path, counts: tuple[int, int, int] = (40, 12, 24)) -> Path:
    """Write an npz in the layout of ChestMNIST: 14 columns of 0 and 1, finding 6 in every other."""
    write_medmnist_like(path, counts)
    tables = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        table = np.zeros((count, 14), dtype=np.uint8)
        table[1::2, 6] = 1
        table[1::4, 0] = 1
        table[2::8, 12] = 1
        tables[f"{split}_labels"] = table
    return rewrite_npz(path, **tables)


def write_nih_like(folder: Path, patients: int = 24, *, lists: bool = True, size: int = 32) -> Path:
    """Write Data_Entry_2017_v2020.csv, images below images_00N/images/, and the official lists.

    Every patient has two images; every other patient has Pneumonia, every sixth Mass as well, and
    the last quarter of the patients is the test list.
    """
    generator = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    listed: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for patient in range(1, patients + 1):
        ill = patient % 2
        found = "Mass|Pneumonia" if ill and patient % 3 == 0 else "Pneumonia"
        for image in range(2):
            name = f"{patient:08d}_{image:03d}.png"
            place = folder / f"images_{patient % 2 + 1:03d}" / "images" / name
            write_image(place, ill, size, generator)
            rows.append(
                {
                    "Image Index": name,
                    "Finding Labels": found if ill else "No Finding",
                    "Follow-up #": image,
                    "Patient ID": patient,
                }
            )
            tested = patient > patients * 3 // 4
            listed["test_list.txt" if tested else "train_val_list.txt"].append(name)
    columns = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID")
    write_rows(folder / "Data_Entry_2017_v2020.csv", rows, columns)
    for name, names in listed.items() if lists else ():
        (folder / name).write_text("\n".join(names) + "\n")
    return folder

"""The chest X-ray family: both layouts, both subsets, patient groups, copies, and bad folders."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.datasets.chestxray import DATASET, patient_of
from he_compare.common.datasets.opened.copies_found import look_for_copies
from he_compare.common.errors import DataError, UnknownNameError
from he_compare.common.types import Split
from tests.support.imagefolders import LABEL_COLUMNS, write_chestxray_like, write_rows, write_tree

Rows = list[dict[str, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_chestxray_like(tmp_path / "data", 20, 8, size=24, per_class_subset=(6, 2, 4))


def edit_rows(folder: Path, change: Callable[[Rows], object], file: str = "labels.csv") -> None:
    with (folder / file).open(newline="") as stream:
        rows: Rows = list(csv.DictReader(stream))
    change(rows)
    write_rows(folder / file, rows, LABEL_COLUMNS)


def refuse(folder: Path, message: str, subset: str = "") -> None:
    with pytest.raises(DataError, match=message):
        DATASET.open("", folder, subset, 0)


def test_published_keeps_train_and_test_and_cuts_validation_by_group(folder: Path) -> None:
    data = DATASET.open("", folder, "", 0)
    train, val, test = (data.index(split) for split in Split)
    assert data.subset == "published"
    assert (len(train.ids), len(val.ids), len(test.ids)) == (36, 4, 16)
    assert np.bincount(val.labels).tolist() == [2, 2]
    assert not set(train.groups) & set(val.groups)
    assert all("/test/" in identity for identity in test.ids)


def test_groups_of_the_published_train_and_test_are_told_apart(folder: Path) -> None:
    data = DATASET.open("", folder, "published", 0)
    assert {group.split("/")[0] for group in data.index(Split.VAL).groups} == {"train"}
    assert {group.split("/")[0] for group in data.index(Split.TEST).groups} == {"test"}
    assert any("8 patient-like ids occur in both" in note for note in data.notes)


def test_the_validation_split_follows_from_the_seed(folder: Path) -> None:
    ids = [DATASET.open("", folder, "", seed).index(Split.VAL).ids for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_balanced_reads_subset_csv_where_present(folder: Path) -> None:
    data = DATASET.open("", folder, "balanced", 0)
    assert [np.bincount(data.index(s).labels).tolist() for s in Split] == [[6, 6], [2, 2], [4, 4]]
    assert "balanced choice of subset.csv" in data.notes


def test_balanced_without_subset_csv_chooses_by_group(folder: Path) -> None:
    (folder / "subset.csv").unlink()
    data = DATASET.open("", folder, "balanced", 0)
    indices = [data.index(split) for split in Split]
    for index in indices:
        normal, pneumonia = np.bincount(index.labels)
        assert normal == pneumonia > 0
    groups = [set(index.groups) for index in indices]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    again = DATASET.open("", folder, "balanced", 0)
    assert [again.index(s).ids for s in Split] == [index.ids for index in indices]


def test_images_are_read_as_rgb_squares_in_order(folder: Path) -> None:
    data = DATASET.open("", folder, "", 0)
    images = data.read(Split.TEST, np.array([3, 0]), 16)
    assert images.shape == (2, 16, 16, 3)
    assert np.array_equal(images[1], data.read(Split.TEST, np.array([0]), 16)[0])


def test_copies_are_counted_and_stay_in_one_split(folder: Path) -> None:
    def make_copies(rows: Rows) -> None:
        normal = [row for row in rows if row["split"] == "train" and row["label"] == "NORMAL"]
        for one, other in zip(normal[0::4], normal[2::4], strict=True):
            other["pixel_md5"] = one["pixel_md5"]

    edit_rows(folder, make_copies)
    with (folder / "labels.csv").open(newline="") as stream:
        twin = {row["file"]: row["pixel_md5"] for row in csv.DictReader(stream)}
    for seed in range(5):
        data = DATASET.open("", folder, "", seed)
        held = [{twin[identity] for identity in data.index(split).ids} for split in Split]
        assert not held[0] & held[1]
        assert any(note.startswith("5 images are exact copies") for note in data.notes)


def test_what_the_table_calls_a_copy_of_a_test_image_is_one(folder: Path) -> None:
    edit_rows(folder, lambda rows: rows[-1].update(pixel_md5=rows[25]["pixel_md5"]))
    found = look_for_copies(DATASET.open("", folder, "", 0))
    assert found.facts("keep").count == 1
    assert found.equal.rule == "pixels and by pixel_md5 of the table"


@pytest.mark.parametrize("around", ["", "chest_xray", "chest_xray/chest_xray"])
@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".jpg"])
def test_the_published_tree_is_read(tmp_path: Path, around: str, suffix: str) -> None:
    write_tree(tmp_path / around, {"train": 20, "test": 4}, suffix=suffix)
    data = DATASET.open("", tmp_path, "", 0)
    assert [len(data.index(split).ids) for split in Split] == [36, 4, 8]
    assert data.index(Split.TRAIN).groups[0].startswith("train/IM-")
    assert data.index(Split.TEST).ids[0] == f"test/NORMAL/IM-0001-0001{suffix}"


def test_a_small_val_folder_is_joined_to_train(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 20, "test": 4})
    write_tree(tmp_path / "spare", {"val": 24}, seed=9)
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "val" / name).mkdir(parents=True)
        for file in sorted((tmp_path / "spare/val" / name).iterdir())[20:]:
            shutil.move(file, tmp_path / "val" / name / file.name)
    shutil.rmtree(tmp_path / "spare")
    data = DATASET.open("", tmp_path, "", 0)
    assert sum(len(data.index(split).ids) for split in (Split.TRAIN, Split.VAL)) == 48
    assert any("val/ was joined to train" in note for note in data.notes)


def test_the_tree_has_a_balanced_choice_too(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 30, "test": 8})
    data = DATASET.open("", tmp_path, "balanced", 0)
    assert [np.bincount(data.index(s).labels).tolist() for s in (Split.TEST,)] == [[8, 8]]
    assert not set(data.index(Split.TRAIN).groups) & set(data.index(Split.TEST).groups)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("train/PNEUMONIA/person1_bacteria_2.jpeg", "person1"),
        ("train/NORMAL/IM-0115-0001.jpeg", "IM-0115"),
        ("test/NORMAL/NORMAL2-IM-0221-0001.jpeg", "NORMAL2-IM-0221"),
        ("train/NORMAL/scan7.jpeg", "scan7"),
    ],
)
def test_patients_are_read_off_published_file_names(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_the_card_discloses_licence_source_and_caveats() -> None:
    card = DATASET.card()
    assert card.licence == "CC BY 4.0"
    assert "10.17632/rscbjbr9sj.2" in card.source
    assert "10.1016/j.cell.2018.02.010" in card.citation
    told = " ".join(card.caveats)
    for word in ("Children", "squashed", "170 personN", "shifted", "markers"):
        assert word in told


def test_an_unknown_subset_names_the_nearest(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'balansed'.*did you mean 'balanced'"):
        DATASET.open("", folder, "balansed", 0)


def test_an_argument_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="takes no argument, got '224'"):
        DATASET.open("224", folder, "", 0)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", r"gone \(--data-dir: no such folder\)")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    refuse(tmp_path, r"\(--data-dir: empty\)")


def test_a_tree_without_a_class_folder_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 4, "test": 4})
    shutil.rmtree(tmp_path / "test" / "PNEUMONIA")
    refuse(tmp_path, "no folder test/PNEUMONIA")


def test_a_missing_column_is_named(folder: Path) -> None:
    text = (folder / "labels.csv").read_text().replace("label,", "labels,", 1)
    (folder / "labels.csv").write_text(text)
    refuse(folder, r"labels\.csv has no column 'label'.*did you mean 'labels'")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "NORMALE"}, r"line 2: label 'NORMALE' is not one of.*did you mean 'NORMAL'"),
        ({"split": "dev"}, r"line 2: split 'dev' is not one of train, val, test"),
        ({"group": ""}, r"line 2: group is empty"),
        ({"file": "images/gone.png"}, r"line 2: file 'images/gone\.png' does not exist"),
        ({"file": "../outside.png"}, r"'\.\./outside\.png' leads out of the folder"),
        ({"file": "/etc/hostname"}, r"'/etc/hostname' is not a relative path"),
        ({"file": "C:\\a.png"}, r"is not a relative path"),
        ({"file": "images/train"}, r"'images/train' is not a regular file"),
        ({"file": "a\x1b[31m.png"}, r"line 2: file is not plain text"),
    ],
)
def test_bad_rows_are_refused_with_line_and_value(
    folder: Path, values: dict[str, object], message: str
) -> None:
    edit_rows(folder, lambda rows: rows[0].update(values))
    refuse(folder, message)


def test_an_image_listed_twice_is_refused(folder: Path) -> None:
    edit_rows(folder, lambda rows: rows.append(dict(rows[0])))
    refuse(folder, r"'images/train/NORMAL/IM-0001-0001\.png' is listed twice \(lines 2 and 58\)")


def test_an_image_in_two_splits_is_refused(folder: Path) -> None:
    edit_rows(folder, lambda rows: rows.append({**rows[0], "split": "test"}))
    refuse(folder, r"in two splits, train and test \(lines 2 and 58\)")


def test_a_group_shared_by_two_splits_of_the_subset_is_refused(folder: Path) -> None:
    edit_rows(folder, lambda rows: rows[-1].update(group=rows[0]["group"]), "subset.csv")
    refuse(folder, "patient group 'IM-.*' is in two splits, train and test", "balanced")


def test_one_class_only_is_refused(folder: Path) -> None:
    edit_rows(folder, lambda rows: [row.update(label="NORMAL") for row in rows])
    refuse(folder, r"training images are all of one class \('NORMAL'\)")


def test_a_symbolic_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    inside = folder / "images/train/NORMAL/IM-0001-0001.png"
    inside.rename(tmp_path / "elsewhere.png")
    inside.symlink_to(tmp_path / "elsewhere.png")
    refuse(folder, r"'images/train/NORMAL/IM-0001-0001\.png' leads out of the folder")


def test_a_linked_folder_that_leads_out_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    refuse(folder, "leads out of the folder")


def test_an_unreadable_image_is_named_when_read(folder: Path) -> None:
    data = DATASET.open("", folder, "", 0)
    name = data.index(Split.TEST).ids[2]
    (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n torn")
    with pytest.raises(DataError, match=Path(name).name):
        data.read(Split.TEST, np.arange(4), 16)


@pytest.mark.realdata
def test_the_real_folder_has_the_published_counts() -> None:
    if not os.environ.get("COMPARE_DATA"):
        pytest.skip("COMPARE_DATA names no folder with chestxray/")
    data = DATASET.open("", None, "published", 0)
    assert np.bincount(data.index(Split.TEST).labels).tolist() == [234, 390]
    train_and_val = sum(np.bincount(data.index(s).labels) for s in (Split.TRAIN, Split.VAL))
    assert train_and_val.tolist() == [1341, 3875]
    assert any(note.startswith("170 patient-like ids") for note in data.notes)
    balanced = DATASET.open("", None, "balanced", 0)
    assert [len(balanced.index(split).ids) for split in Split] == [800, 200, 400]
    assert balanced.read(Split.TEST, np.arange(16), 224).std() > 10

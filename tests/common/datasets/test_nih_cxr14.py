"""NIH ChestX-ray14: one question at a time, official lists, patients kept apart, bad tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.datasets.nih_cxr14 import DATASET
from he_compare.common.errors import DataError, UnknownNameError
from he_compare.common.types import Split
from tests.support.imagefolders import write_nih_like

TABLE = "Data_Entry_2017_v2020.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_nih_like(tmp_path / "nih-cxr14")


def refuse(folder: Path, message: str, argument: str = "") -> None:
    with pytest.raises(DataError, match=message):
        DATASET.open(argument, folder, "", 0)


def change(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


def test_the_official_lists_are_kept_and_validation_is_cut_by_patient(folder: Path) -> None:
    data = DATASET.open("", folder.parent, "", 0)
    assert [len(data.index(split).ids) for split in Split] == [32, 4, 12]
    listed = set((folder / "test_list.txt").read_text().split())
    assert {name.rpartition("/")[2] for name in data.index(Split.TEST).ids} == listed
    groups = [set(data.index(split).groups) for split in Split]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 24
    assert data.read(Split.TEST, np.array([0]), 16).shape == (1, 16, 16, 3)


def test_any_finding_or_one_of_them_is_asked_for(folder: Path) -> None:
    counts: Callable[[str], list[int]] = lambda argument: sum(  # noqa: E731
        np.bincount(DATASET.open(argument, folder, "", 0).index(s).labels, minlength=2)
        for s in Split
    ).tolist()
    assert counts("") == counts("Pneumonia") == counts("pneumonia") == [24, 24]
    assert counts("Mass") == [40, 8]
    card = DATASET.open("mass", folder, "", 0).card
    assert card.classes == ["no Mass", "Mass"]
    assert card.positive_class == "Mass"


@pytest.mark.parametrize("argument", ["Mass|Pneumonia", "multi-label"])
def test_several_findings_at_once_are_refused_with_the_reason(folder: Path, argument: str) -> None:
    refuse(folder, "every image has one label here.*ask for one finding", argument)


def test_an_unknown_finding_names_the_nearest(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'Pneumonia'"):
        DATASET.open("pnuemonia", folder, "", 0)


def test_patient_ids_are_hashed(folder: Path) -> None:
    groups = DATASET.open("", folder, "", 0).index(Split.TEST).groups
    assert all(group.startswith("patient-") and len(group) == 24 for group in groups)


def test_without_the_lists_patients_are_cut_from_the_seed(tmp_path: Path) -> None:
    write_nih_like(tmp_path, lists=False)
    data = DATASET.open("", tmp_path, "", 3)
    assert any("official lists do not exist here" in note for note in data.notes)
    assert sum(len(data.index(split).ids) for split in Split) == 48


def test_a_part_of_the_images_is_enough_and_told(folder: Path) -> None:
    for name in ("00000001_000.png", "00000002_001.png"):
        next(folder.rglob(name)).unlink()
    (folder / "images_001" / "images" / "stray.png").write_bytes(b"x")
    notes = DATASET.open("", folder, "", 0).notes
    told = "46 of 48 listed images are there; 1 images that are not listed were left out"
    assert told in notes


def test_one_list_without_the_other_is_refused(folder: Path) -> None:
    (folder / "test_list.txt").unlink()
    refuse(folder, r"there is train_val_list\.txt but no test_list\.txt")


def test_an_image_in_both_lists_is_refused(folder: Path) -> None:
    with (folder / "test_list.txt").open("a") as stream:
        stream.write("00000001_000.png\n")
    refuse(folder, r"1 images are in both lists, for instance '00000001_000'")


def test_a_patient_in_both_lists_is_refused_with_the_images(folder: Path) -> None:
    change(folder / "train_val_list.txt", "00000001_000.png\n", "")
    with (folder / "test_list.txt").open("a") as stream:
        stream.write("00000001_000.png\n")
    refuse(folder, r"patient group 'patient-\w+' is in two splits.*00000001_00[01]\.png")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Patient ID", "Patient", "no column 'Patient ID'"),
        ("Pneumonia", "Pnoimonia", r"line 2: finding 'Pnoimonia' is not one of Atelectasis"),
        ("00000001_001.png", "00000001_000.png", r"line 3: image .* is listed twice .*line 2"),
        ("00000001_000.png,Pneumonia", "00000001_000.png,", "Finding Labels is empty"),
    ],
)
def test_a_bad_table_is_refused_with_the_line(
    folder: Path, old: str, new: str, message: str
) -> None:
    change(folder / TABLE, old, new)
    refuse(folder, message)


def test_hostile_names_in_the_table_reach_no_file(folder: Path) -> None:
    change(folder / TABLE, "00000001_000.png", "../../../etc/passwd")
    data = DATASET.open("", folder, "", 0)
    assert not any("passwd" in name for split in Split for name in data.index(split).ids)


def test_no_images_at_all_is_told(tmp_path: Path) -> None:
    write_nih_like(tmp_path)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    refuse(tmp_path, r"none of the 48 images of .* is in the folder of the table")


def test_missing_data_names_where_to_fetch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPARE_DATA", raising=False)
    with pytest.raises(DataError, match=r"no nih-cxr14 data found.*nihcc\.app\.box\.com"):
        DATASET.open("", None, "", 0)


def rename(folder: Path, old: str, new: str) -> None:
    target = folder / new
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / old).rename(target)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_val_list_NIH.txt", "test_list_NIH.txt"),
        ("Train_Val_List.txt", "Test_List.TXT"),
        ("trainval_list.txt", "test_list (1).txt"),
        ("lists/train_val_list.txt", "lists/test_list.txt"),
    ],
)
def test_lists_under_their_other_names_are_used(folder: Path, train: str, test: str) -> None:
    before = DATASET.open("", folder, "", 0)
    rename(folder, "train_val_list.txt", train)
    rename(folder, "test_list.txt", test)
    data = DATASET.open("", folder, "", 0)
    assert [data.index(split).ids for split in Split] == [before.index(s).ids for s in Split]
    assert any(Path(test).name in note for note in data.notes)


@pytest.mark.parametrize("name", ["train_list.txt", "val_list.txt", "labels/test_split.csv"])
def test_a_list_that_is_not_known_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("00000001_000.png 0 1 0\n")
    refuse(folder, f"{name!r} looks like a list of a split, and is none that is known")


def test_the_list_of_boxes_is_no_list_of_a_split(folder: Path) -> None:
    (folder / "BBox_List_2017.csv").write_text("Image Index,Finding Label\n")
    assert len(DATASET.open("", folder, "", 0).index(Split.TEST).ids) == 12


def test_lists_of_other_images_are_refused(folder: Path) -> None:
    (folder / "test_list.txt").write_text("99999999_000.png\n")
    refuse(folder, r"none of the images that are here is in test_list\.txt")


def test_lists_may_name_paths_and_images_of_another_format(folder: Path) -> None:
    for name in ("train_val_list.txt", "test_list.txt"):
        lines = (folder / name).read_text().split()
        (folder / name).write_text("\r\n".join(f"images/{line}" for line in lines))
    assert len(DATASET.open("", folder, "", 0).index(Split.TEST).ids) == 12


def test_the_sample_of_the_set_is_read_with_its_nested_copy(tmp_path: Path) -> None:
    write_nih_like(tmp_path, lists=False)
    rename(tmp_path, TABLE, "sample_labels.csv")
    rename(tmp_path, "images_001/images", "sample/images")
    shutil.copytree(tmp_path / "sample" / "images", tmp_path / "sample" / "sample" / "images")
    data = DATASET.open("", tmp_path, "", 0)
    assert sum(len(data.index(split).ids) for split in Split) == 48
    assert "24 images are there twice with equal bytes and are taken once" in data.notes


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    first = next(folder.rglob("00000001_000.png"))
    other = folder / "images_002" / first.name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(first.read_bytes() + b"x")
    refuse(folder, "image '00000001_000' is there twice with different content")


def test_two_tables_are_read_where_they_agree_only(folder: Path) -> None:
    older = folder / "Data_Entry_2017.csv"
    older.write_text((folder / TABLE).read_text())
    assert f"{TABLE} was read; {older.name} says the same" in DATASET.open("", folder, "", 0).notes
    change(older, "Pneumonia", "Mass")
    refuse(folder, "several tables of entries .* differ for 1 images")


def test_findings_may_be_spelled_with_a_space(folder: Path) -> None:
    table = folder / TABLE
    table.write_text(table.read_text().replace("Pneumonia", "Pleural Thickening| mass"))
    data = DATASET.open("Pleural_Thickening", folder, "", 0)
    assert sum(int(data.index(split).labels.sum()) for split in Split) == 24


def test_the_folder_may_have_one_folder_around_it(folder: Path, tmp_path: Path) -> None:
    outer = tmp_path / "download"
    outer.mkdir()
    folder.rename(outer / "archive")
    assert len(DATASET.open("", outer, "", 0).index(Split.TEST).ids) == 12

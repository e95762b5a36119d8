"""Layouts of class folders: names of splits, wrappers, patients, links, names and debris."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.opened.indexed import IndexedImages
from he_compare.common.datasets.reading import class_folders
from he_compare.common.datasets.reading.split_words import split_of
from he_compare.common.errors import DataError, UsageError
from he_compare.common.reading_options import NOTHING_ASKED, ReadingOptions
from he_compare.common.types import Split
from tests.support.downloadedfolders import picture, table, tree

BY_FOLDER = ReadingOptions(group_by="folder")


def opened(root: Path, reading: ReadingOptions = NOTHING_ASKED) -> IndexedImages:
    data = DATASET.open(str(root), None, "", 0, reading)
    assert isinstance(data, IndexedImages)
    return data


def refuse(root: Path, message: str, reading: ReadingOptions = NOTHING_ASKED) -> None:
    with pytest.raises(DataError, match=message) as refused:
        opened(root, reading)
    assert refused.value.fix


def sizes(data: IndexedImages) -> list[int]:
    return [len(data.index(split).ids) for split in Split]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", Split.TRAIN),
        ("Training", Split.TRAIN),
        ("TRAINING_SET", Split.TRAIN),
        ("train_images", Split.TRAIN),
        ("val", Split.VAL),
        ("Valid", Split.VAL),
        ("validation data", Split.VAL),
        ("dev", Split.VAL),
        ("Test", Split.TEST),
        ("testing", Split.TEST),
        ("contest", None),
        ("trainable", None),
        ("train_test", None),
        ("fold1", None),
        ("positive_test", None),
    ],
)
def test_splits_are_known_by_their_usual_names(name: str, split: Split | None) -> None:
    assert split_of(name) is split


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "valid", "Test"),
        ("xray_train", "xray_val", "xray_test"),
        ("train_set", "dev_set", "test_set"),
    ],
)
def test_split_folders_are_read_by_any_usual_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, count in zip(names, (6, 2, 3), strict=True):
        tree(tmp_path, {f"{name}/ill": count, f"{name}/well": count})
    data = opened(tmp_path)
    assert data.card.classes == ["ill", "well"]
    assert sizes(data) == [12, 4, 6]
    assert all(one.startswith(f"{names[2]}/") for one in data.index(Split.TEST).ids)


def test_classes_may_be_called_as_splits_where_no_train_is_meant(tmp_path: Path) -> None:
    tree(tmp_path, {"test positive": 6, "test negative": 6, "unclear": 6})
    assert opened(tmp_path).card.classes == ["test negative", "test positive", "unclear"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ("train", "val"),
            r"given \(train and val\), but there is no test split \(call val 'test'",
        ),
        (("train",), r"given \(train\), but there is no test split \(name the folder inside train"),
        (("val", "test"), "but there is no train split"),
        (("train", "val", "valid", "test"), "several folders for the val split: 'val', 'valid'"),
        (("train_a", "test_b"), "look like splits: 'test_b', 'train_a'"),
    ],
)
def test_splits_that_do_not_say_enough_are_refused(
    tmp_path: Path, folders: tuple[str, ...], message: str
) -> None:
    tree(tmp_path, {f"{name}/{label}": 4 for name in folders for label in "ab"})
    refuse(tmp_path, message)


def test_one_folder_that_wraps_all_is_looked_through(tmp_path: Path) -> None:
    tree(tmp_path / "archive" / "images of ü", {"a": 6, "b": 6})
    data = opened(tmp_path)
    assert sizes(data) == [8, 2, 2]
    assert (
        data.index(Split.TEST).ids == opened(tmp_path / "archive/images of ü").index(Split.TEST).ids
    )
    assert "the images were read below the folder 'archive'" in data.notes


def test_the_only_class_is_no_wrapper(tmp_path: Path) -> None:
    tree(tmp_path, {"ill": 6})
    refuse(tmp_path, r"one class only \('ill'\)")


def test_images_without_class_folders_are_counted(tmp_path: Path) -> None:
    tree(tmp_path, {"": 7})
    refuse(tmp_path, "has 7 images and no class folders: their classes are not known")


@pytest.mark.parametrize("inner", ["", "images/"])
def test_folders_of_patients_are_groups_where_asked(tmp_path: Path, inner: str) -> None:
    for label in ("ill", "well"):
        tree(tmp_path, {f"{label}/{inner}p{n}{label}/study": 3 for n in range(5)})
    data = opened(tmp_path, BY_FOLDER)
    groups = [set(data.index(split).groups) for split in Split]
    assert set.union(*groups) == {f"p{n}{label}" for n in range(5) for label in ("ill", "well")}
    assert sum(map(len, groups)) == 10
    assert not any("patient groups are not known" in note for note in data.notes)


def test_one_folder_name_is_one_patient_in_all_classes(tmp_path: Path) -> None:
    tree(tmp_path, {f"{label}/patient{n}": 2 for label in ("ill", "well") for n in range(6)})
    data = opened(tmp_path, BY_FOLDER)
    for split in Split:
        index = data.index(split)
        assert len(index.ids) == 4 * len(set(index.groups))


def test_folders_of_patients_are_refused_unasked(tmp_path: Path) -> None:
    tree(tmp_path, {f"{label}/p{n}": 2 for label in "ab" for n in range(3)})
    refuse(tmp_path, r"'a' contains 3 folders \('p0', 'p1', 'p2'\) .*pass --group-by folder")


def test_images_beside_folders_of_patients_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, {f"{label}/p{n}": 2 for label in "ab" for n in range(3)})
    picture(tmp_path / "a" / "loose.png")
    refuse(tmp_path, "has 1 images that lie in no sub-folder, for instance 'loose.png'", BY_FOLDER)


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        tree(tmp_path, {f"{split}/{label}/p{n}": 2 for label in "ab" for n in range(3)})
    refuse(tmp_path, "patient folder 'p0' is in two splits, train and test", BY_FOLDER)


def test_group_by_folder_is_not_for_tables(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 6, "b": 6})
    table(tmp_path / "labels.csv", "file,label", ["a/img0.png,x", "b/img0.png,y"])
    with pytest.raises(UsageError, match="--csv-columns group=COLUMN"):
        opened(tmp_path / "labels.csv", BY_FOLDER)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Normal", "normal", "ill"), r"'Normal' \(4 images\) and 'normal' \(4 images\)"),
        (("0", "0.0", "1"), r"'0' \(4 images\) and '0\.0' \(4 images\)"),
        (("Non COVID", "Non_COVID", "COVID"), "'Non COVID' .* and 'Non_COVID'"),
        (("Grün", "Gru\u0308n", "x"), r"'Gr\\xfcn' .* and 'Gru\\u0308n'|'Gru\\u0308n' .* and"),
    ],
)
def test_classes_that_may_be_one_are_asked_about(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    tree(tmp_path, dict.fromkeys(names, 4))
    refuse(tmp_path, message)


def test_splits_that_spell_a_class_in_two_ways_are_asked_about(tmp_path: Path) -> None:
    tree(tmp_path, {"train/Normal": 4, "train/ill": 4, "test/NORMAL": 4, "test/ill": 4})
    refuse(tmp_path, "'NORMAL' .* and 'Normal'")


@pytest.mark.parametrize("names", [("A+", "A-"), ("1", "-1"), ("T1", "T2"), ("no", "non")])
def test_classes_that_differ_are_two(tmp_path: Path, names: tuple[str, str]) -> None:
    tree(tmp_path, dict.fromkeys(names, 5))
    assert opened(tmp_path).card.classes == sorted(names)


def test_debris_is_passed_over_and_counted_once(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 5, "b": 5, "__MACOSX/a": 2, "a/@eaDir/img0.png": 1, ".git/x": 1})
    for name in ("._img0.png", ".DS_Store", "THUMBS.DB", "~$notes.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    data = opened(tmp_path)
    assert sizes(data) == [6, 2, 2]
    assert (
        "hidden and system files and folders were passed over: 1 x .DS_Store, 1 x ._*, 1 x .git, "
        "1 x @eaDir, 1 x THUMBS.DB, 1 x __MACOSX, 1 x ~$*"
    ) in data.notes


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take no such names")
@pytest.mark.parametrize("folder", [False, True])
def test_names_that_are_not_utf8_are_refused_escaped(tmp_path: Path, folder: bool) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    old, new = (b"b", b"b\xf6") if folder else (b"a/img3.png", b"a/r\xf6ntgen.png")
    root = os.fsencode(tmp_path)
    os.rename(root + b"/" + old, root + b"/" + new)  # noqa: PTH104 - bytes, as they lie there
    shown = r"b\\xf6" if folder else r"a/r\\xf6ntgen\.png"
    refuse(tmp_path, rf"the file name '{shown}' is not UTF-8 \(rename the file")


@pytest.mark.parametrize(("name", "shown"), [("im\ng.png", r"im\\ng"), ("\x1b[31m.png", r"\\x1b")])
def test_names_with_control_characters_are_refused(tmp_path: Path, name: str, shown: str) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    picture(tmp_path / "a" / name)
    refuse(tmp_path, f"{shown}.* has control characters")


def test_long_and_odd_names_are_read(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    names = ["x" * 240, "a,b;c'd\"e#%&?", "IM.0001.v2", " leading", "emoji🫁", "no\u202fbreak"]
    for name in names:
        picture(tmp_path / "a" / f"{name}.png")
    data = opened(tmp_path)
    ids = {one for split in Split for one in data.index(split).ids}
    assert {f"a/{name}.png" for name in names} <= ids
    assert sum(sizes(data)) == 16


def test_linked_folders_are_refused_by_name(tmp_path: Path) -> None:
    tree(tmp_path / "real", {"a": 5, "b": 5})
    root = tmp_path / "set"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "real" / "a")
    (root / "b").symlink_to(tmp_path / "real" / "b")
    refuse(root, "folder 'a' is a link")


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    tree(tmp_path, {f"{label}/p{n}": 2 for label in "ab" for n in range(3)})
    (tmp_path / "a" / "p1" / "again").symlink_to(tmp_path / "a")
    refuse(tmp_path, "folder 'a/p1/again' is a link", BY_FOLDER)


def test_folders_too_deep_and_files_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "deep", {"a": 3, "b": 3, "/".join(["a", *"d" * 30]): 1})
    refuse(tmp_path / "deep", "has folders more than 24 deep")
    tree(tmp_path / "many", {"a": 3, "b": 3})
    monkeypatch.setattr(class_folders, "MAX_FILES", 3)
    refuse(tmp_path / "many", "has more than 3 files")


def test_a_folder_that_vanishes_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    listed = class_folders.visible_entries

    def vanishing(folder: Path) -> list[Path]:
        found = listed(folder)
        if folder.name == "a":
            for path in found:
                path.unlink()
            folder.rmdir()
            return listed(folder)
        return found

    monkeypatch.setattr(class_folders, "visible_entries", vanishing)
    refuse(tmp_path, "cannot list folder 'a': No such file")


def test_an_image_that_vanishes_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    note = class_folders.debris_note

    def vanishing(root: Path) -> str:
        (tmp_path / "a" / "img2.png").unlink()
        return note(root)

    monkeypatch.setattr("he_compare.common.datasets.opened.labelled_files.debris_note", vanishing)
    refuse(tmp_path, r"a/img2\.png does not exist")


@pytest.mark.parametrize(
    "parts", [("fold1", "fold2", "fold3"), ("trn", "dev", "tst"), ("images", "masks")]
)
@pytest.mark.parametrize("group_by", ["", "folder"])
def test_parts_that_hold_the_same_classes_are_not_taken_for_classes(
    parts: tuple[str, ...], group_by: str, tmp_path: Path
) -> None:
    for part in parts:
        for label, name in enumerate(("covid", "normal", "pneumonia")):
            for number in range(3):
                write_example_picture(tmp_path / part / name / f"{number}.png", label, number)
    with pytest.raises(DataError, match=r"same sub-folders \('covid', .*look like the classes"):
        DATASET.open(str(tmp_path), None, "", 0, ReadingOptions(group_by=group_by))


@pytest.mark.parametrize("name", ["mask_{}.png", "{}_mask.png"])
def test_masks_beside_their_images_are_left_out(name: str, tmp_path: Path) -> None:
    for label, one in enumerate(("a", "b")):
        for number in range(12):
            write_example_picture(tmp_path / one / f"x{number}.png", label, number)
            write_example_picture(tmp_path / one / name.format(f"x{number}"), label, number)
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert sum(len(data.index(split).ids) for split in Split) == 24


def test_a_folder_of_masks_beside_the_classes_is_no_class(tmp_path: Path) -> None:
    for label, one in enumerate(("a", "b", "masks")):
        for number in range(12):
            write_example_picture(tmp_path / one / f"x{number}.png", label, number)
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert data.card.classes == ["a", "b"]
    assert "the folder 'masks' holds masks by its name and was passed over" in data.notes

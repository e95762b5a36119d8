"""What a table says of images: labels, splits, groups, lines said twice, and tables to choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.opened.indexed import IndexedImages
from he_compare.common.errors import DataError
from he_compare.common.reading_options import ReadingOptions
from he_compare.common.types import Split
from tests.support.downloadedfolders import table, tree

COUNT = 24


def split(number: int) -> str:
    return ("train", "train", "train", "train", "val", "test")[number % 6]


def label(number: int) -> str:
    return ("normal", "ill")[(number // 6 + number) % 2]


def line(number: int) -> str:
    return f"i/img{number}.png,{label(number)},{split(number)}"


def write(
    root: Path,
    header: str = "file,label,split",
    row: Callable[[int], str] = line,
    name: str = "labels.csv",
) -> None:
    if not (root / "i").exists():
        tree(root, {"i": COUNT})
    table(root / name, header, map(row, range(COUNT)))


def opened(root: Path, **columns: str) -> IndexedImages:
    data = DATASET.open(str(root), None, "", 0, ReadingOptions(csv_columns=columns))
    assert isinstance(data, IndexedImages)
    return data


def refuse(root: Path, message: str, **columns: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        opened(root, **columns)
    assert refused.value.fix


def labels_by_file(data: IndexedImages) -> dict[str, tuple[str, str]]:
    return {
        name: (data.card.classes[int(number)], split.value)
        for split in Split
        for name, number in zip(data.index(split).ids, data.index(split).labels, strict=True)
    }


def test_every_row_is_read_as_it_says(tmp_path: Path) -> None:
    write(tmp_path)
    expected = {f"i/img{n}.png": (label(n), split(n)) for n in range(COUNT)}
    assert labels_by_file(opened(tmp_path)) == expected


def test_splits_may_be_written_in_their_usual_words(tmp_path: Path) -> None:
    words = {"train": "Training", "val": "validation", "test": "TEST"}
    write(tmp_path, row=lambda n: f"i/img{n}.png,{label(n)},{words[split(n)]}")
    expected = {f"i/img{n}.png": (label(n), split(n)) for n in range(COUNT)}
    assert labels_by_file(opened(tmp_path)) == expected


def test_columns_are_read_by_the_names_that_are_given(tmp_path: Path) -> None:
    write(tmp_path, "path,finding,set,patient", lambda n: f"{line(n)},{n}")
    data = opened(tmp_path, file="path", label="finding", split="set", group="patient")
    assert labels_by_file(data)["i/img5.png"] == (label(5), "test")
    assert set(data.index(Split.TEST).groups) == {"5", "11", "17", "23"}


def test_a_named_column_goes_before_the_usual_one(tmp_path: Path) -> None:
    write(tmp_path, "file,label,split,other", lambda n: f"{line(n)},{'xy'[n // 6 % 2]}")
    assert opened(tmp_path).card.classes == ["ill", "normal"]
    assert opened(tmp_path, label="other").card.classes == ["x", "y"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": "lable"}, "no column 'lable', which --csv-columns names for label .*'label'"),
        ({"group": "patient"}, "no column 'patient', which --csv-columns names for group"),
    ],
)
def test_a_named_column_that_is_absent_is_refused_with_the_nearest(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    write(tmp_path)
    refuse(tmp_path, message, **columns)


def test_columns_without_a_table_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    refuse(tmp_path, "has no table to use it on", label="x")


@pytest.mark.parametrize(
    ("header", "option"),
    [
        ("filename,finding,split", "file=filename,label=finding"),
        ("xyz,dx,split", "file=xyz,label=dx"),
        ("xyz,abc,split", "file=xyz,label=COLUMN"),
        ("image path,class,phase", "'file=image path,label=class,split=phase'"),
        ("file,Diagnose,split", "label=COLUMN"),
    ],
)
def test_columns_that_may_be_meant_are_proposed(tmp_path: Path, header: str, option: str) -> None:
    write(tmp_path, header)
    refuse(tmp_path, rf"\(pass --csv-columns {option}\)")


def test_a_column_that_may_name_patients_is_proposed(tmp_path: Path) -> None:
    write(tmp_path, "file,label,split,Patient ID", lambda n: f"{line(n)},{n}")
    proposal = (
        "if 'Patient ID' of labels.csv names the patient, pass --csv-columns group=Patient ID"
    )
    assert proposal in opened(tmp_path).notes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("0", "1", "0.0", "1.0"), r"'0' \(6 images\) and '0\.0' \(6 images\); '1' .* and '1\.0'"),
        (("Normal", "ill", "normal", "Ill"), r"'Normal' \(6 images\) and 'normal' \(6 images\)"),
        (("a b", "ill", "a  b", "c"), r"'a\\x20\\x20b' \(6 images\) and 'a\\x20b'"),
        (("e\u0301", "\u00e9", "x", "y"), r"'e\\u0301' \(6 images\) and '\\xe9' \(6 images\)"),
        (("1", "2", "01", "3"), "'01' .* and '1'"),
        (("a", "b", "nan", "b"), r"has no label for 6 images \('nan'\)"),
        (("a", "b", "", "b"), r"label is empty in 6 of 24 rows \(lines 4, 8, 12, 16, 20, \.\.\.\)"),
        (("a", "b", "a|b", "b"), "names several classes for 6 images, for instance 'a|b'"),
        (("a", "a", "a", "a"), r"labels\.csv has one class only \('a'\)"),
    ],
)
def test_labels_that_do_not_say_one_class_are_asked_about(
    tmp_path: Path, labels: tuple[str, ...], message: str
) -> None:
    write(tmp_path, "file,label", lambda n: f"i/img{n}.png,{labels[n % 4]}")
    refuse(tmp_path, message)


def test_a_line_that_is_there_twice_is_taken_once_and_counted(tmp_path: Path) -> None:
    write(tmp_path, row=lambda n: line(n) + (f"\n./{line(n)}" if n in (3, 4) else ""))
    data = opened(tmp_path)
    assert len(labels_by_file(data)) == COUNT
    assert "lines of labels.csv that say again what others say: 2" in data.notes


@pytest.mark.parametrize(
    ("again", "message"),
    [
        ("i/img0.png,ill,train,0", "line 3: image 'i/img0.png' has two labels, 'normal' and 'ill'"),
        ("i/img0.png,normal,test,0", "'i/img0.png' is in two splits, train and test"),
        ("i/img0.png,normal,train,9", "'i/img0.png' is in two groups, '0' and '9'"),
    ],
)
def test_a_file_that_is_named_twice_with_other_words_is_refused(
    tmp_path: Path, again: str, message: str
) -> None:
    write(
        tmp_path,
        "file,label,split,group",
        lambda n: f"{line(n)},{n}" + (f"\n{again}" if n == 0 else ""),
    )
    refuse(tmp_path, rf"{message}.*\(first on labels\.csv line 2\)")


def test_one_group_for_all_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "file,label,group", lambda n: f"i/img{n}.png,{label(n)},site 1")
    refuse(tmp_path, r"every row has the group 'site 1' \(column 'group'\)")


def test_groups_stay_text_and_leading_zeros_are_told(tmp_path: Path) -> None:
    group = {0: "7", 2: "007"}
    write(
        tmp_path,
        "file,label,split,group",
        lambda n: f"{line(n)},{group.get(n, f'p{n}')}",
    )
    data = opened(tmp_path)
    assert {"7", "007"} <= set(data.index(Split.TRAIN).groups)
    assert any(note.startswith("1 groups of labels.csv differ") for note in data.notes)


def test_missing_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    for number in (1, 2, 3, 9):
        (tmp_path / "i" / f"img{number}.png").unlink()
    refuse(tmp_path, r"line 3: 4 of the 24 files named by the table do not exist: 'i/img1\.png'")


def test_folds_are_no_splits(tmp_path: Path) -> None:
    write(tmp_path, row=lambda n: f"i/img{n}.png,{label(n)},{n % 5}")
    refuse(tmp_path, r"split '0' is not one of train, val, test \(.*--csv-columns split=COLUMN")


def test_a_table_beside_class_folders_is_used_and_both_are_told(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 12, "b": 12})
    lines = [f"{c}/img{n}.png,{'xy'[n % 2]}" for c in "ab" for n in range(12)]
    table(tmp_path / "findings.csv", "file,label", lines)
    data = opened(tmp_path)
    assert data.card.classes == ["x", "y"]
    assert (
        "files and labels are from findings.csv; to have the 2 folders as classes instead, move "
        "the table away"
    ) in data.notes


@pytest.mark.parametrize(
    ("header", "row"),
    [("name,size", "gone{}.png,3"), ("file,label", "gone{}.png,x"), ("a,b", "1,{}")],
)
def test_a_table_that_does_not_name_the_images_is_told_and_passed_over(
    tmp_path: Path, header: str, row: str
) -> None:
    tree(tmp_path, {"a": 12, "b": 12})
    table(tmp_path / "about.csv", header, [row.format(n) for n in range(4)])
    data = opened(tmp_path)
    assert data.card.classes == ["a", "b"]
    assert any(note.startswith("no table was read: about.csv") for note in data.notes)


def test_a_table_that_may_be_meant_is_asked_about_before_folders_are_classes(
    tmp_path: Path,
) -> None:
    tree(tmp_path, {"part_1": 12, "part_2": 12}, "{}")
    lines = [f"part_{p}/{n},{'xy'[n % 2]}" for p in (1, 2) for n in range(12)]
    table(tmp_path / "metadata.csv", "image_id,dx", lines)
    refuse(tmp_path, "pass --csv-columns file=image_id,label=dx")


def test_labels_csv_is_read_before_other_tables_and_they_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, name="leaky.csv")
    assert "leaky.csv was not read, labels.csv was" in opened(tmp_path).notes


def test_other_images_of_the_folder_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    tree(tmp_path, {"more": 3})
    assert "3 images of the folder are not in labels.csv" in opened(tmp_path).notes


@pytest.mark.parametrize("other", ["normal\u200b", "Normal.", "nor\u00admal"])
def test_a_label_with_signs_that_do_not_show_is_asked_about(other: str, tmp_path: Path) -> None:
    def row(number: int) -> str:
        said = other if number % 8 == 0 and label(number) == "normal" else label(number)
        return f"i/img{number}.png,{said},{split(number)}"

    write(tmp_path, row=row)
    refuse(tmp_path, "spells what may be one class in several ways")


@pytest.mark.parametrize("word", ["?", "-", "unknown", "Missing", "NA"])
def test_a_word_for_no_label_is_no_class(word: str, tmp_path: Path) -> None:
    write(tmp_path, row=lambda n: f"i/img{n}.png,{word if n < 6 else label(n)},{split(n)}")
    refuse(tmp_path, "has no label for 6 images")


def test_one_id_as_a_number_with_and_without_a_point_is_asked_about(tmp_path: Path) -> None:
    def row(number: int) -> str:
        group = {0: "7", 4: "7.0"}.get(number, f"p{number}")
        return f"{line(number)},{group}"

    write(tmp_path, "file,label,split,group", row)
    refuse(tmp_path, r"may be one group in several ways: '7(\.0)?' and '7(\.0)?'")


def test_a_column_that_looks_like_a_split_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    write(tmp_path, "file,label,fold", lambda n: f"i/img{n}.png,{label(n)},{n % 5}")
    told = "column 'fold' of labels.csv is not read; if it names the split (train, val, test)"
    assert any(told in note for note in opened(tmp_path).notes)

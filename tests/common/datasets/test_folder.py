"""The user's own images: class folders or a CSV, given or cut splits, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.opened.copies_found import look_for_copies
from he_compare.common.datasets.opened.inspection import check
from he_compare.common.errors import DataError
from he_compare.common.types import Split
from tests.support.imagefolders import write_image, write_rows, write_tree


def write_table(
    folder: Path, rows: list[dict[str, object]], name: str = "labels.csv", size: int = 16
) -> Path:
    generator = np.random.default_rng(0)
    for row in rows:
        write_image(folder / str(row["file"]), len(str(row["label"])) % 2, size, generator)
    write_rows(folder / name, rows, tuple(rows[0]))
    return folder / name


def plain_rows(count: int = 40) -> list[dict[str, object]]:
    return [{"file": f"i/{i:02d}.png", "label": "ab"[i % 2]} for i in range(count)]


def grouped_rows(count: int = 40) -> list[dict[str, object]]:
    return [{**row, "group": f"g{i // 4}"} for i, row in enumerate(plain_rows(count))]


def refuse(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DATASET.open(str(path), None, "", 0)


def test_class_folders_are_cut_70_10_20_with_every_class(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 20}, size=16, classes=("cat", "dog", "owl"))
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert data.card.classes == ["cat", "dog", "owl"]
    assert data.card.positive_class == ""
    assert [np.bincount(data.index(s).labels).tolist() for s in Split] == [
        [14, 14, 14],
        [2, 2, 2],
        [4, 4, 4],
    ]
    assert any("patient groups are not known" in note for note in data.notes)


def test_given_split_folders_are_kept(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 6}, size=16, classes=("a", "b"), seed=1)
    write_tree(tmp_path, {"val": 2}, size=16, classes=("a", "b"), seed=2)
    write_tree(tmp_path, {"test": 4}, size=16, classes=("a", "b"), seed=3)
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert [len(data.index(split).ids) for split in Split] == [12, 4, 8]
    assert "splits as given" in data.notes


def test_validation_is_cut_from_train_where_it_is_missing(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 16}, size=16, classes=("a", "b"), seed=1)
    write_tree(tmp_path, {"test": 4}, size=16, classes=("a", "b"), seed=2)
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert [len(data.index(split).ids) for split in Split] == [28, 4, 8]


@pytest.mark.parametrize("name", ["labels.csv", "anything.csv"])
def test_a_folder_with_one_table_is_read_by_it(tmp_path: Path, name: str) -> None:
    table = write_table(tmp_path, grouped_rows(), name)
    by_folder = DATASET.open(str(tmp_path), None, "", 0)
    by_table = DATASET.open(str(table), None, "", 0)
    for split in Split:
        assert by_folder.index(split).ids == by_table.index(split).ids
    groups = [set(by_folder.index(split).groups) for split in Split]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_a_relative_argument_is_looked_for_in_data_dir(tmp_path: Path) -> None:
    write_table(tmp_path / "mine", plain_rows())
    assert len(DATASET.open("mine", tmp_path, "", 0).index(Split.TEST).ids) == 8
    assert len(DATASET.open("", tmp_path / "mine", "", 0).index(Split.TEST).ids) == 8


@pytest.mark.parametrize(
    "classes", [("abnormal", "normal"), ("CT_COVID", "CT_NonCOVID"), ("negative", "positive")]
)
def test_no_name_makes_a_class_the_positive_one(tmp_path: Path, classes: tuple[str, str]) -> None:
    write_tree(tmp_path, {"": 12}, size=16, classes=classes)
    assert DATASET.open(str(tmp_path), None, "", 0).card.positive_class == ""


def test_byte_identical_files_stay_in_one_split(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 20}, size=16, classes=("a", "b"))
    for i, file in enumerate(sorted((tmp_path / "a").iterdir())[:10]):
        (tmp_path / "a" / f"copy{i}.png").write_bytes(file.read_bytes())
    for seed in range(4):
        data = DATASET.open(str(tmp_path), None, "", seed)
        pixels = [
            {(tmp_path / name).read_bytes() for name in data.index(split).ids} for split in Split
        ]
        assert not (pixels[0] & pixels[1] or pixels[0] & pixels[2] or pixels[1] & pixels[2])
        assert any(note.startswith("10 images are exact copies") for note in data.notes)


def test_copies_in_another_format_stay_in_one_split(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 20}, size=16, classes=("a", "b"))
    for i, file in enumerate(sorted((tmp_path / "a").iterdir())[:10]):
        Image.open(file).convert("L").save(tmp_path / "a" / f"copy{i}.bmp")
    for seed in range(3):
        data = DATASET.open(str(tmp_path), None, "", seed)
        assert check(data).copies.across == 0
        assert any(
            note.startswith("10 images are exact copies of another one (compared by pixels)")
            for note in data.notes
        )


def test_other_files_are_left_out_and_told(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 12}, size=16, classes=("a", "b"))
    (tmp_path / "a" / "readme.txt").write_text("x")
    (tmp_path / "a" / ".hidden.png").write_text("x")
    notes = DATASET.open(str(tmp_path), None, "", 0).notes
    assert "other files in a were left out: 1 x .txt" in notes


def test_nothing_named_is_refused() -> None:
    with pytest.raises(DataError, match="folder:PATH"):
        DATASET.open("", None, "", 0)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", "no such folder or CSV: .*gone")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    refuse(tmp_path, "is empty")


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 12}, size=16, classes=("a", "b"))
    (tmp_path / "c").mkdir()
    refuse(tmp_path, "class folder 'c' has no .* images")


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 4}, size=16, classes=("a",))
    refuse(tmp_path, r"one class only \('a'\)")


def test_folders_inside_a_class_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 4}, size=16, classes=("a", "b"))
    (tmp_path / "b" / "more").mkdir()
    refuse(tmp_path, "class folder 'b' contains the folder 'more'")


def test_train_without_test_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 8}, size=16, classes=("a", "b"))
    refuse(tmp_path, "there is no test split")


def test_a_class_folder_beside_train_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 4, "test": 4, "extra": 4}, size=16, classes=("a", "b"))
    refuse(tmp_path, "has 'extra' beside train/")


def test_a_copy_in_two_given_splits_is_counted(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 20}, size=16, classes=("a", "b"), seed=1)
    write_tree(tmp_path, {"test": 4}, size=16, classes=("a", "b"), seed=2)
    source = next((tmp_path / "train/a").iterdir())
    (tmp_path / "test/a/copy.png").write_bytes(source.read_bytes())
    facts = look_for_copies(DATASET.open(str(tmp_path), None, "", 0)).facts("keep")
    assert (facts.count, facts.test_images, facts.test_per_class) == (1, 1, {"a": 1})


def test_several_tables_are_refused_by_name(tmp_path: Path) -> None:
    write_table(tmp_path, plain_rows(), "one.csv")
    write_table(tmp_path, plain_rows(), "two.csv")
    refuse(tmp_path, r"several CSV files \(one\.csv, two\.csv\)")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    refuse(tmp_path / "data.xlsx", "neither a folder nor a CSV")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv has no column 'file' and no column 'label' \(it has none\)"),
        ("file,label\n", "has no rows"),
        ("file,klass\na.png,x\n", "no column 'label'"),
        ("file,label,label\na.png,x,y\n", "two columns 'label'"),
        ("file,label\na.png,x,y\n", "line 2 has 3 values, the header has 2"),
        ("file,label\na.png,\n", "line 2: label is empty"),
        ('file,label\n"a.png,x\n', "line 2 is not CSV"),
        ("file,label\ngone.png,x\n", r"line 2: file 'gone\.png' does not exist"),
        ("file,label\n../a.png,x\n", "leads out of the folder"),
        ("file,label\n" + "a" * 5000 + ",x\n", "line 2: file is not plain text"),
    ],
)
def test_bad_tables_are_refused_with_line_and_value(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    refuse(tmp_path, message)


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe.png,x\n")
    refuse(tmp_path, r"labels\.csv is not UTF-8 \(byte 11\)")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    table = write_table(tmp_path, plain_rows())
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(DATASET.open(str(table), None, "", 0).index(Split.TEST).ids) == 8


def test_a_table_whose_splits_share_a_group_is_refused(tmp_path: Path) -> None:
    rows = [
        {**row, "split": ("train", "val", "test")[i % 3], "group": f"g{i}"}
        for i, row in enumerate(plain_rows())
    ]
    rows[3]["group"] = rows[5]["group"] = "shared"
    write_table(tmp_path, rows)
    refuse(tmp_path, "patient group 'shared' is in two splits, train and test")


def test_an_image_in_two_splits_of_a_table_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "split": ("train", "test")[i // 20]} for i, row in enumerate(plain_rows())]
    rows.append({**rows[0], "split": "test"})
    write_table(tmp_path, rows)
    refuse(tmp_path, r"line 42: image 'i/00\.png' is in two splits, train and test")


def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "in", {"": 12}, size=16, classes=("a", "b"))
    write_tree(tmp_path / "out", {"": 1}, size=16, classes=("a",))
    (tmp_path / "in/a/zz.png").symlink_to(next((tmp_path / "out/a").iterdir()))
    refuse(tmp_path / "in", r"'a/zz\.png' leads out of the folder")


@pytest.mark.parametrize("side", [9_000, 20_000])
def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    write_tree(tmp_path, {"": 12}, size=16, classes=("a", "b"))
    Image.new("1", (side, side)).save(tmp_path / "a" / "bomb.png", compress_level=1)
    refuse(tmp_path, r"a/bomb\.png has .*more than 64,000,000")

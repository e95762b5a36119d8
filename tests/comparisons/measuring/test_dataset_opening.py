"""How a dataset is to be read: options are checked by name, given to families that follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.datasets.chestxray import DATASET as CHESTXRAY
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.reading_options import ReadingOptions
from he_compare.comparisons.measuring.config import RunConfig, load_config
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.comparisons.measuring.opening_options import (
    DataOptions,
    columns_of,
    data_options,
    option_words,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, name in enumerate(("CT_COVID", "CT_NonCOVID")):
        for number in range(20):
            write_example_picture(tmp_path / name / f"{number:02d}.png", label, number)
    return tmp_path


def test_columns_are_read_by_role() -> None:
    assert columns_of("") == {}
    assert columns_of("file=image_path, label = finding") == {
        "file": "image_path",
        "label": "finding",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_path", "'image_path' is not ROLE=COLUMN"),
        ("file=", "'file=' is not ROLE=COLUMN"),
        ("patient=id", "no role 'patient'"),
        ("file=a,file=b", "names 'file' twice"),
    ],
)
def test_columns_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        columns_of(text)
    with pytest.raises(UsageError, match=message):
        load_config("smoke", {"csv_columns": text})


@pytest.mark.parametrize(
    ("name", "value"), [("copies", "remove"), ("group_by", "patient"), ("frames", "last")]
)
def test_an_unknown_value_is_refused_by_option(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} '{value}' is not one of"):
        data_options(**{name: value})
    with pytest.raises(UsageError, match=f"{name}='{value}'"):
        load_config("smoke", {name: value})


def test_a_family_that_cannot_follow_an_option_refuses_it() -> None:
    with pytest.raises(UsageError, match="'chestxray' does not take --frames"):
        CHESTXRAY.open("", None, "", 0, ReadingOptions(frames="all"))


def test_words_of_a_command_say_what_differs_from_unasked_and_are_read_back() -> None:
    assert option_words(DataOptions()) == []
    asked = data_options("keep", "", "folder", "file=image path,label=x", "middle")
    words = option_words(asked)
    assert words == [
        "--copies keep",
        "--group-by folder",
        "--csv-columns 'file=image path,label=x'",
        "--frames middle",
    ]


def test_settings_of_a_run_are_the_same_options() -> None:
    config = load_config("smoke", {"copies": "error", "positive": "ill", "group_by": "folder"})
    assert isinstance(config, RunConfig)
    assert config.data_options() == data_options("error", "ill", "folder")


def test_the_positive_class_is_the_one_that_was_named(folder: Path) -> None:
    data = open_dataset(f"folder:{folder}", None, "", 0, data_options(positive="CT_COVID"))
    assert data.card.positive_class == "CT_COVID"
    assert "positive class: 'CT_COVID', as the command says" in data.notes


def test_a_class_that_does_not_exist_cannot_be_positive(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"'CT_Covid' is not a class .*'CT_COVID'") as refused:
        open_dataset(f"folder:{folder}", None, "", 0, data_options(positive="CT_Covid"))
    assert not isinstance(refused.value, UnknownNameError)


def test_of_three_classes_none_is_positive(folder: Path) -> None:
    for number in range(20):
        write_example_picture(folder / "third" / f"{number:02d}.png", 0, number + 50)
    with pytest.raises(UsageError, match="has 3 classes, not two"):
        open_dataset(f"folder:{folder}", None, "", 0, data_options(positive="third"))

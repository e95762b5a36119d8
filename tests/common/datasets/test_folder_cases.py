"""The folders with troubles that reviewers wrote, and the real ones: each has its right answer."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.opened.labelled_files import read_own
from he_compare.common.datasets.reading.class_folders import class_images
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.errors import DataError
from he_compare.common.reading_options import NOTHING_ASKED, ReadingOptions
from he_compare.common.types import Split

READ = {
    "layout/capital_train": ([10, 2, 12], ""),
    "layout/kaggle_valid": ([8, 8, 8], ""),
    "layout/mac_zip": ([18, 2, 4], "2 x .DS_Store, 1 x ._*, 1 x Thumbs.db, 1 x __MACOSX"),
    "layout/one_level_down": ([18, 2, 4], "below the folder 'dataset'"),
    "layout/synology": ([18, 2, 4], "1 x @eaDir"),
    "layout/upper_ext": (None, "1 x without ending"),
    "names/long_and_odd": ([24, 4, 6], ""),
    "names/nfd": ([18, 2, 4], ""),
    "csv/cp1252": ([16, 4, 4], "read as Windows-1252: 'Entzündung'"),
    "csv/duplicate_row": ([16, 4, 4], "say again what others say: 1"),
    "csv/group_ints": ([18, 2, 4], ""),
    "csv/int_labels": ([16, 4, 4], ""),
    "csv/nfc_table_nfd_disk": ([16, 4, 4], "found in another Unicode form"),
    "csv/no_extension": ([16, 4, 4], "24 files of labels.csv were found without their ending"),
    "csv/semicolon": ([16, 4, 4], "separated by semicolons"),
    "csv/tab": ([16, 4, 4], "separated by tabs"),
    "csv/two_tables": ([16, 4, 4], "meta.csv was not read, labels.csv was"),
    **{
        f"csv/{name}": ([16, 4, 4], "")
        for name in (
            *("plain", "bom", "crlf", "cr_only", "utf16", "header_case", "quoted_commas"),
            *("absolute", "backslash", "excel_empty_rows", "header_comma", "split_words"),
            *("index_column", "upper_csv"),
        )
    },
}
REFUSED = {
    "layout/case_classes": "'Normal' .* and 'normal'",
    "layout/nested_class": "--group-by folder",
    "layout/train_val_only": "there is no test split",
    "names/latin1": r"'a/r\\xf6ntgen3\.png' is not UTF-8",
    "names/newline": r"'a/im\\ng3\.png' has control characters",
    "csv/dot_slash_twice": "in two splits, train and test",
    "csv/float_labels": r"'0' \(6 images\) and '0\.0'",
    "csv/group_zero_padded": "group '007' is in two splits",
    "csv/header_filename": "--csv-columns file=filename,label=finding",
    "csv/label_case": "'Normal' .* and 'normal'",
    "csv/nan_label": "line 7: label is empty",
}
# Read where the format is read, whatever the layout.
OF_FORMATS = {"layout/all_tif"}


@pytest.fixture(scope="module")
def cases(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders written by the script of the reviewers; skips where it is not there."""
    script = real_data.parent / "cases" / "folders" / "make.py"
    if not script.is_file():
        pytest.skip("there is no cases/folders/make.py beside the folder of COMPARE_DATA")
    out = tmp_path_factory.mktemp("cases")
    runpy.run_path(str(script))["main"](out)
    return out


def test_every_case_has_its_right_answer(cases: Path) -> None:
    there = {
        f"{kind}/{path.name}"
        for kind in ("layout", "names", "csv")
        for path in (cases / kind).iterdir()
    }
    assert there == {*READ, *REFUSED, *OF_FORMATS}


@pytest.mark.parametrize("name", READ)
def test_a_case_is_read_right(cases: Path, name: str) -> None:
    sizes, note = READ[name]
    data = DATASET.open(str(cases / name), None, "", 0)
    assert sizes is None or [len(data.index(split).ids) for split in Split] == sizes
    assert any(note in one for one in data.notes)
    if name == "csv/group_ints":
        assert [len(set(data.index(split).groups)) for split in Split] == [9, 1, 2]


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_is_refused_right(cases: Path, name: str) -> None:
    with pytest.raises(DataError, match=REFUSED[name]) as refused:
        DATASET.open(str(cases / name), None, "", 0)
    assert refused.value.fix


def test_the_columns_that_a_case_needs_make_it_read(cases: Path) -> None:
    reading = ReadingOptions(csv_columns={"file": "filename", "label": "finding"})
    data = DATASET.open(str(cases / "csv/header_filename"), None, "", 0, reading)
    assert [len(data.index(split).ids) for split in Split] == [16, 4, 4]


@pytest.mark.parametrize(
    ("name", "classes", "sizes", "grouped"),
    [
        # One more file lies in Testing/meningioma/.ipynb_checkpoints, which a notebook left there.
        ("brainmri", 4, [5708, 0, 1311], False),
        ("histology", 5, [3203, 455, 916], True),
        ("histology/leaky.csv", 5, [3202, 458, 914], False),
        ("chestxray/subset.csv", 2, [800, 200, 400], True),
        ("chestxray/images", 2, [5216, 0, 624], False),
    ],
)
def test_real_folders_and_tables_are_read(
    real_data: Path, name: str, classes: int, sizes: list[int], grouped: bool
) -> None:
    if not (real_data / name).exists():
        pytest.skip(f"{name} is not there")
    own = read_own("folder", name, real_data, class_images, NOTHING_ASKED, SUFFIXES)
    assert len(own.classes) == classes
    assert [sum(row.split is split for row in own.rows) for split in Split] == sizes
    assert own.grouped is grouped

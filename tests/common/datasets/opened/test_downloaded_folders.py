"""Folders as public archives unpack: each is read right, or refused with the way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.folder import DATASET
from he_compare.common.errors import DataError
from he_compare.common.reading_options import NOTHING_ASKED, ReadingOptions
from he_compare.common.types import Split
from tests.support.downloadedfolders import BUILDERS

READ = {
    "kaggle_chest_xray": (["NORMAL", "PNEUMONIA"], [12, 4, 8], "holds the same files again"),
    "oct2017": (["CNV", "DME", "DRUSEN", "NORMAL"], [16, 16, 16], "below the folder 'OCT2017'"),
    "covid_radiography": (["COVID", "Normal", "Viral Pneumonia"], [15, 3, 6], "COVID/masks was"),
    "roboflow": (["ill", "well"], [8, 8, 8], "splits as given"),
    "tb_chest": (["Normal", "Tuberculosis"], [10, 2, 4], "below the folder 'TB_Chest"),
    "brain_yes_no": (["no", "yes"], [10, 2, 4], "'brain_tumor_dataset' holds the same files"),
    "malaria": (["Parasitized", "Uninfected"], [10, 2, 4], "passed over: 2 x Thumbs.db"),
    "kvasir_split_in_class": (["polyps", "ulcer"], [12, 12, 12], "splits as given"),
    "train_test_tables": (["a", "b"], [12, 4, 8], "splits as given"),
    "colab_paths": (["x", "y"], [18, 2, 4], "begin with another folder"),
    "windows_paths": (["a", "b"], [10, 2, 4], "upper and lower case taken as one"),
    "ultrasound_masks": (["benign", "malignant", "normal"], [12, 3, 3], "6 images in benign are m"),
}
REFUSED = {
    "ham10000": r"pass --csv-columns file=image_id,label=dx,group=lesion_id\)",
    "isic2018": r"columns of 0 and 1 \('MEL', 'NV', 'BCC'\) are not read",
    "isic_gallery": r"--csv-columns file=isic_id,label=diagnosis_1,group=patient_id\)",
    "aptos": r"train\.csv: --csv-columns file=id_code,label=diagnosis\) \(name one: folder:PATH",
    "pad_ufes": r"--csv-columns file=img_id,label=diagnostic,group=patient_id\)",
    "breakhis": r"'benign' contains the folder 'SOB' .*--group-by folder",
    "breast_patches": r"contains 2 folders \('0', '1'\) .*if they are the classes, list the images",
    "mura": r"'train/XR_ELBOW' contains 4 folders .*--group-by folder",
    "shenzhen": r"all images of 'shenzhen' are in its folder 'CXR_png', the others have none",
    "rsna": r"only 6 x \.dcm, 1 x \.csv \(read DICOM files with --dataset dicom:PATH\)",
    "chexpert": r"--csv-columns file=Path,label=COLUMN; columns of 0 and 1 \('No Finding'",
    "intel_style": r"has 'seg_pred' beside seg_train/, seg_test/",
    "roboflow_table": r"train/ has 4 images and no class folders.*_classes\.csv in it is not read",
    "huggingface": r"metadata\.csv in it is not read .*write one CSV of file,label,split",
    "diabetic_resized": r"--csv-columns file=image,label=level\)",
    "mias": r"there are no .* images in 'mias', only 4 x \.pgm",
    "cbis": r"all images of 'cbis' are in its folder 'jpeg'",
    "dicom_by_class": r"only 6 x \.dcm \(read DICOM files",
    "patients_below_splits": r"'train/ill' contains 6 folders .*--group-by folder",
}
# What the refusal says to pass, and what comes of it.
ADVICE = {
    "ham10000": (
        "",
        {"file": "image_id", "label": "dx", "group": "lesion_id"},
        ["mel", "nv"],
        "40 files of HAM10000_metadata.csv were found in sub-folders (20 in HAM10000_images_part_1",
    ),
    "aptos": (
        "train.csv",
        {"file": "id_code", "label": "diagnosis"},
        ["0", "1"],
        "3 images of the folder are not in train.csv",
    ),
    "pad_ufes": (
        "metadata.csv",
        {"file": "img_id", "label": "diagnostic", "group": "patient_id"},
        ["ACK", "BCC"],
        "24 files of metadata.csv were found in sub-folders",
    ),
    "diabetic_resized": (
        "",
        {"file": "image", "label": "level"},
        ["0", "1"],
        "12 files of trainLabels.csv were found under another ending",
    ),
}


def opened(root: Path, reading: ReadingOptions = NOTHING_ASKED) -> OpenDataset:
    return DATASET.open(str(root), None, "", 0, reading)


def test_every_archive_has_its_right_answer() -> None:
    assert {*READ} | {*REFUSED} == {*BUILDERS}
    assert not {*READ} & {*REFUSED}


@pytest.mark.parametrize("name", READ)
def test_an_archive_is_read_with_one_command(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    BUILDERS[name](root)
    classes, sizes, note = READ[name]
    data = opened(root)
    assert data.card.classes == classes
    assert [len(data.index(split).ids) for split in Split] == sizes
    assert any(note in one for one in data.notes)
    for split in Split:
        index = data.index(split)
        # The class is the folder or, in tables, the number of the image; both are in its path.
        assert all((root_of(data) / one).is_file() for one in index.ids)


def root_of(data: OpenDataset) -> Path:
    root = data.root  # type: ignore[attr-defined]
    assert isinstance(root, Path)
    return root


@pytest.mark.parametrize("name", REFUSED)
def test_an_archive_that_says_too_little_is_refused_with_the_way_on(
    name: str, tmp_path: Path
) -> None:
    root = tmp_path / name
    BUILDERS[name](root)
    with pytest.raises(DataError, match=REFUSED[name]):
        opened(root)


@pytest.mark.parametrize("name", ADVICE)
def test_the_option_that_a_refusal_proposes_works(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    BUILDERS[name](root)
    table, columns, classes, note = ADVICE[name]
    data = opened(root / table, ReadingOptions(csv_columns=columns))
    assert data.card.classes == classes
    assert any(note in one for one in data.notes)
    groups = [set(data.index(split).groups) for split in Split]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_patients_below_classes_below_splits_are_groups(tmp_path: Path) -> None:
    BUILDERS["patients_below_splits"](tmp_path)
    data = opened(tmp_path, ReadingOptions(group_by="folder"))
    assert [len(data.index(split).ids) for split in Split] == [20, 4, 24]
    assert set(data.index(Split.TEST).groups) == {
        f"P{n}{label}" for n in range(10, 16) for label in ("ill", "well")
    }
    assert any(note.startswith("24 patients, one per name") for note in data.notes)

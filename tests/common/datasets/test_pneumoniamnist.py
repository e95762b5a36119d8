"""PneumoniaMNIST: npz in MedMNIST layout, and files that are not what they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.datasets.medmnist import DATASET as FAMILIES
from he_compare.common.errors import DataError
from he_compare.common.types import Split
from tests.support.imagefolders import rewrite_npz, write_medmnist_like

DATASET = FAMILIES["pneumoniamnist"]


def refuse(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DATASET.open("", path.parent, "", 0)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return write_medmnist_like(tmp_path / "data" / "pneumoniamnist.npz")


def test_the_published_split_is_read_with_stable_ids(npz: Path) -> None:
    data = DATASET.open("", npz.parent, "", 0)
    assert [len(data.index(split).ids) for split in Split] == [40, 10, 20]
    assert data.index(Split.VAL).ids[3] == "val/00003"
    assert data.index(Split.VAL).labels.tolist() == [0, 1] * 5


def test_images_are_scaled_to_rgb(npz: Path) -> None:
    data = DATASET.open("", npz.parent, "", 0)
    images = data.read(Split.TEST, np.array([5, 1]), 32)
    assert images.shape == (2, 32, 32, 3)
    native = data.read(Split.TEST, np.array([5]), 28)[0]
    with np.load(npz) as archive:
        assert np.array_equal(native[:, :, 0], archive["test_images"][5])


def test_a_larger_size_is_its_own_file(tmp_path: Path) -> None:
    write_medmnist_like(tmp_path / "pneumoniamnist_64.npz", (4, 2, 2), size=64)
    data = DATASET.open("64", tmp_path, "", 0)
    assert data.read(Split.VAL, np.array([0]), 64).shape == (1, 64, 64, 3)


def test_an_unknown_size_lists_the_known_ones(npz: Path) -> None:
    with pytest.raises(DataError, match=r"no size '32'.*28, 64, 128, 224"):
        DATASET.open("32", npz.parent, "", 0)


def test_a_file_that_is_not_the_official_one_is_told(npz: Path) -> None:
    notes = DATASET.open("", npz.parent, "", 0).notes
    assert any("not byte for byte the official file" in note for note in notes)


def test_a_truncated_file_is_refused(npz: Path) -> None:
    npz.write_bytes(npz.read_bytes()[:-200])
    refuse(npz, r"pneumoniamnist\.npz cannot be read as npz")


def test_damaged_bytes_are_refused(npz: Path) -> None:
    data = bytearray(npz.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
    npz.write_bytes(bytes(data))
    refuse(npz, r"cannot be read as npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, "no array 'val_labels'"),
        (
            {"test_images": np.zeros((20, 32, 32), np.uint8)},
            r"'test_images'.*\(20, 32, 32\), expected uint8 \(n, 28, 28\)",
        ),
        ({"test_images": np.zeros((20, 28, 28))}, "float64"),
        ({"test_labels": np.zeros((19, 1), np.uint8)}, r"'test_labels'.*\(19, 1\)"),
        ({"test_labels": np.zeros((20, 1))}, "'test_labels'.*float64"),
        ({"test_labels": np.full((20, 1), 2, np.uint8)}, "label 2, known are 0 to 1"),
        ({"train_labels": np.zeros((40, 1), np.uint8)}, "all of one class"),
        (
            {
                "val_images": np.zeros((0, 28, 28), np.uint8),
                "val_labels": np.zeros((0, 1), np.int8),
            },
            "the val split has no images",
        ),
    ],
)
def test_wrong_arrays_are_refused_by_name(
    npz: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    rewrite_npz(npz, **changes)
    refuse(npz, message)


def test_pickled_objects_are_never_loaded(npz: Path) -> None:
    rewrite_npz(npz, test_labels=np.array([{"a": 1}] * 20, dtype=object))
    refuse(npz, "holds Python objects")

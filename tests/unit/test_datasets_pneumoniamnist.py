"""PneumoniaMNIST: npz in MedMNIST layout, its download, and files that are not what they claim."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.datasets import pneumoniamnist
from common.datasets.pneumoniamnist import DATASET
from common.errors import DataError
from common.types import Split
from tests.imagefolders import write_medmnist_like


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPARE_DATA", raising=False)
    monkeypatch.setattr(
        pneumoniamnist, "data_cache", lambda name: tmp_path / "cache" / "data" / name
    )
    monkeypatch.setattr(
        "common.datasets.locate.data_cache", lambda name: tmp_path / "cache" / "data" / name
    )


def refuse(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DATASET.open("", path.parent, "", 0)


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    with np.load(path) as archive:
        arrays: dict[str, Any] = {**{name: archive[name] for name in archive.files}, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


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
    rewrite(npz, **changes)
    refuse(npz, message)


def test_pickled_objects_are_never_loaded(npz: Path) -> None:
    rewrite(npz, test_labels=np.array([{"a": 1}] * 20, dtype=object))
    refuse(npz, "holds Python objects")


def test_with_a_data_dir_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pneumoniamnist, "download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(DataError, match=r"looked in .*--data-dir.*put pneumoniamnist\.npz there"):
        DATASET.open("", tmp_path, "", 0)


def test_a_download_is_kept_once_its_checksum_holds(
    tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = hashlib.md5(npz.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(pneumoniamnist.OFFICIAL_MD5, 28, official)
    calls = []

    def fake(folder: Path, size: int) -> None:
        calls.append(size)
        (folder / "pneumoniamnist.npz").write_bytes(npz.read_bytes())

    monkeypatch.setattr(pneumoniamnist, "download", fake)
    for _ in range(2):
        data = DATASET.open("", None, "", 0)
        assert any("is the official file" in note for note in data.notes)
    assert calls == [28]
    cached = tmp_path / "cache/data/pneumoniamnist"
    assert [file.name for file in cached.iterdir()] == ["pneumoniamnist.npz"]


def test_an_altered_download_is_deleted_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(folder: Path, size: int) -> None:
        (folder / "pneumoniamnist.npz").write_bytes(b"half a file")

    monkeypatch.setattr(pneumoniamnist, "download", fake)
    with pytest.raises(DataError, match=r"MD5 is not the official one; it was deleted"):
        DATASET.open("", None, "", 0)
    assert not any((tmp_path / "cache/data/pneumoniamnist").iterdir())


@pytest.mark.parametrize("error", [RuntimeError("Automatic download failed!\n more"), OSError("x")])
def test_without_a_network_the_places_and_the_fix_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(folder: Path, size: int) -> None:
        (folder / "pneumoniamnist.npz").write_bytes(b"partial")
        raise error

    monkeypatch.setattr(pneumoniamnist, "download", fail)
    with pytest.raises(DataError, match=r"looked in .*user cache.*failed.*fetch .*--data-dir"):
        DATASET.open("", None, "", 0)
    assert not any((tmp_path / "cache/data/pneumoniamnist").iterdir())


def test_an_interrupted_download_stays_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, size: int) -> None:
        try:
            raise KeyboardInterrupt
        except BaseException:
            raise RuntimeError("Automatic download failed!")  # noqa: B904

    monkeypatch.setattr(pneumoniamnist, "download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DATASET.open("", None, "", 0)
    assert not any((tmp_path / "cache/data/pneumoniamnist").iterdir())

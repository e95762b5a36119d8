"""The twelve 2-D MedMNIST sets: their facts agree with the package, their files are validated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.datasets.chestmnist import DATASET as CHEST
from he_compare.common.datasets.chestmnist import FACTS as CHEST_FACTS
from he_compare.common.datasets.medmnist import MedMnist
from he_compare.common.datasets.medmnist_sets.known_sets import SIZES, MedMnistSet, known_names
from he_compare.common.datasets.opened.copies_found import look_for_copies
from he_compare.common.datasets.reading import npz
from he_compare.common.datasets.stored import nameless
from he_compare.common.errors import DataError, UnknownNameError
from he_compare.common.plugins import discover, load
from he_compare.common.types import Split
from tests.support.imagefolders import rewrite_npz, write_chestmnist_like, write_medmnist_like

FAMILIES = {
    name: family
    for name in discover("datasets")
    if isinstance(family := load("datasets", name), MedMnist)
}
ALL_FACTS = {name: family.facts for name, family in FAMILIES.items()} | {"chestmnist": CHEST_FACTS}


def test_all_twelve_sets_are_there() -> None:
    from medmnist import INFO

    assert sorted(ALL_FACTS) == sorted(name for name in INFO if not name.endswith("3d"))
    assert len(ALL_FACTS) == 12


def test_a_set_of_the_table_is_also_named_where_plug_ins_are_listed_from() -> None:
    missing = known_names() - set(ALL_FACTS)
    assert not missing, f"add {sorted(missing)} to NAMES in common/datasets/medmnist.py"
    unknown = set(ALL_FACTS) - known_names()
    assert not unknown, f"add {sorted(unknown)} to common/datasets/medmnist_sets/known_sets.toml"


@pytest.mark.parametrize("name", sorted(ALL_FACTS))
def test_the_facts_are_those_of_the_package(name: str) -> None:
    from medmnist import INFO

    facts: MedMnistSet = ALL_FACTS[name]
    stated = INFO[name]
    assert facts.name == name
    assert facts.task == stated["task"]
    assert facts.licence == stated["license"]
    assert facts.channels == stated["n_channels"]
    assert list(facts.counts) == [stated["n_samples"][split] for split in ("train", "val", "test")]
    assert dict(facts.md5) == {
        size: stated["MD5" if size == 28 else f"MD5_{size}"] for size in SIZES
    }
    if name != "chestmnist":
        classes = [stated["label"][str(i)] for i in range(len(stated["label"]))]
        assert [label.removeprefix("grade ") for label in facts.classes] == classes


def test_the_findings_of_chestmnist_are_those_of_the_package() -> None:
    from medmnist import INFO

    from he_compare.common.datasets.chestmnist import FINDINGS

    assert list(FINDINGS) == list(INFO["chestmnist"]["label"].values())


@pytest.mark.parametrize("name", sorted(ALL_FACTS))
def test_a_card_discloses_size_split_licence_and_unknown_patients(name: str) -> None:
    card = load("datasets", name).card()
    told = " ".join(card.caveats)
    assert "28 x 28" in told and "atients" in told
    assert "10.5281/zenodo.10519652" in card.source
    assert f"{ALL_FACTS[name].counts[0]:,} train" in card.description
    assert not card.synthetic


def test_dermamnist_is_told_to_forbid_commercial_use() -> None:
    card = load("datasets", "dermamnist").card()
    assert card.licence == "CC BY-NC 4.0"
    assert "The licence forbids commercial use." in card.caveats


def test_breastmnist_has_malignant_as_positive_class() -> None:
    assert load("datasets", "breastmnist").card().positive_class == "malignant"


def test_colour_sets_keep_their_colours(tmp_path: Path) -> None:
    path = write_medmnist_like(
        tmp_path / "bloodmnist.npz", (16, 8, 8), classes=8, channels=3, size=28
    )
    colours = np.zeros((8, 28, 28, 3), np.uint8)
    colours[:, :, :, 1] = 200
    rewrite_npz(path, test_images=colours)
    data = FAMILIES["bloodmnist"].open("", tmp_path, "", 0)
    assert data.read(Split.TEST, np.array([3]), 16)[0, 5, 5].tolist() == [0, 200, 0]


def test_a_grey_file_for_a_colour_set_is_refused(tmp_path: Path) -> None:
    write_medmnist_like(tmp_path / "pathmnist.npz", (18, 9, 9), classes=9)
    with pytest.raises(DataError, match=r"expected uint8 \(n, 28, 28, 3\)"):
        FAMILIES["pathmnist"].open("", tmp_path, "", 0)


def test_a_label_out_of_range_is_named(tmp_path: Path) -> None:
    path = write_medmnist_like(tmp_path / "organcmnist.npz", (22, 11, 11), classes=11)
    rewrite_npz(path, val_labels=np.full((11, 1), 11, np.uint8))
    with pytest.raises(DataError, match=r"'val_labels' .* has the label 11, known are 0 to 10"):
        FAMILIES["organcmnist"].open("", tmp_path, "", 0)


def test_images_and_labels_of_other_numbers_are_refused(tmp_path: Path) -> None:
    path = write_medmnist_like(tmp_path / "octmnist.npz", (16, 8, 8), classes=4)
    rewrite_npz(path, test_labels=np.zeros((7, 1), np.uint8))
    with pytest.raises(DataError, match=r"'test_labels' .*expected \(8, k\)"):
        FAMILIES["octmnist"].open("", tmp_path, "", 0)


def test_copies_across_the_published_splits_are_counted(tmp_path: Path) -> None:
    path = write_medmnist_like(tmp_path / "breastmnist.npz", (16, 8, 8))
    with np.load(path) as stored:
        rewrite_npz(path, test_images=stored["train_images"][:8])
    facts = look_for_copies(FAMILIES["breastmnist"].open("", tmp_path, "", 0)).facts("keep")
    assert facts.count == facts.test_images == 8


def test_a_large_set_is_unpacked_once_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_medmnist_like(tmp_path / "tissuemnist.npz", (16, 8, 8), classes=8)
    plain = FAMILIES["tissuemnist"].open("", tmp_path, "", 0)
    monkeypatch.setattr(npz, "IN_MEMORY_BYTES", 8 * 28 * 28)
    for _ in range(2):
        mapped = npz.read_npz(path, ("train_images", "test_images"))
        assert isinstance(mapped["train_images"], np.memmap)
        assert not isinstance(mapped["test_images"], np.memmap)
    data = FAMILIES["tissuemnist"].open("", tmp_path, "", 0)
    some = np.array([7, 2])
    assert np.array_equal(data.read(Split.TRAIN, some, 28), plain.read(Split.TRAIN, some, 28))
    unpacked = npz.data_cache("unpacked")
    assert [file.name for file in unpacked.rglob("*.npy")] == ["train_images.npy"]
    assert not list(unpacked.rglob(".*"))


def test_an_unpacked_array_that_was_damaged_is_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_medmnist_like(tmp_path / "tissuemnist.npz", (16, 8, 8), classes=8)
    monkeypatch.setattr(npz, "IN_MEMORY_BYTES", 8 * 28 * 28)
    whole = np.array(npz.read_npz(path, ("train_images",))["train_images"])
    (file,) = npz.data_cache("unpacked").rglob("*.npy")
    digest = file.with_name(f"{file.name}.sha256")
    for damaged in (file, digest):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        caplog.clear()
        again = npz.read_npz(path, ("train_images",))["train_images"]
        assert np.array_equal(again, whole)
        assert "train_images.npy in the cache is damaged" in caplog.text


def test_an_array_is_unpacked_elsewhere_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_medmnist_like(tmp_path / "tissuemnist.npz", (16, 8, 8), classes=8)
    monkeypatch.setattr(npz, "IN_MEMORY_BYTES", 8 * 28 * 28)
    whole = np.array(npz.read_npz(path, ("train_images",))["train_images"])
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(npz, "data_cache", lambda _: tmp_path / "file" / "cache")
    again = npz.read_npz(path, ("train_images",))["train_images"]
    assert isinstance(again, np.memmap) and np.array_equal(again, whole)
    assert "is not kept in the cache (Not a directory)" in caplog.text


def test_a_set_larger_than_the_disk_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_medmnist_like(tmp_path / "tissuemnist.npz", (16, 8, 8), classes=8)
    monkeypatch.setattr(npz, "IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(npz.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    monkeypatch.setattr(nameless, "MEMORY_SHARE", 0.0)
    with pytest.raises(DataError, match=r"more than is free.*smaller size"):
        npz.read_npz(path, ("train_images",))


def test_an_npz_bomb_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_medmnist_like(tmp_path / "octmnist.npz", (16, 8, 8), classes=4)
    monkeypatch.setattr(npz, "MAX_ARRAY_BYTES", 1000)
    with pytest.raises(DataError, match="claims 12,544 bytes, more than 1,000"):
        FAMILIES["octmnist"].open("", tmp_path, "", 0)


def test_hostile_member_names_of_an_archive_are_neither_followed_nor_written(
    tmp_path: Path,
) -> None:
    import zipfile

    path = tmp_path / "octmnist.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.npy", b"x")
        archive.writestr("a\x1b[31m.npy", b"x")
    with pytest.raises(DataError, match="has no array 'train_images'") as refused:
        FAMILIES["octmnist"].open("", tmp_path, "", 0)
    assert "\x1b" not in str(refused.value)
    assert [file.name for file in tmp_path.rglob("*.npy")] == []


def test_chestmnist_asks_for_any_finding(tmp_path: Path) -> None:
    write_chestmnist_like(tmp_path / "chestmnist.npz")
    data = CHEST.open("", tmp_path, "", 0)
    assert data.card.classes == ["no finding", "finding"]
    assert data.index(Split.TRAIN).labels.tolist()[:6] == [0, 1, 1, 1, 0, 1]


@pytest.mark.parametrize("argument", ["pneumonia", "Pneumonia,28", "28,pneumonia"])
def test_chestmnist_asks_for_one_finding(tmp_path: Path, argument: str) -> None:
    write_chestmnist_like(tmp_path / "chestmnist.npz")
    data = CHEST.open(argument, tmp_path, "", 0)
    assert data.card.classes == ["no pneumonia", "pneumonia"]
    assert data.card.positive_class == "pneumonia"
    assert data.index(Split.TRAIN).labels.tolist()[:4] == [0, 1, 0, 1]
    assert any("may have other findings" in note for note in data.notes)


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ("pneumonia,mass", DataError, "several findings at once; every image has one label"),
        ("multi-label", DataError, "several findings at once"),
        ("pnuemonia", UnknownNameError, "no finding 'pnuemonia'.*did you mean 'pneumonia'"),
        ("32", DataError, "no size '32'"),
    ],
)
def test_chestmnist_refuses_what_it_cannot_ask(
    tmp_path: Path, argument: str, error: type[Exception], message: str
) -> None:
    write_chestmnist_like(tmp_path / "chestmnist.npz")
    with pytest.raises(error, match=message):
        CHEST.open(argument, tmp_path, "", 0)


def test_a_chestmnist_file_with_single_labels_is_refused(tmp_path: Path) -> None:
    write_medmnist_like(tmp_path / "chestmnist.npz")
    with pytest.raises(DataError, match=r"expected integers \(40, 14\)"):
        CHEST.open("", tmp_path, "", 0)

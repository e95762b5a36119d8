"""Copies across splits: left out, kept or refused, for any open dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from he_compare.common.contracts import OpenDataset, SplitIndex
from he_compare.common.datasets.opened import copies_found, equal_images
from he_compare.common.datasets.opened.arrays import ArrayImages, index_of
from he_compare.common.datasets.opened.copies_found import look_for_copies
from he_compare.common.datasets.opened.equal_images import EqualImages, find_equal
from he_compare.common.datasets.opened.fingerprint import NativePixels
from he_compare.common.datasets.opened.screening import ScreenedImages, screen
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split, UInt8Array

CARD = DatasetCard(
    name="made",
    title="made",
    description="",
    source="",
    licence="",
    citation="",
    classes=["cat", "dog"],
)


class Member(NamedTuple):
    """An image by a number that stands for its pixels, and its label."""

    picture: int
    label: int


def cats_and_dogs(*pictures: int) -> list[Member]:
    """Return members with labels in turn."""
    return [Member(picture, i % 2) for i, picture in enumerate(pictures)]


def dataset(
    train: Sequence[Member], val: Sequence[Member], test: Sequence[Member], side: int = 16
) -> ArrayImages:
    members = dict(zip(Split, (train, val, test), strict=True))
    images = {
        split: np.stack([noise(member.picture, side) for member in held])
        for split, held in members.items()
    }
    splits = {
        split: index_of(split, np.array([member.label for member in held], dtype=np.int64))
        for split, held in members.items()
    }
    return ArrayImages(CARD, "all", images, splits, ["a note of its own"])


def noise(picture: int, side: int = 16) -> UInt8Array:
    return np.random.default_rng(picture).integers(0, 256, (side, side), dtype=np.uint8)


def leaking() -> ArrayImages:
    """Of train 0..5 the first two are test images and the last a validation image; so is val 0."""
    return dataset(
        cats_and_dogs(20, 21, 2, 3, 4, 11),
        cats_and_dogs(20, 11, 12, 13),
        cats_and_dogs(20, 21, 22, 23),
    )


class WithoutNative:
    """An open dataset of a third party with the required parts only."""

    def __init__(self, source: OpenDataset) -> None:
        self.card, self.subset, self.notes = source.card, source.subset, source.notes
        self._source = source

    def index(self, split: Split) -> SplitIndex:
        """Return the index of the source."""
        return self._source.index(split)

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Return the images of the source."""
        return self._source.read(split, positions, size)


def ids(opened: OpenDataset, split: Split) -> list[str]:
    return list(opened.index(split).ids)


@pytest.mark.parametrize("wrap", [lambda opened: opened, WithoutNative])
def test_copies_of_later_splits_are_left_out_and_test_images_stay(wrap: type) -> None:
    screened = screen(wrap(leaking()), "drop")
    assert ids(screened, Split.TRAIN) == ["train/00002", "train/00003", "train/00004"]
    assert ids(screened, Split.VAL) == ["val/00001", "val/00002", "val/00003"]
    assert len(ids(screened, Split.TEST)) == 4
    facts = screened.copies_facts({})
    assert facts.copies == {"train": {"cat": 1, "dog": 2}, "val": {"cat": 1}}
    assert (facts.test_images, facts.test_per_class) == (2, {"cat": 1, "dog": 1})
    assert facts.test_share == 0.5


def test_the_images_that_are_left_keep_their_pixels_labels_and_groups() -> None:
    screened = screen(leaking(), "drop")
    assert isinstance(screened, NativePixels)
    some = np.array([2, 0])
    expected = [noise(4), noise(2)]
    for stored, read, picture in zip(
        screened.native(Split.TRAIN, some),
        screened.read(Split.TRAIN, some, 16),
        expected,
        strict=True,
    ):
        np.testing.assert_array_equal(stored[:, :, 0], picture)
        np.testing.assert_array_equal(read[:, :, 0], picture)
    assert screened.index(Split.TRAIN).labels.tolist() == [0, 1, 0]
    assert screened.index(Split.TRAIN).groups == tuple(ids(screened, Split.TRAIN))


def test_a_dataset_without_stored_pixels_has_none_when_screened() -> None:
    assert not isinstance(screen(WithoutNative(leaking()), "drop"), NativePixels)


def test_under_keep_nothing_is_left_out_and_the_leak_is_said() -> None:
    screened = screen(leaking(), "keep")
    assert [len(ids(screened, split)) for split in Split] == [6, 4, 4]
    said = " | ".join(screened.notes)
    assert "4 images that equal one of a later split were kept" in said
    assert "2 test images, 50.0% of the test split (1 cat, 1 dog)" in said
    assert screened.notes[0] == "a note of its own"


def test_under_error_the_first_copies_are_named() -> None:
    with pytest.raises(DataError, match=r"4 images equal.*'train/00000' \(train\) equals 'test/0"):
        screen(leaking(), "error")


@pytest.mark.parametrize("policy", ["drop", "keep", "error"])
def test_without_copies_every_policy_gives_the_same(policy: str) -> None:
    clean = dataset(cats_and_dogs(1, 2, 2, 3), cats_and_dogs(4, 5), cats_and_dogs(6, 7))
    screened = screen(clean, policy)
    assert [ids(screened, split) for split in Split] == [ids(clean, split) for split in Split]
    assert screened.copies_facts({}).count == 0 and screened.copies_table() == b""


def test_the_table_names_every_copy_and_every_test_image_that_has_one() -> None:
    twice = dataset(
        cats_and_dogs(20, 1, 2, 3, 30, 4), cats_and_dogs(5, 6), cats_and_dogs(20, 20, 30, 21)
    )
    rows = list(csv.DictReader(io.StringIO(screen(twice, "drop").copies_table().decode())))
    assert {(row["id"], row["other"]) for row in rows} == {
        ("train/00000", "test/00000"),
        ("train/00000", "test/00001"),
        ("train/00004", "test/00002"),
    }
    assert {row["done"] for row in rows} == {"left out"}
    assert [row["class"] for row in rows] == ["cat", "cat", "cat"]
    assert {row["other_class"] for row in rows} == {"cat", "dog"}


def test_only_images_that_a_run_uses_count_for_it() -> None:
    used = {Split.TRAIN: np.array([2, 3]), Split.VAL: np.array([2]), Split.TEST: np.array([0, 2])}
    kept = screen(leaking(), "keep").copies_facts(used)
    assert (kept.count, kept.test_images) == (0, 0)
    used[Split.TRAIN] = np.array([0])
    kept = screen(leaking(), "keep").copies_facts(used)
    assert (kept.count, kept.test_images, kept.test_share) == (1, 1, 0.5)
    used[Split.TRAIN] = np.array([0, 1])
    dropped = screen(leaking(), "drop").copies_facts(used)
    assert (dropped.count, dropped.test_images) == (4, 1)


def test_equal_images_of_different_labels_are_counted_and_named() -> None:
    opened = dataset(
        [Member(1, 0), Member(1, 1), Member(2, 1), Member(20, 1)],
        cats_and_dogs(4, 5),
        [Member(20, 0), Member(21, 1)],
    )
    screened = screen(opened, "drop")
    assert screened.copies_facts({}).conflicting == 2
    (said,) = [note for note in screened.notes if "different labels" in note]
    assert "'train/00000' (cat) = 'train/00001' (dog)" in said
    assert "'train/00003' (dog) = 'test/00000' (cat)" in said


@pytest.mark.parametrize(
    ("opened", "message"),
    [
        (
            dataset(cats_and_dogs(1, 21), cats_and_dogs(4, 5), cats_and_dogs(20, 21)),
            r"all 1 train images of class 'dog' are copies .*one class only then.*--copies keep",
        ),
        (
            dataset(cats_and_dogs(1, 2), cats_and_dogs(20, 21), cats_and_dogs(20, 21)),
            "all 2 val images are copies of test images, so that none is left",
        ),
        (
            dataset(cats_and_dogs(20, 21), cats_and_dogs(1, 2), cats_and_dogs(20, 21)),
            "all 2 train images are copies of test or validation images, so that none is left",
        ),
        (
            dataset(cats_and_dogs(1, 2), cats_and_dogs(20, 3), cats_and_dogs(20, 21)),
            "all 1 val images of class 'cat' are copies of test images, so that none is left",
        ),
    ],
)
def test_what_dropping_copies_empties_is_refused_by_name(opened: ArrayImages, message: str) -> None:
    with pytest.raises(DataError, match=message):
        screen(opened, "drop")
    assert screen(opened, "keep").copies_facts({}).count > 0


def test_a_set_too_large_to_decode_is_compared_as_its_family_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(equal_images, "MAX_DECODED_PIXELS", 1000)
    facts = screen(leaking(), "drop").copies_facts({})
    assert facts.count == 4 and facts.compared.startswith("pixels; 0 megapixels are too many")
    assert "too many to decode" in facts.near.not_compared


def test_a_set_that_cannot_be_compared_is_said_and_refused_under_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(equal_images, "MAX_DECODED_PIXELS", 1000)
    screened = screen(WithoutNative(leaking()), "drop")
    assert [len(ids(screened, split)) for split in Split] == [6, 4, 4]
    assert any("were not looked for" in note for note in screened.notes)
    with pytest.raises(DataError, match="copies cannot be looked for"):
        screen(WithoutNative(leaking()), "error")


class Broken(ArrayImages):
    """One training image cannot be decoded."""

    def native(self, split: Split, positions: IntArray):  # type: ignore[no-untyped-def]
        """Raise DataError at the third image of train."""
        for position, image in zip(positions, super().native(split, positions), strict=True):
            if split is Split.TRAIN and position == 2:
                raise DataError("image 2 cannot be decoded")
            yield image


def test_an_image_that_cannot_be_decoded_equals_no_other_and_is_counted() -> None:
    whole = leaking()
    opened = Broken(CARD, "all", whole.images, whole.splits)
    facts = screen(opened, "drop").copies_facts({})
    assert (facts.count, facts.unreadable) == (4, 1)


def soft(picture: int) -> UInt8Array:
    """Return a smooth picture that no symmetry maps to itself: grey uint8 (96, 96)."""
    coarse = np.random.default_rng(picture).integers(0, 256, (12, 12)).astype(np.float64)
    return np.kron(coarse, np.ones((8, 8))).astype(np.uint8)


def with_near_copies() -> ArrayImages:
    """Train 0 is test 0 a little brighter, train 1 is test 1 mirrored, train 2 equals test 2."""
    test = np.stack([soft(picture) for picture in (1, 2, 3, 4)])
    brighter = np.clip(test[0].astype(np.int64) + 9, 0, 255).astype(np.uint8)
    train = np.stack([brighter, test[1][:, ::-1], test[2], soft(5), soft(6)])
    val = np.stack([soft(7), soft(8)])
    images = {Split.TRAIN: train, Split.VAL: val, Split.TEST: test}
    splits = {split: index_of(split, np.arange(len(held)) % 2) for split, held in images.items()}
    return ArrayImages(CARD, "all", images, splits)


@pytest.mark.parametrize("policy", ["drop", "keep"])
def test_near_copies_are_counted_warned_of_and_kept(policy: str) -> None:
    screened = screen(with_near_copies(), policy)
    near = screened.copies_facts({}).near
    assert (near.test_images, near.test_share, near.turns) == (2, 0.5, True)
    assert near.test_per_class == {"cat": 1, "dog": 1}
    assert any("2 test images, 50.0% of the test split" in note for note in screened.notes)
    rows = list(csv.DictReader(io.StringIO(screened.copies_table().decode())))
    told = [(row["id"], row["other"]) for row in rows if row["done"] == "near copy, kept"]
    assert told == [("train/00000", "test/00000"), ("train/00001", "test/00001")]
    assert len(ids(screened, Split.TRAIN)) == (4 if policy == "drop" else 5)


def test_near_copies_count_among_the_images_that_a_run_uses() -> None:
    screened = screen(with_near_copies(), "drop")
    used = {Split.TRAIN: np.array([1, 2]), Split.TEST: np.array([0, 1])}
    assert screened.copies_facts(used).near.test_images == 1


def test_too_many_pairs_are_compared_upright_only_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = look_for_copies(with_near_copies())
    monkeypatch.setattr(copies_found, "MAX_COMPARED", 100)
    upright = found.facts("drop").near
    assert (upright.test_images, upright.turns) == (1, False)
    monkeypatch.setattr(copies_found, "MAX_COMPARED", 10)
    assert found.facts("drop").near.not_compared == "28 pairs of images are more than 10"


def test_a_screened_dataset_says_what_was_found_before_it_was_screened() -> None:
    screened = screen(leaking(), "drop")
    assert isinstance(screened, ScreenedImages)
    assert isinstance(screened.found.equal, EqualImages)
    assert screened.found.equal.keys == find_equal(leaking()).keys

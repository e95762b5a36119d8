"""Choosing, counting and fingerprinting the images of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from he_compare.common.contracts import OpenDataset, SplitIndex
from he_compare.common.datasets.chestxray import DATASET
from he_compare.common.datasets.opened.choice import limit, load_batch, summary
from he_compare.common.datasets.opened.fingerprint import fingerprint
from he_compare.common.types import IntArray, Split
from tests.support.imagefolders import write_chestxray_like

labels_of_some_classes = st.lists(st.integers(0, 2), min_size=1, max_size=60)


def index_of(labels: list[int]) -> SplitIndex:
    names = tuple(f"image{i}" for i in range(len(labels)))
    return SplitIndex(names, np.array(labels, dtype=np.int64), names)


def opened(folder: Path) -> OpenDataset:
    return DATASET.open("", folder, "", 0)


def everything(data: OpenDataset) -> dict[Split, IntArray]:
    return {split: limit(data.index(split), None, 0, split) for split in Split}


@settings(max_examples=60, deadline=None)
@given(labels_of_some_classes, st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_smaller_limit_is_part_of_a_larger_one(
    labels: list[int], a: int, b: int, seed: int
) -> None:
    index = index_of(labels)
    small, large = (limit(index, n, seed, Split.TEST) for n in sorted((a, b)))
    assert set(small) <= set(large)
    assert len(large) == min(max(a, b), len(labels))
    assert np.all(np.diff(large) > 0)


@settings(max_examples=40, deadline=None)
@given(labels_of_some_classes, st.integers(3, 60))
def test_every_class_is_kept_as_soon_as_there_is_room(labels: list[int], n: int) -> None:
    chosen = limit(index_of(labels), n, 0, Split.TRAIN)
    assert {labels[i] for i in chosen} == set(labels)


def test_classes_keep_their_shares() -> None:
    labels = [0] * 250 + [1] * 750
    chosen = limit(index_of(labels), 100, 0, Split.TEST)
    assert abs(int(np.sum(np.array(labels)[chosen])) - 75) <= 1


def test_the_choice_follows_from_seed_and_split() -> None:
    index = index_of([0, 1] * 50)
    first = limit(index, 10, 0, Split.TEST).tolist()
    assert first == limit(index, 10, 0, Split.TEST).tolist()
    assert first != limit(index, 10, 1, Split.TEST).tolist()
    assert first != limit(index, 10, 0, Split.TRAIN).tolist()


def test_a_batch_carries_ids_labels_and_groups_of_its_positions(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))
    batch = load_batch(data, Split.TEST, np.array([2, 9]), 16)
    index = data.index(Split.TEST)
    assert batch.ids == (index.ids[2], index.ids[9])
    assert batch.labels.tolist() == [index.labels[2], index.labels[9]]
    assert batch.groups == (index.groups[2], index.groups[9])
    assert batch.images.shape == (2, 16, 16, 3)


def test_the_summary_counts_what_was_chosen(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))
    chosen = {**everything(data), Split.TEST: np.array([0, 1, 6])}
    told = summary(data, chosen, fingerprint="f", image_size=16, default_subset="", limits={})
    test = told.splits["test"]
    assert (test.n, test.groups, test.per_class) == (3, 2, {"NORMAL": 2, "PNEUMONIA": 1})
    assert test.prevalence is not None
    assert abs(test.prevalence - 1 / 3) < 1e-12
    assert "test: 3 of 12 images, chosen by class share" in told.notes
    assert told.fingerprint == "f"


def test_a_copied_folder_has_the_same_fingerprint(tmp_path: Path) -> None:
    folder = write_chestxray_like(tmp_path / "a", 12, 6, size=24)
    shutil.copytree(folder, tmp_path / "b")
    one, other = opened(folder), opened(tmp_path / "b")
    assert fingerprint(one, everything(one)) == fingerprint(other, everything(other))


def test_the_order_of_positions_does_not_matter(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))
    forth, back = np.arange(5), np.arange(5)[::-1]
    assert fingerprint(data, {Split.TEST: forth}) == fingerprint(data, {Split.TEST: back})


def test_one_changed_pixel_changes_the_fingerprint(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))
    before = fingerprint(data, everything(data))
    path = tmp_path / data.index(Split.TEST).ids[0]
    pixels = np.array(Image.open(path))
    pixels[5, 7, 1] ^= 1
    Image.fromarray(pixels).save(path)
    assert fingerprint(data, everything(data)) != before


def test_a_changed_label_or_choice_changes_the_fingerprint(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))
    chosen = everything(data)
    before = fingerprint(data, chosen)
    assert fingerprint(data, {**chosen, Split.TEST: chosen[Split.TEST][1:]}) != before
    data.index(Split.TEST).labels[0] ^= 1
    assert fingerprint(data, chosen) != before


def test_a_dataset_that_cannot_give_native_pixels_is_hashed_all_the_same(tmp_path: Path) -> None:
    data = opened(write_chestxray_like(tmp_path, 12, 6, size=24))

    class Plain:
        card, subset, notes = data.card, data.subset, data.notes
        index, read = staticmethod(data.index), staticmethod(data.read)

    first = fingerprint(Plain(), {Split.TEST: np.arange(3)})
    assert len(first) == 64
    assert first != fingerprint(Plain(), {Split.TEST: np.arange(4)})

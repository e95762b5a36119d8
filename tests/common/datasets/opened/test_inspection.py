"""The check of a dataset counts what is there, names copies, and can be printed and drawn."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.contracts import SplitIndex
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.folder import make_card
from he_compare.common.datasets.opened import contact_sheet as contact_sheets
from he_compare.common.datasets.opened.arrays import ArrayImages
from he_compare.common.datasets.opened.contact_sheet import choose, contact_sheet
from he_compare.common.datasets.opened.inspection import check, describe
from he_compare.common.errors import DataError
from he_compare.common.plugins import load
from he_compare.common.types import Split

SIDE = 20


@pytest.fixture
def dataset() -> ArrayImages:
    """Fourteen images with one copy within a split and one across, of another label."""
    images, splits = {}, {}
    generator = np.random.default_rng(0)
    for split, n in ((Split.TRAIN, 8), (Split.VAL, 2), (Split.TEST, 4)):
        images[split] = generator.integers(0, 256, (n, SIDE, SIDE), dtype=np.uint8)
        ids = tuple(f"{split}/{i}" for i in range(n))
        groups = tuple(f"{split}-{i // 2}" for i in range(n))
        splits[split] = SplitIndex(ids, np.arange(n, dtype=np.int64) % 2, groups)
    images[Split.TRAIN][2] = images[Split.TRAIN][0]
    images[Split.TEST][1] = images[Split.TRAIN][4]
    card = make_card("x", ("ill", "normal")).model_copy(update={"positive_class": "ill"})
    return ArrayImages(card, "all", images, splits, ["a note"])


def test_without_a_positive_class_there_is_no_prevalence(dataset: ArrayImages) -> None:
    dataset.card = dataset.card.model_copy(update={"positive_class": ""})
    found = check(dataset)
    assert found.splits["train"].prevalence is None
    assert "prevalence" not in describe(found)


def test_many_classes_are_listed_one_per_line(dataset: ArrayImages) -> None:
    classes = [f"class {number}" for number in range(40)]
    dataset.card = dataset.card.model_copy(update={"classes": classes, "positive_class": ""})
    lines = describe(check(dataset)).splitlines()
    assert [line.split() for line in lines if line.strip().startswith("class 1 ")] == [
        ["class", "1", "4", "1", "2"]
    ]
    assert max(len(line) for line in lines[:45]) < 40


def test_counts_groups_prevalence_and_sizes(dataset: ArrayImages) -> None:
    found = check(dataset)
    train = found.splits["train"]
    assert (train.n, train.groups, train.per_class) == (8, 4, {"ill": 4, "normal": 4})
    assert train.prevalence == 0.5
    assert found.sizes == {"20 x 20": 14}
    assert found.shared_groups == 0
    assert found.notes == ["a note"]


def test_copies_are_counted_and_the_worst_named(dataset: ArrayImages) -> None:
    copies = check(dataset).copies
    assert copies.within == {"train": 1, "val": 0, "test": 0}
    assert (copies.across, copies.conflicting) == (1, 1)
    assert copies.named == [["train/4", "test/1"]]


def test_it_is_json_and_plain_text(dataset: ArrayImages) -> None:
    found = check(dataset)
    assert json.loads(json.dumps(found.as_json()))["copies"]["across"] == 1
    told = describe(found)
    for part in ("train       8       4       50.0%", "train/4 = test/1", "note: a note"):
        assert part in told


def test_a_synthetic_set_is_told_so(dataset: ArrayImages) -> None:
    dataset.card = dataset.card.model_copy(update={"synthetic": True})
    assert "SYNTHETIC: says nothing about patients" in describe(check(dataset))


def test_progress_is_reported_to_its_end(dataset: ArrayImages) -> None:
    told: list[tuple[str, int, int]] = []
    check(dataset, lambda what, done, total: told.append((what, done, total)))
    assert told == [("checking images", 14, 14)]


def test_the_sheet_shows_the_chosen_images_under_their_class(
    dataset: ArrayImages, tmp_path: Path
) -> None:
    contact_sheet(dataset, tmp_path / "new" / "sheet.png", 0, per_class=2, size=SIDE)
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    step = contact_sheets.LINE + SIDE + contact_sheets.GAP
    assert sheet.shape == (2 * contact_sheets.LINE + 6 * step + 4, 4 + 2 * (SIDE + 4), 3)
    top = 2 * contact_sheets.LINE + contact_sheets.LINE
    first = choose(dataset, Split.TRAIN, 0, 0, 2)
    shown = sheet[top : top + SIDE, 4 : 4 + SIDE, 0]
    assert np.array_equal(shown, dataset.images[Split.TRAIN][first[0]])
    assert (sheet[:30].min(axis=2) < 128).any()


def test_the_choice_follows_from_the_seed(dataset: ArrayImages) -> None:
    chosen = [choose(dataset, Split.TRAIN, 1, seed, 3).tolist() for seed in range(6)]
    assert chosen[0] == choose(dataset, Split.TRAIN, 1, 0, 3).tolist()
    assert len({tuple(positions) for positions in chosen}) > 1
    assert all(dataset.index(Split.TRAIN).labels[i] == 1 for i in chosen[0])


def test_a_sheet_too_large_is_refused(dataset: ArrayImages, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is too large"):
        contact_sheet(dataset, tmp_path / "sheet.png", 0, per_class=10, size=4000)


def test_the_smallest_class_and_known_patients_are_told(dataset: ArrayImages) -> None:
    found = check(dataset)
    assert found.smallest_class() == ("val", "ill", 1)
    assert found.patients_known
    assert found.as_json()["smallest_class"] == {"split": "val", "class": "ill", "images": 1}


def test_every_unreadable_image_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    for label, name in enumerate(("healthy", "ill")):
        for number in range(30):
            write_example_picture(tmp_path / name / f"{number:02d}.png", label, number)
    data = load("datasets", "folder").open(str(tmp_path), None, "", 0)
    broken = ("healthy/03.png", "healthy/17.png", "ill/21.png")
    for name in broken:
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:40])
    found = check(data)
    assert len(found.unreadable) == 3
    assert all(any(name in told for told in found.unreadable) for name in broken)
    assert sum(found.sizes.values()) == 57
    assert found.copies.within == {"train": 0, "val": 0, "test": 0}


@pytest.mark.realdata
def test_the_real_folder_has_no_copies_across_its_splits() -> None:
    if not os.environ.get("COMPARE_DATA"):
        pytest.skip("COMPARE_DATA names no folder with chestxray/")
    found = check(load("datasets", "chestxray").open("", None, "published", 0))
    assert (found.copies.across, found.copies.conflicting, found.shared_groups) == (0, 0, 0)
    assert sum(found.copies.within.values()) == 32
    assert found.sizes == {"224 x 224": 5840}

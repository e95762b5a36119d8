"""The embedded cohort: deterministic synthetic radiographs out of a file that is checked first."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.embedded.atlas import (
    ATLAS_FILE,
    MAX_ATLAS_BYTES,
    SIZES,
    SUBSETS,
    EmbeddedCohort,
    cohort_card,
    load_atlas,
    load_card,
    sample,
    shipped_atlas,
    standard_normal,
)
from he_compare.common.datasets.opened.fingerprint import fingerprint
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.errors import DataError, IntegrityError, UnknownNameError
from he_compare.common.service.wire import pack
from he_compare.common.types import Split
from tests.support.repository import ROOT

NONE = np.array([], dtype=np.int64)


def printed_by(code: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_equal_seeds_give_equal_pixels_labels_and_ids() -> None:
    first, again = sample(12, seed=3, size=112), sample(12, seed=3, size=112)
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    assert first.ids == again.ids and first.groups == again.groups


def test_another_process_with_one_thread_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from he_compare.common.datasets.embedded.atlas import sample;"
        "print(hashlib.sha256(sample(40, 5, 112).images.tobytes()).hexdigest())"
    )
    here = hashlib.sha256(sample(40, 5, 112).images.tobytes()).hexdigest()
    assert printed_by(code, OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="7") == [here]


def test_a_smaller_number_is_the_beginning_of_a_larger_one() -> None:
    few, many = sample(5, seed=1, size=112), sample(300, seed=1, size=112)
    assert np.array_equal(few.images, many.images[:5])
    assert np.array_equal(few.labels, many.labels[:5])
    assert few.ids == many.ids[:5]


def test_another_seed_gives_other_images_and_ids() -> None:
    one, other = sample(20, seed=1, size=112), sample(20, seed=2, size=112)
    assert set(one.ids).isdisjoint(other.ids)
    assert not any(np.array_equal(a, b) for a in one.images for b in other.images)


def test_no_two_samples_are_equal() -> None:
    images = sample(600, seed=0, size=112).images
    assert len({image.tobytes() for image in images}) == 600


def test_samples_are_grey_squares_of_the_size_asked_for() -> None:
    drawn = sample(3, seed=0, size=96)
    assert drawn.images.shape == (3, 96, 96, 3) and drawn.images.dtype == np.uint8
    assert (drawn.images == drawn.images[..., :1]).all()
    assert drawn.images.std(axis=(1, 2, 3)).min() > 20


@pytest.mark.parametrize(("prevalence", "low", "high"), [(0.0, 0, 0), (0.7, 0.62, 0.78), (1, 1, 1)])
def test_labels_follow_the_prevalence(prevalence: float, low: float, high: float) -> None:
    labels = sample(500, seed=4, size=8, prevalence=prevalence).labels
    assert labels.dtype == np.int64
    assert low <= labels.mean() <= high


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"size": 4}, {"prevalence": 1.5}, {"prevalence": float("nan")}]
)
def test_senseless_requests_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="cannot draw"):
        sample(**{"n": 2, "seed": 0, **wrong})


def test_the_normal_values_have_mean_0_and_variance_1() -> None:
    values = np.stack([standard_normal(0, number, 200) for number in range(500)])
    assert abs(values.mean()) < 0.01
    assert abs(values.var() - 1) < 0.02
    assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.15


def test_a_nearest_mean_in_few_pixels_tells_the_classes_apart() -> None:
    seen, fresh = sample(400, seed=10, size=16), sample(400, seed=11, size=16)
    pixels = [drawn.images[..., 0].reshape(400, -1).astype(float) for drawn in (seen, fresh)]
    classes = [pixels[0][seen.labels == label] for label in (0, 1)]
    within = sum(np.cov(of_class.T) for of_class in classes) + 10 * np.eye(256)
    direction = np.linalg.solve(within, classes[1].mean(axis=0) - classes[0].mean(axis=0))
    middle = sum(of_class.mean(axis=0) for of_class in classes) / 2
    guesses = (pixels[1] - middle) @ direction > 0
    assert (guesses == fresh.labels).mean() > 0.75


def test_the_cohort_is_an_open_dataset_that_says_it_is_synthetic() -> None:
    cohort = EmbeddedCohort.open("balanced", seed=0)
    assert isinstance(cohort, OpenDataset)
    assert cohort.card.synthetic and "ynthetic" in cohort.card.title
    assert "synthetic cohort: says nothing about patients" in cohort.card.caveats
    assert "CC BY 4.0" in cohort.card.licence and "10.17632/rscbjbr9sj.2" in cohort.card.source
    assert any("says nothing about patients" in note for note in cohort.notes)


@pytest.mark.parametrize("subset", SUBSETS)
def test_splits_are_disjoint_and_have_the_stated_sizes(subset: str) -> None:
    cohort = EmbeddedCohort.open(subset, seed=0)
    check_splits(cohort.splits, cohort.card.classes)
    for split in Split:
        index = cohort.index(split)
        assert tuple(np.bincount(index.labels)) == SIZES[subset][split]
        assert len(set(index.groups)) == len(index.ids) and list(index.ids) == sorted(index.ids)
        assert 0.2 < index.labels[: len(index.labels) // 2].mean() < 0.95


def test_no_image_is_in_two_splits_or_subsets() -> None:
    ids: list[str] = []
    pixels: list[bytes] = []
    for subset in SUBSETS:
        cohort = EmbeddedCohort.open(subset, seed=0)
        for split in Split:
            ids += cohort.index(split).ids
            pixels += [image.tobytes() for image in cohort.read(split, np.arange(20), 112)]
    assert len(set(ids)) == len(ids)
    assert len(set(pixels)) == len(pixels)


def test_images_are_read_by_position_whatever_is_read_with_them() -> None:
    cohort = EmbeddedCohort.open("published", seed=9)
    alone = cohort.read(Split.TEST, np.array([17]), 112)
    among = cohort.read(Split.TEST, np.array([400, 17, -1]), 112)
    last = cohort.read(Split.TEST, np.array([623]), 112)
    assert np.array_equal(alone[0], among[1]) and np.array_equal(last[0], among[2])
    assert np.array_equal(next(cohort.native(Split.TEST, np.array([17]))), alone[0])
    assert cohort.read(Split.TEST, NONE, 112).shape == (0, 112, 112, 3)


def test_the_fingerprint_names_seed_and_choice() -> None:
    first = {Split.TRAIN: np.arange(4)}
    prints = [fingerprint(EmbeddedCohort.open("balanced", seed), first) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_an_unknown_subset_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="balanecd"):
        EmbeddedCohort.open("balanecd", 0)


def test_fourteen_hundred_images_are_drawn_within_seconds() -> None:
    """Three seconds is the target; the test allows for a loaded machine."""
    cohort = EmbeddedCohort.open("balanced", seed=0)
    start = time.perf_counter()
    for split in Split:
        cohort.read(split, np.arange(len(cohort.index(split).ids)), 112)
    assert time.perf_counter() - start < 9


def test_the_shipped_file_is_small_and_its_card_tells_where_it_comes_from() -> None:
    card = load_card(ATLAS_FILE)
    assert ATLAS_FILE.stat().st_size == card["bytes"] <= MAX_ATLAS_BYTES
    assert "Kermany" in card["attribution"] and "CC BY 4.0" in card["attribution"]
    assert any("No differential privacy is claimed" in line for line in cohort_card().caveats)


def test_the_card_shows_samples_no_nearer_to_training_images_than_real_films() -> None:
    check = load_card(ATLAS_FILE)["privacy_check"]
    for table in check["distance_to_nearest_training_image"].values():
        assert min(table["ratio samples / held-out"].values()) >= 0.9
    found = check["component_correlation"]["all training images"]["maximum over components"]
    assert found <= 0.9


def write(folder: Path, data: bytes, digest: str | None = None) -> Path:
    path = folder / "atlas.safetensors"
    path.write_bytes(data)
    card = {"sha256": digest or hashlib.sha256(data).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def small_atlas(**changed: Any) -> bytes:
    arrays = {
        "mean": np.full((16, 16), 90, np.float32),
        "components": np.ones((3, 16, 16), np.int8),
        "class_means": np.zeros((2, 3), np.float16),
        "class_factors": np.zeros((2, 3, 3), np.float16),
        **changed,
    }
    return pack({name: array for name, array in arrays.items() if array is not None})


def test_a_sound_small_atlas_is_read(tmp_path: Path) -> None:
    atlas = load_atlas(write(tmp_path, small_atlas()))
    assert (atlas.draw(0, np.arange(2), np.array([0, 1])) == 90).all()


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    data = bytearray(ATLAS_FILE.read_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(IntegrityError, match="SHA-256"):
        load_atlas(write(tmp_path, bytes(data), load_card(ATLAS_FILE)["sha256"]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: b"PK\x03\x04" + data,
        lambda data: b"\x80\x04cos\nsystem\n(S'exit'\ntR.",
    ],
    ids=["empty", "one byte short", "half", "absurd header", "zip", "pickle"],
)
def test_bytes_that_are_no_atlas_are_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(IntegrityError, match=r"atlas\.safetensors"):
        load_atlas(write(tmp_path, damage(small_atlas())))


@pytest.mark.parametrize(
    "changed",
    [
        {"mean": None},
        {"mean": np.full((16, 15), 90, np.float32)},
        {"mean": np.full((16, 16), np.nan, np.float32)},
        {"mean": np.full((16, 16), 1e9, np.float32)},
        {"components": np.ones((3, 16, 16), np.float32)},
        {"components": np.full((3, 16, 16), -128, np.int8)},
        {"components": np.ones((0, 16, 16), np.int8)},
        {"components": np.ones((3, 16), np.int8)},
        {"class_means": np.zeros((3, 3), np.float16)},
        {"class_means": np.full((2, 3), np.inf, np.float16)},
        {"class_factors": np.zeros((2, 3, 4), np.float16)},
        {"class_factors": np.full((2, 3, 3), 5, np.float16)},
    ],
    ids=lambda changed: "{} {}".format(*next(iter(changed.items())))[:40].replace("\n", ""),
)
def test_arrays_that_do_not_hold_together_are_refused(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=next(iter(changed))):
        load_atlas(write(tmp_path, small_atlas(**changed)))


def test_a_file_beyond_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="limit 3,000,000"):
        load_atlas(write(tmp_path, bytes(MAX_ATLAS_BYTES + 1)))


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_damaged_card_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, small_atlas())
    path.with_suffix(".json").write_text(text)
    with pytest.raises(IntegrityError):
        load_atlas(path)


def test_a_missing_atlas_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"gone\.safetensors cannot be read.*reinstall"):
        load_atlas(tmp_path / "gone.safetensors")


def test_sums_stay_exact_in_double_precision() -> None:
    atlas = shipped_atlas()
    largest = (np.abs(atlas.class_means) + 6 * np.abs(atlas.class_factors).sum(axis=2)).max()
    assert largest * 2**40 < 2**53
    assert largest * np.abs(atlas.components).sum(axis=0).max() * 2**24 < 2**53


def test_drawing_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, common.datasets.embedded.atlas as a; a.sample(1, 0, 16); print(*sys.modules)"
    )
    assert {"torch", "sklearn", "scipy"}.isdisjoint(printed_by(code))

"""Intervals: keys and patients are resampled together: shared images are not new samples."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.attack_score import Score
from he_compare.common.metrics.ranking import weighted_auc
from he_compare.comparisons.auditing.intervals import (
    interval_of,
    interval_over_keys,
    pooled_over_keys,
    resampled,
    share_interval,
)


def scores_of(each: np.ndarray, ids: list[str]) -> list[Score]:  # type: ignore[type-arg]
    return [Score(float(row.mean()), images=ids, each=row) for row in each]


def test_many_keys_over_the_same_images_are_as_few_samples_as_the_images() -> None:
    """Twelve keys whose scores differ by the image only: t over keys sees nothing of the images."""
    random = np.random.default_rng(0)
    images = random.normal(0.5, 0.2, 40)
    each = images + random.normal(0, 0.01, (12, 40))
    ids = [str(number) for number in range(40)]
    scores = scores_of(each, ids)
    values = [score.value for score in scores]
    keys_only = interval_over_keys(values, -1.0, 1.0)
    both = interval_of(values, resampled(scores, [ids] * 12, 0), -1.0, 1.0)
    assert keys_only is not None and both is not None
    expected = 1.96 * images.std() / np.sqrt(40)
    assert keys_only.high - keys_only.low < 0.1 * expected
    assert (both.high - both.low) / 2 == pytest.approx(expected, rel=0.15)
    assert both.method.startswith("bootstrap of keys and patients (12 keys, 40 images)")


def test_images_of_one_patient_are_one_sample() -> None:
    random = np.random.default_rng(1)
    patients = np.repeat(random.normal(0.5, 0.2, 10), 8)
    ids = [str(number) for number in range(80)]
    groups = [str(number // 8) for number in range(80)]
    scores = scores_of(np.stack([patients, patients + 1e-3]), ids)
    values = [score.value for score in scores]
    by_patient = interval_of(values, resampled(scores, [groups] * 2, 0), -1.0, 2.0)
    by_image = interval_of(values, resampled(scores, [ids] * 2, 0), -1.0, 2.0)
    assert by_patient is not None and by_image is not None
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)
    assert "80 images of 10 patients" in by_patient.method


def test_an_interval_is_no_narrower_than_students_over_few_keys() -> None:
    ids = ["a", "b", "c"]
    each = np.array([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]])
    scores = scores_of(each, ids)
    both = interval_of([0.2, 0.5], resampled(scores, [ids] * 2, 0), -9.0, 9.0)
    alone = interval_over_keys([0.2, 0.5], -9.0, 9.0)
    assert both is not None and alone is not None
    assert (both.low, both.high) == (alone.low, alone.high)


def test_an_auc_is_resampled_as_an_auc() -> None:
    """Twelve keys over the same 60 images: the width is that of an AUC of 60 images."""
    random = np.random.default_rng(2)
    truth = np.arange(60) % 2 == 0
    shown = truth + random.normal(0, 1.0, 60)
    ids = [str(number) for number in range(60)]
    found = [
        Score(
            float(weighted_auc(truth, one, np.ones((1, 60)))[0]),
            images=ids,
            resampled=lambda weights, one=one: weighted_auc(truth, one, weights),  # type: ignore[misc]
        )
        for one in shown + random.normal(0, 0.01, (12, 60))
    ]
    values = [score.value for score in found]
    interval = interval_of(values, resampled(found, [ids] * 12, 0), 0.0, 1.0)
    keys_only = interval_over_keys(values, 0.0, 1.0)
    assert interval is not None and keys_only is not None
    assert 0.1 < interval.high - interval.low < 0.4
    assert keys_only.high - keys_only.low < 0.02


def test_without_values_of_images_only_keys_are_resampled_and_the_method_says_so() -> None:
    assert resampled([Score(0.1), Score(0.2)], [[], []], 0) is None
    interval = interval_of([0.1, 0.2], None, 0.0, 1.0)
    assert interval is not None and "images are not resampled" in interval.method
    assert resampled(scores_of(np.ones((1, 3)), ["a", "b", "c"]), [["a", "b", "c"]], 0) is None


def test_the_share_of_a_resampled_interval_follows_floor_and_ceiling() -> None:
    ids = [str(number) for number in range(30)]
    each = np.random.default_rng(3).uniform(0.4, 0.8, (3, 30))
    scores = scores_of(each, ids)
    values = [score.value for score in scores]
    drawn = resampled(scores, [ids] * 3, 0)
    plain = interval_of(values, drawn, -9.0, 9.0)
    share = share_interval(values, 0.2, 1.0, drawn)
    assert plain is not None and share is not None
    assert share.low == pytest.approx((plain.low - 0.2) / 0.8)
    assert share.method == plain.method


# A key for each image -----------------------------------------------------------------------------


def few_keys(images: int = 24) -> tuple[list[Score], list[list[str]]]:
    """Three keys over other images each, of which some are harder than others."""
    random = np.random.default_rng(5)
    ids = [[f"{key}-{image}" for image in range(images)] for key in range(3)]
    level = np.array([[0.6], [0.75], [0.9]])
    each = level + random.normal(0, 0.05, (3, images))
    return [scores_of(row[None], key)[0] for row, key in zip(each, ids, strict=True)], ids


def test_images_with_a_key_each_are_pooled_and_clients_keys_are_no_samples() -> None:
    scores, ids = few_keys()
    values = [score.value for score in scores]
    over_keys = share_interval(values, 0.3, 0.9, resampled(scores, ids, 0))
    over_images = share_interval(values, 0.3, 0.9, pooled_over_keys(scores, ids, 0))
    assert over_keys is not None and over_images is not None
    assert over_keys.high - over_keys.low > 0.5
    # The spread of 72 images about their mean, 0.13, on a scale of 0.6.
    spread = 2 * 2.01 * np.std(np.concatenate([s.each for s in scores if s.each is not None]))
    expected = spread / np.sqrt(72) / 0.6
    assert over_images.high - over_images.low == pytest.approx(expected, rel=0.25)
    assert over_images.method.startswith("bootstrap of patients (72 images, each encrypted by")
    assert "Student" not in over_images.method


def test_what_is_back_as_on_unprotected_images_is_surely_so_image_by_image() -> None:
    """Images differ in how hard they are, for the target and for its control alike."""
    scores, ids = few_keys(6)
    values = [score.value for score in scores]
    mean = float(np.mean(values))
    alone = share_interval(values, 0.5, mean, pooled_over_keys(scores, ids, 0))
    paired = share_interval(values, 0.5, mean, pooled_over_keys(scores, ids, 0, (scores, ids)))
    assert alone is not None and paired is not None
    assert alone.low < 0.8
    assert (paired.low, paired.high) == pytest.approx((1.0, 1.0))
    assert "drawn together" in paired.method
    others = [[f"other {name}" for name in key] for key in ids]
    unpaired = pooled_over_keys(scores, ids, 0, (scores, others))
    assert unpaired is not None and unpaired.paired is None


def test_one_client_key_is_enough_where_each_image_has_its_own_and_few_patients_widen_it() -> None:
    scores, ids = few_keys(5)
    one = interval_of([scores[0].value], pooled_over_keys(scores[:1], ids[:1], 0), -1.0, 1.0)
    assert one is not None
    assert resampled(scores[:1], ids[:1], 0) is None
    each = scores[0].each
    assert each is not None
    usual = 2 * 1.96 * each.std() / np.sqrt(5)
    assert one.high - one.low > 1.2 * usual
    assert pooled_over_keys(scores[:1], [["same"] * 5], 0) is None

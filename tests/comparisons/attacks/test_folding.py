"""Folding needs no key: what it gets under a key for each image, alone and with public images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.similarity import ssim
from he_compare.comparisons.attacks.tools.unfolding import brightness_prior, step_cost, unfold
from tests.support.attackpool import pictures
from tests.support.oneattack import detail, outcome

PER_IMAGE = ["np[key_policy=per_image]", "pixel_np[key_policy=per_image]"]


@pytest.mark.parametrize("cipher", PER_IMAGE)
@pytest.mark.parametrize("attack", ["leading_bit", "minimum_difference"])
def test_a_key_for_each_image_gives_what_unprotected_images_give(
    tmp_path: Path, attack: str, cipher: str
) -> None:
    found = outcome(tmp_path, attack, cipher)
    assert found.verdict != "not applicable", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value == pytest.approx(found.controls["identity"], abs=0.1)


@pytest.mark.parametrize("cipher", [*PER_IMAGE, "np"])
def test_public_images_unfold_what_no_key_protects(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "brightness_prior", cipher)
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.6
    assert found.metric.value == pytest.approx(found.controls["identity"], abs=0.15)
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.3


@pytest.mark.parametrize(
    ("cipher", "reason", "verdict"),
    [
        ("vit_block[patch=8]", "permutation only", "not applicable"),
        ("vit_block[patch=8,negative_positive=true]", "pixels are moved", "unreadable"),
        ("ffx", "other ways than negation", "not applicable"),
    ],
)
def test_where_nothing_folds_in_place_the_reason_is_said(
    tmp_path: Path, cipher: str, reason: str, verdict: str
) -> None:
    found = outcome(tmp_path, "brightness_prior", cipher)
    assert found.verdict == verdict and reason in found.reason


def test_the_unfolded_picture_is_the_likeliest_of_all() -> None:
    public = pictures(20, 3, 1).images[..., 0]
    folded = np.minimum(public[:1], 255 - public[:1])
    prior = brightness_prior(public, folded)
    best = unfold(folded[0], prior)
    signs = np.array(np.meshgrid(*[[0, 255]] * 9)).reshape(9, -1).T.reshape(-1, 3, 3)
    every = (folded[0].astype(np.int64) ^ signs).astype(np.uint8)
    costs = np.array([_cost(one, prior) for one in every])
    assert _cost(best, prior) <= costs.min() + 0.1


def _cost(picture: np.ndarray, prior: object) -> float:
    log, step = prior.log, prior.step  # type: ignore[attr-defined]
    row, column = np.indices(picture.shape)
    alone = -0.5 * log[picture // 8, row, column].sum()
    values = picture.astype(np.int64)
    joints = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    return float(alone + sum(step[joint].sum() for joint in joints))


def test_places_are_used_only_where_they_explain_the_folded_values() -> None:
    public = pictures(40, 32, 1).images[..., 0]
    alike = pictures(6, 32, 2).images[..., 0]
    assert brightness_prior(public, np.minimum(alike, 255 - alike)).by_place
    elsewhere = np.roll(np.tile(np.linspace(0, 255, 32).astype(np.uint8), (6, 32, 1)), 9, axis=2)
    lit = np.sort(public, axis=2)
    assert not brightness_prior(lit, np.minimum(elsewhere, 255 - elsewhere)).by_place


def test_the_cost_of_a_step_never_falls() -> None:
    cost = step_cost(pictures(4, 16, 3).images[..., 0])
    assert cost.shape == (256,) and (np.diff(cost) >= 0).all()


def test_the_prior_says_which_sign_the_picture_has(tmp_path: Path) -> None:
    found = outcome(tmp_path, "brightness_prior", "np[key_policy=per_image]")
    assert detail(found, "the prior knew places") == 1.0
    plain = pictures(4, 32, 7).images[:]
    public = pictures(60, 32, 2).images[..., 0]
    folded = np.minimum(plain, 255 - plain)[..., 0]
    prior = brightness_prior(public, folded)
    mine = np.stack([unfold(one, prior) for one in folded])
    assert ssim(mine[..., None], plain).mean() > ssim(255 - mine[..., None], plain).mean()

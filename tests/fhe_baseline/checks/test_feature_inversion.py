"""Decoders of leaked features: they name originals, add to a linear map, and learn no noise."""

from __future__ import annotations

from functools import cache

import numpy as np

from he_compare.common.types import Float64Array, UInt8Array
from he_compare.fhe_baseline.checks.feature_inversion import judge
from he_compare.fhe_baseline.checks.tools.picture_decoder import (
    as_bytes,
    learn_convolutional,
    learn_convolutional_once,
    learn_linear,
)

SIDE, OWN = 32, 80


@cache
def discs() -> tuple[Float64Array, UInt8Array]:
    """Features (120, 3) and pictures of discs whose place and size they say: no linear matter."""
    random = np.random.default_rng(5)
    features = random.uniform(-1, 1, size=(120, 3))
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    across = rows - 0.5 * features[:, :1, None], columns - 0.5 * features[:, 1:2, None]
    inside = np.hypot(*across) < 0.4 + 0.15 * features[:, 2:, None]
    return features, np.where(inside, 200, 40).astype(np.uint8)


def test_a_linear_decoder_gives_linear_pictures_back_and_the_mean_from_noise() -> None:
    random = np.random.default_rng(5)
    features = random.normal(size=(120, 6))
    basis = random.normal(size=(6, SIDE**2)) * 20
    pictures = as_bytes(features @ basis + 128).reshape(120, SIDE, SIDE)
    leaked = judge(learn_linear(features[:OWN], pictures[:OWN])(features[OWN:]), pictures[OWN:])
    assert leaked.similarity.mean() > 0.9
    assert leaked.found == 1.0
    noise = random.normal(size=(120, 6))
    hidden = judge(learn_linear(noise[:OWN], pictures[:OWN])(noise[OWN:]), pictures[OWN:])
    assert hidden.similarity.mean() < 0.3
    assert hidden.found < 0.2


def test_a_network_adds_what_no_linear_map_shows() -> None:
    features, pictures = discs()
    random = np.random.default_rng(0)
    decoder = learn_convolutional(features[:OWN], pictures[:OWN], 30.0, 100, random)
    linear = judge(learn_linear(features[:OWN], pictures[:OWN])(features[OWN:]), pictures[OWN:])
    found = judge(decoder(features[OWN:]), pictures[OWN:])
    assert decoder.kept > 0
    assert found.similarity.mean() > linear.similarity.mean() + 0.05


def test_features_of_other_images_name_nobody() -> None:
    """SSIM alone would not tell: the blind decoder finds a picture that is like all of them."""
    features, pictures = discs()
    found = []
    for known in (np.roll(features[:OWN], 1, axis=0), features[:OWN]):
        random = np.random.default_rng(0)
        decoder = learn_convolutional(known, pictures[:OWN], 30.0, 50, random)
        found.append(judge(decoder(features[OWN:]), pictures[OWN:]))
    assert found[0].found < 0.15 < 0.3 < found[1].found


def test_a_network_learns_the_same_again_and_leaves_the_generator_alone() -> None:
    import torch

    features, pictures = discs()
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    once, again = (
        learn_convolutional(features[:OWN], pictures[:OWN], 30.0, 10, np.random.default_rng(7))(
            features[OWN:]
        )
        for _ in range(2)
    )
    assert torch.equal(torch.rand(1), before)
    np.testing.assert_array_equal(once, again)


def test_no_time_leaves_the_linear_decoder() -> None:
    features, pictures = discs()
    decoder = learn_convolutional(features, pictures, 0.0, 100, np.random.default_rng(0))
    assert decoder.steps == 0
    np.testing.assert_array_equal(decoder(features), learn_linear(features, pictures)(features))


def test_what_was_learnt_is_used_again_for_the_same_inputs_alone() -> None:
    features, pictures = discs()
    learnt = []
    for known in (features[:OWN], features[:OWN].copy(), features[1 : OWN + 1]):
        random = np.random.default_rng(7)
        learnt.append((learn_convolutional_once(known, pictures[:OWN], 30.0, 10, random), random))
    (first, after), (same, after_same), (other, _) = learnt
    assert same is first
    assert other is not first
    assert after.integers(1 << 40) == after_same.integers(1 << 40)
    fresh = np.random.default_rng(7)
    learn_convolutional(features[:OWN], pictures[:OWN], 30.0, 10, fresh)
    assert fresh.bit_generator.state != np.random.default_rng(7).bit_generator.state

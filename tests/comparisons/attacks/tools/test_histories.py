"""Histories of blocks, what to expect at a site, and where blocks belong."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.block_places import find_places, signs_in_place
from he_compare.comparisons.attacks.tools.expectations import (
    NOWHERE,
    Factors,
    NeighbourRegression,
    window,
)
from he_compare.comparisons.attacks.tools.histories import read_histories
from he_compare.comparisons.attacks.tools.inside_blocks import Geometry, pictures_of, public_sites
from tests.support.smoothimages import smooth_images


def _levels(count: int, blocks: int, seed: int) -> np.ndarray:
    """Histories of ``blocks`` places that neighbours share, each place with a level of its own."""
    random = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(blocks), 4)
    waves = np.stack([np.cos(0.7 * row), np.cos(0.5 * column), np.sin(0.9 * (row + column))])
    levels = np.linspace(-3, 3, blocks)[np.random.default_rng(0).permutation(blocks)]
    return (
        levels + random.normal(size=(count, 3)) @ waves + 0.1 * random.normal(size=(count, blocks))
    )


def test_halves_that_move_together_are_found_with_their_signs() -> None:
    images = smooth_images(60, 16)
    random = np.random.default_rng(3)
    flipped = np.where(random.integers(0, 2, (16, 16, 1)) == 1, images ^ 0xF0, images)
    found = read_histories(flipped.astype(np.uint8), 4, nibbles=True, negates=True)
    assert found is not None and found.clear.shape == (16, 60, 16) and found.copies == 1
    moving = found.clear - found.clear.mean(axis=1, keepdims=True)
    together = np.einsum("bnk,bnl->bkl", moving, moving)
    assert (together.sum(axis=2) > 0).mean() > 0.99


def test_three_equal_channels_are_read_once() -> None:
    images = np.repeat(smooth_images(40, 16), 3, axis=3)
    found = read_histories(images, 4, nibbles=False, negates=False)
    assert found is not None and found.copies == 3 and found.clear.shape[2] == 16
    assert found.signed and found.low.shape[2] == 0


def test_bytes_at_random_have_no_common_history() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    assert read_histories(noise, 4, nibbles=True, negates=True) is None


@pytest.mark.parametrize("signed", [True, False])
def test_blocks_find_their_places(signed: bool) -> None:
    public, attacked = _levels(200, 24, 1), _levels(100, 24, 2)
    random = np.random.default_rng(5)
    order = random.permutation(24)
    signs = np.ones(24) if signed else random.choice([-1, 1], 24)
    found = find_places(attacked[:, order] * signs, public, 6, signed=signed)
    right = order[found.block] == np.arange(24)
    assert right.mean() > 0.9
    assert (found.sign == signs[found.block])[right].all()


def test_blocks_that_stay_find_their_signs() -> None:
    public, attacked = _levels(200, 24, 1), _levels(100, 24, 2)
    signs = np.random.default_rng(6).choice([-1, 1], 24)
    found = signs_in_place(attacked * signs, public, signed=False)
    assert (found.sign == signs).mean() > 0.9
    assert (signs_in_place(attacked, public, signed=True).sign == 1).all()


def test_neighbours_expect_what_depends_on_them() -> None:
    random = np.random.default_rng(7)
    known = random.normal(size=(300, 4)).astype(np.float32)
    wanted = np.stack([known[:, 0] + known[:, 1], random.normal(size=300)], axis=1)
    beside = np.array([[0, 1], [2, NOWHERE]])
    expected = NeighbourRegression(known, wanted.astype(np.float32), beside, 1e-3).expect(
        known, 0.0
    )
    assert np.abs(expected.values[:, 0] - wanted[:, 0]).max() < 0.05
    assert expected.variance[0] < 0.01 < 0.8 < expected.variance[1]


def test_few_public_pictures_are_known_to_say_little() -> None:
    few = np.random.default_rng(8).normal(size=(30, 400)).astype(np.float32)
    expected = Factors(few, 10).expect(few, 10, 0.0)
    assert expected.variance.mean() > 0.9


def test_a_window_ends_at_the_border() -> None:
    sites = window(3, 4, 1, itself=False)
    assert sites.shape == (12, 8)
    assert sorted(s for s in sites[0].tolist() if s != NOWHERE) == [1, 4, 5]


@pytest.mark.parametrize("nibbles", [True, False])
def test_sites_become_the_picture_again(nibbles: bool) -> None:
    random = np.random.default_rng(9)
    images: UInt8Array = random.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    geometry = Geometry(2, 3, 4, 3)
    sites, low = public_sites(images, geometry, nibbles=nibbles)
    assert (pictures_of(sites, low if nibbles else None, geometry, 1) == images).all()


def test_sites_beside_a_pixel_are_its_neighbours_and_other_channels() -> None:
    geometry = Geometry(2, 2, 2, 3)
    around = geometry.pixels_around()
    # Site 0 is the red of the first pixel: block 0 has sites 0 to 11, red at 0, 3, 6 and 9.
    assert sorted(s for s in around[0].tolist() if s != NOWHERE) == [1, 2, 3, 6, 9]

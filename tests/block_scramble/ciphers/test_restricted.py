"""The cipher that moves only a share: its definition, its two ends, and how much moves."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.ciphers.restricted import CIPHER as RESTRICTED
from he_compare.block_scramble.ciphers.restricted import moved_count, restricted_order
from he_compare.block_scramble.engine.counting import log2_derangements
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array
from tests.support.slowciphers import SlowStream, corners, slow_stream
from tests.support.smallciphers import pictures, prepare


def slow_order(stream: SlowStream, size: int, moved: int) -> list[int]:
    """Which element comes to each place: a choice in rising order, then an order without a stay."""
    order = list(range(size))
    if moved:
        chosen = sorted(stream.order(size)[:moved])
        places = stream.order(moved)
        while any(place == i for i, place in enumerate(places)):
            places = stream.order(moved)
        for target, source in enumerate(places):
            order[chosen[target]] = chosen[source]
    return order


def slow_encrypt(image: UInt8Array, side: int, fraction: float, blocks: float) -> UInt8Array:
    shape = ImageShape(*image.shape)
    options = {"patch": side, "fraction": fraction, "block_fraction": blocks}
    places = corners(image, side)
    values = side * side * shape.channels
    block_order = slow_order(
        slow_stream(RESTRICTED, options, shape, "block order"),
        len(places),
        round(blocks * len(places)),
    )
    value_order = slow_order(
        slow_stream(RESTRICTED, options, shape, "value order"), values, round(fraction * values)
    )
    result = np.empty_like(image)
    for target, (top, left) in enumerate(places):
        from_top, from_left = places[block_order[target]]
        source = image[from_top : from_top + side, from_left : from_left + side].ravel().tolist()
        block = [source[value_order[j]] for j in range(values)]
        area = np.array(block, np.uint8).reshape(side, side, shape.channels)
        result[top : top + side, left : left + side] = area
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("fraction", "blocks"), [(0.5, 0.5), (0.25, 1.0), (1.0, 0.25), (0.0, 0.5), (1.0, 1.0)]
)
def test_it_is_its_definition_value_for_value(
    fraction: float, blocks: float, channels: int
) -> None:
    shape = ImageShape(16, 8, channels)
    images = pictures(shape)
    keyed = prepare(RESTRICTED, shape, patch=4, fraction=fraction, block_fraction=blocks)
    expected = np.stack([slow_encrypt(image, 4, fraction, blocks) for image in images])
    assert (keyed.encrypt(images) == expected).all()
    assert (keyed.decrypt(expected) == images).all()


def test_nothing_moves_at_zero_and_everything_at_one() -> None:
    shape = ImageShape(32, 32, 3)
    still = prepare(RESTRICTED, shape, patch=8, fraction=0).affine_embedding(8)
    assert (still.block_order == np.arange(16)).all()
    assert (still.value_order == np.arange(192)).all()
    moved = prepare(RESTRICTED, shape, patch=8, fraction=1).affine_embedding(8)
    assert (moved.block_order != np.arange(16)).all()
    assert (moved.value_order != np.arange(192)).all()


def test_one_share_serves_blocks_and_values_unless_blocks_have_their_own() -> None:
    shape = ImageShape(32, 32, 3)
    key = prepare(RESTRICTED, shape, patch=8, fraction=0.25).affine_embedding(8)
    assert (key.block_order != np.arange(16)).sum() == 4
    assert (key.value_order[0] != np.arange(192)).sum() == 48
    key = prepare(RESTRICTED, shape, patch=8, fraction=0.25, block_fraction=0).affine_embedding(8)
    assert (key.block_order == np.arange(16)).all()


def test_exactly_the_share_moves_and_never_a_single_element() -> None:
    assert [moved_count(0.0, 9), moved_count(0.01, 9), moved_count(1.0, 9)] == [0, 2, 9]
    assert moved_count(1.0, 1) == 0
    for moved in (0, 2, 3, 7, 9):
        order = restricted_order(Keystream(bytes([moved] * 32)), 9, moved)
        assert sorted(order) == list(range(9))
        assert (order != np.arange(9)).sum() == moved


def test_every_restricted_order_is_as_likely_as_any_other() -> None:
    stream = Keystream(bytes(32))
    drawn = Counter(tuple(restricted_order(stream, 4, 3)) for _ in range(4000))
    assert len(drawn) == 8  # 4 choices of three, two cycles of each
    expected = 4000 / 8
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < 25


@pytest.mark.parametrize("size", range(2, 8))
def test_derangements_are_counted(size: int) -> None:
    count = sum(
        all(place != i for i, place in enumerate(order))
        for order in itertools.permutations(range(size))
    )
    assert log2_derangements(size) == pytest.approx(math.log2(count))


def test_derangements_are_counted_alike_on_both_sides_of_the_approximation() -> None:
    step = log2_derangements(16) - log2_derangements(15)
    assert step == pytest.approx(4.0, abs=1e-9)
    with pytest.raises(ValueError, match="no place to move to"):
        log2_derangements(1)


def test_its_key_space_counts_what_moves() -> None:
    shape = ImageShape(4, 4, 1)
    nothing = cipher_parameters(RESTRICTED, {"patch": 2, "fraction": 0})
    assert RESTRICTED.nominal_bits(nothing, shape) == 0
    # Two of four blocks and two of four values change places: 6 ways each.
    half = cipher_parameters(RESTRICTED, {"patch": 2, "fraction": 0.5})
    assert RESTRICTED.nominal_bits(half, shape) == pytest.approx(2 * math.log2(6))
    whole = cipher_parameters(RESTRICTED, {"patch": 2, "fraction": 1})
    assert RESTRICTED.nominal_bits(whole, shape) == pytest.approx(2 * math.log2(9))


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan"), "most"])
def test_a_share_out_of_range_is_refused_with_its_value(fraction: object) -> None:
    with pytest.raises(UsageError, match=f"cannot take fraction={fraction!r}"):
        cipher_parameters(RESTRICTED, {"fraction": fraction})


def test_what_it_keeps_names_the_shares_that_stay() -> None:
    kept = RESTRICTED.preserves(cipher_parameters(RESTRICTED, {"fraction": 0.25}))
    assert "place inside the block of 75% of the values" in kept
    assert "place of 75% of the blocks" in kept
    whole = RESTRICTED.preserves(cipher_parameters(RESTRICTED, {"fraction": 1}))
    assert not any(line.startswith("place") for line in whole)

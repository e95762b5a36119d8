"""The solvers of scrambled images: what they find, and that they find nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.block_solving import tiles
from he_compare.common.block_solving.correlation import find_block_order
from he_compare.common.block_solving.joints import (
    UPRIGHT,
    borders_of,
    upright_agreement,
    upright_joints,
)
from he_compare.common.block_solving.layout import lay_out, places
from he_compare.common.block_solving.placement import place
from he_compare.common.block_solving.reconstruct import Sureness, reconstruct
from he_compare.common.block_solving.tiles import cut, join, symmetric
from he_compare.common.similarity import ssim
from he_compare.common.types import IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.scores import jigsaw_found, mask_found, positions_found
from tests.support.smoothimages import scrambled, smooth_images

SIDE, PATCH = 64, 8


def test_joining_blocks_undoes_cutting() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
    assert np.array_equal(join(cut(images, 4), 3, 4, 3), images)


def test_symmetries_compose_and_invert_as_their_pictures_do() -> None:
    picture = np.arange(9).reshape(1, 3, 3)
    for first in range(tiles.COUNT):
        back = symmetric(symmetric(picture, first), int(tiles.INVERSE[first]))
        assert np.array_equal(back, picture)
        for second in range(tiles.COUNT):
            both = symmetric(symmetric(picture, first), second)
            assert np.array_equal(both, symmetric(picture, int(tiles.AFTER[second, first])))


def test_symmetries_move_offsets_as_pictures_do() -> None:
    picture = np.zeros((1, 3, 3))
    picture[0, 0, 1] = 1
    for number, move in enumerate(tiles.MOVES):
        row, column = np.argwhere(symmetric(picture, number)[0])[0] - 1
        assert (move @ [-1, 0]).tolist() == [row, column]


def test_things_are_laid_out_from_noisy_distances() -> None:
    random = np.random.default_rng(1)
    at = places(7, 7)
    unlike = ((at[:, None] - at[None]) ** 2).sum(axis=2) * random.uniform(0.8, 1.2, (49, 49))
    unlike = np.sqrt((unlike + unlike.T) / 2)
    order = random.permutation(49)
    layout = lay_out(unlike[np.ix_(order, order)], 7, 7)
    assert positions_found(order[layout].reshape(7, 7)).exact == 1.0


@pytest.mark.parametrize("channels", [1, 3])
def test_order_and_negation_inside_blocks_are_found_exactly(channels: int) -> None:
    images = np.repeat(smooth_images(4, SIDE), channels, axis=3)
    hidden = scrambled(images, PATCH, seed=2, negate=True)
    blocks = cut(hidden.images, PATCH)
    order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
    assert order is not None
    pixel = hidden.value_order[order.position[:, 0]] // channels
    assert positions_found(pixel.reshape(PATCH, PATCH)).exact == 1.0
    assert mask_found(order.negated, hidden.negated) == 1.0
    assert order.neighbours > 0.5
    assert order.position.shape == (PATCH * PATCH, channels)


def test_nothing_is_called_negated_where_nothing_is() -> None:
    hidden = scrambled(smooth_images(3, SIDE), PATCH, seed=3, negate=False)
    order = find_block_order(cut(hidden.images, PATCH).reshape(-1, PATCH * PATCH))
    assert order is not None
    assert not order.negated.any()


def test_noise_has_no_neighbours_on_blocks_held_out() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (4, SIDE, SIDE, 1), dtype=np.uint8)
    order = find_block_order(cut(noise, PATCH).reshape(-1, PATCH * PATCH))
    assert order is not None
    assert abs(order.neighbours) < 0.1


def test_blocks_go_back_to_their_places() -> None:
    images = smooth_images(3, SIDE)
    order = np.random.default_rng(5).permutation(64)
    blocks = cut(images, PATCH)[:, order].reshape(3, 64, PATCH, PATCH)
    placement = place(upright_joints(blocks), borders_of(blocks, UPRIGHT), 8, 8)
    assert jigsaw_found(order[placement.block]) == (1.0, 1.0, 1.0)
    assert placement.joined == 1.0
    assert upright_agreement(blocks) > 0.5


@pytest.mark.parametrize("count", [1, 4])
def test_whole_pictures_come_back_from_ciphertexts_alone(count: int) -> None:
    images = smooth_images(count, SIDE)
    hidden = scrambled(images, PATCH, seed=6, negate=True)
    found = reconstruct(hidden.images, PATCH)
    assert found.sureness is Sureness.SURE
    assert np.array_equal(aligned_together(found.pictures, images), images[..., 0])


def test_what_was_learnt_undoes_the_same_key_on_further_images() -> None:
    images = smooth_images(6, SIDE)
    hidden = scrambled(images, PATCH, seed=7, negate=True)
    learnt = reconstruct(hidden.images[:4], PATCH)
    assert np.array_equal(aligned_together(learnt.apply(hidden.images), images), images[..., 0])


def test_blocks_that_were_turned_mirrored_and_negated_are_joined() -> None:
    images = smooth_images(6, SIDE)
    found = reconstruct(_turned_one_by_one(images, 16, seed=8), 16)
    assert found.turned
    assert np.array_equal(aligned_together(found.pictures, images), images[..., 0])


def _turned_one_by_one(images: UInt8Array, patch: int, seed: int) -> UInt8Array:
    random = np.random.default_rng(seed)
    rows = images.shape[1] // patch
    blocks = cut(images, patch).reshape(len(images), -1, patch, patch).copy()
    blocks = blocks[:, random.permutation(rows * rows)]
    for number in range(rows * rows):
        turned = symmetric(blocks[:, number], int(random.integers(8)))
        blocks[:, number] = 255 - turned if random.integers(2) else turned
    return join(blocks.reshape(len(images), rows * rows, -1), rows, rows, 1)


def test_pictures_that_were_never_scrambled_stay_in_place() -> None:
    images = smooth_images(3, SIDE)
    found = reconstruct(images, PATCH)
    assert found.in_place and found.order is None
    assert np.array_equal(found.pictures, images[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_no_structure_is_claimed_in_noise(channels: int) -> None:
    noise = np.random.default_rng(9).integers(0, 256, (4, SIDE, SIDE, channels), dtype=np.uint8)
    for patch in (4, 8, 16):
        assert reconstruct(noise, patch).sureness is Sureness.NOTHING


def test_no_structure_is_claimed_where_every_block_has_its_own_order() -> None:
    images = smooth_images(4, SIDE)
    random = np.random.default_rng(10)
    blocks = cut(images, PATCH)
    for number in range(blocks.shape[1]):
        blocks[:, number] = blocks[:, number][:, random.permutation(PATCH * PATCH)]
    found = reconstruct(join(blocks, 8, 8, 1), PATCH)
    assert found.sureness is Sureness.NOTHING


def test_positions_are_counted_up_to_symmetry_and_one_pixel_off() -> None:
    place_of: IntArray = np.arange(25).reshape(5, 5)
    assert positions_found(np.rot90(place_of.T)).exact == 1.0
    exchanged = place_of.copy()
    exchanged[2, [2, 3]] = exchanged[2, [3, 2]]
    assert positions_found(exchanged) == (23 / 25, 1.0)


def test_jigsaw_measures_tell_places_neighbours_and_largest_part() -> None:
    whole: IntArray = np.arange(16).reshape(4, 4)
    halves = np.roll(whole, 2, axis=0)
    found = jigsaw_found(halves)
    assert found.direct == 0.0
    assert found.neighbours == pytest.approx(20 / 24)
    assert found.largest == 0.5


def test_channels_that_a_key_mixed_are_told_apart_and_each_laid_out() -> None:
    grey = smooth_images(16, 64)
    grain = np.concatenate([smooth_images(16, 64, seed) // 16 for seed in (1, 2, 3)], axis=3)
    tints = np.random.default_rng(4).integers(0, 90, (16, 1, 1, 3), dtype=np.uint8)
    colour = grey // 2 + grain + tints
    hidden = scrambled(colour, 8, seed=2, negate=True)
    blocks = cut(hidden.images, 8)
    order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
    assert order is not None and order.position.shape == (64, 3)
    source = hidden.value_order[order.position]
    channel = source % 3
    assert all(len(np.unique(channel[:, seat])) == 1 for seat in range(3))
    assert sorted(channel[0]) == [0, 1, 2]
    found = positions_found((source[:, 0] // 3).reshape(8, 8))
    assert found.near > 0.9


def _with_black_margins(images: UInt8Array) -> UInt8Array:
    framed = images.copy()
    side = images.shape[1]
    row, column = np.indices((side, side))
    framed[:, np.hypot(row - side / 2, column - side / 2) > 0.47 * side] = 0
    return framed


def test_black_margins_are_no_evidence() -> None:
    """Blocks that are black in all images fit one another and tell no place."""
    images = _with_black_margins(smooth_images(8, 96))
    blocks = cut(images, PATCH).reshape(8, -1, PATCH, PATCH)
    random = np.random.default_rng(3)
    moved = blocks[:, random.permutation(blocks.shape[1])].copy()
    for i in range(moved.shape[1]):
        moved[:, i] = tiles.symmetric(moved[:, i], int(random.integers(8)))
        if random.integers(2):
            moved[:, i] = 255 - moved[:, i]
    scrambled_images = join(moved.reshape(8, moved.shape[1], -1), 12, 12, 1)
    found = reconstruct(scrambled_images, PATCH)
    pictures = aligned_together(found.pictures, images)
    assert found.turned
    assert ssim(pictures, images).mean() > 0.95


def test_a_tint_in_some_pictures_leaves_the_others_readable() -> None:
    grey = smooth_images(12, 48)
    images = np.repeat(grey, 3, axis=3)
    images[0, ..., 2] -= np.minimum(images[0, ..., 2], 9)
    random = np.random.default_rng(4)
    blocks = cut(images, PATCH)
    order = random.permutation(blocks.shape[2])
    found = find_block_order(blocks.reshape(-1, blocks.shape[2])[:, order])
    assert found is not None
    pixels = np.sort(order[found.position] // 3, axis=1)
    assert (pixels[:, 0] == pixels[:, 2]).all()
    assert positions_found(pixels[:, 0].reshape(PATCH, PATCH)).exact > 0.95

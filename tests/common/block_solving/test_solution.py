"""What a solver found is a map of values: exact, undone by its moves, turned in every open way."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.block_solving.reconstruct import reconstruct
from he_compare.common.block_solving.solution import (
    SolvedPictures,
    SolvedView,
    solved_view,
    ways_up,
)
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import UInt8Array
from tests.support.smoothimages import scrambled, smooth_images

SIDE, PATCH, COUNT = 64, 8, 60


def grey(seed: int) -> UInt8Array:
    return np.repeat(smooth_images(COUNT, SIDE, seed), 3, axis=3)


def view_of(images: UInt8Array) -> SolvedView:
    view = solved_view(reconstruct(images, PATCH), 3)
    assert view is not None
    return view


@pytest.mark.parametrize("negate", [False, True])
def test_the_view_shows_the_very_pictures_turned_and_negated_in_one_way(negate: bool) -> None:
    plain = grey(1)
    hidden = scrambled(plain, PATCH, 5, negate=negate).images
    ways = ways_up(view_of(hidden), PATCH)
    assert len(ways) == 8
    both = [one for way in ways for one in (way, way.negative())]
    exact = [np.array_equal(one.pictures(hidden), plain) for one in both]
    assert sum(exact) == 1


def test_moves_are_the_way_back() -> None:
    plain = grey(2)
    hidden = scrambled(plain, PATCH, 6, negate=True).images
    view = view_of(hidden)
    index, negated = view.moves()
    back = view.pictures(hidden).reshape(COUNT, -1)[:, index]
    assert np.array_equal(np.where(negated, 255 - back, back).reshape(hidden.shape), hidden)


def test_pictures_are_made_of_those_that_are_asked_for() -> None:
    hidden = scrambled(grey(3), PATCH, 7, negate=False).images
    view = view_of(hidden)
    pictures = SolvedPictures(hidden, view)
    assert len(pictures) == COUNT
    assert np.array_equal(pictures[3:9], view.pictures(hidden)[3:9])
    chosen = np.array([7, 2, 30])
    assert np.array_equal(pictures[chosen], view.pictures(hidden)[chosen])


def test_blocks_that_stayed_leave_one_way_up() -> None:
    plain = grey(4)
    blocks = cut(plain, PATCH)[:, :, np.random.default_rng(8).permutation(PATCH * PATCH * 3)]
    hidden = join(blocks, SIDE // PATCH, SIDE // PATCH, 3)
    (way,) = ways_up(view_of(hidden), PATCH)
    assert np.array_equal(way.pictures(hidden), plain)


def test_a_picture_that_was_never_scrambled_is_shown_as_it_is() -> None:
    plain = grey(5)
    (way,) = ways_up(view_of(plain), PATCH)
    assert np.array_equal(way.index.ravel(), np.arange(SIDE * SIDE * 3)) and not way.negated.any()


def test_channels_change_places_and_come_back() -> None:
    view = view_of(grey(7))
    coloured = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    shown = view.recoloured((2, 0, 1)).pictures(coloured)
    assert np.array_equal(shown, coloured[..., [2, 0, 1]])

"""Sides of blocks guessed from ciphertexts, or unknown: grain, shapes, JPEG, controls."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.block_size import candidates, guess_block_size
from tests.support import slowscramblers as slow
from tests.support.smoothimages import smooth_images

NOISE = np.random.default_rng(13).integers(0, 256, (4, 96, 96, 1), dtype=np.uint8)


def grainy(images: UInt8Array, levels: float) -> UInt8Array:
    grain = np.random.default_rng(1).normal(0, levels, images.shape)
    return np.clip(images + grain, 0, 255).astype(np.uint8)


def speckled(images: UInt8Array) -> UInt8Array:
    speckle = np.random.default_rng(2).gamma(8, 1 / 8, images.shape)
    return np.clip(images * speckle, 0, 255).astype(np.uint8)


def through_jpeg(images: UInt8Array, quality: int) -> UInt8Array:
    found = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image[..., 0]).save(stream, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(stream)))
    return np.stack(found)[..., None]


SHARED = (slow.shf, slow.negate, slow.ffx, slow.vit_block, slow.shuffled_and_negated)
BORDERED = (slow.moved_only, slow.etc)


@pytest.mark.parametrize("patch", [4, 7, 8, 14, 16])
@pytest.mark.parametrize("scrambler", [*SHARED, *BORDERED, slow.tanaka_le])
def test_sides_are_guessed_under_grain(scrambler: slow.Scrambler, patch: int) -> None:
    images = grainy(smooth_images(4, 112), 10)
    guess = guess_block_size(slow.under(scrambler, images, patch, 3))
    assert (guess.patch, guess.sure) == (patch, True)


@pytest.mark.parametrize(
    ("height", "width", "patch"), [(100, 200, 20), (100, 200, 25), (128, 192, 32)]
)
def test_sides_are_guessed_on_images_that_are_no_squares(
    height: int, width: int, patch: int
) -> None:
    images = speckled(smooth_images(6, 200)[:, :height, :width])
    for scrambler in (slow.vit_block, slow.etc):
        assert guess_block_size(slow.under(scrambler, images, patch, 4)).patch == patch


@pytest.mark.parametrize("scrambler", [*SHARED, *BORDERED])
def test_one_image_and_keys_for_each_image_are_enough(scrambler: slow.Scrambler) -> None:
    images = np.repeat(grainy(smooth_images(3, 112), 6), 3, axis=3)
    assert guess_block_size(slow.under(scrambler, images[:1], 8, 5)).patch == 8
    own = slow.under(scrambler, images, 8, 6, per_image=True)
    assert guess_block_size(own).patch == 8


def test_blocks_with_keys_of_their_own_show_by_their_borders() -> None:
    guess = guess_block_size(slow.under(slow.al_amin, smooth_images(4, 112), 16, 7))
    assert guess.patch == 16


@pytest.mark.parametrize("count", [1, 4])
def test_noise_and_unscrambled_pictures_show_no_blocks(count: int) -> None:
    for images in (NOISE, smooth_images(4, 96), grainy(smooth_images(4, 96), 12)):
        guess = guess_block_size(images[:count])
        assert (guess.patch, guess.trace, guess.sure) == (None, "", False)
        assert {score.side for score in guess.scores} == set(candidates(96, 96))


def test_the_grid_of_jpeg_is_not_taken_for_the_blocks() -> None:
    images = smooth_images(6, 112)
    plain = guess_block_size(through_jpeg(images, 30), jpeg=True)
    assert plain.patch is None or (plain.on_jpeg_grid and not plain.sure)
    for patch in (14, 16, 28):
        hidden = through_jpeg(slow.under(slow.vit_block, images, patch, 8), 60)
        assert guess_block_size(hidden, jpeg=True).patch == patch
    eights = through_jpeg(slow.under(slow.vit_block, images, 8, 9), 80)
    guess = guess_block_size(eights, jpeg=True)
    assert (guess.patch, guess.on_jpeg_grid, guess.sure) == (8, True, False)


def test_blocks_that_do_not_tile_are_named() -> None:
    hidden = slow.under(slow.vit_block, smooth_images(4, 120), 12, 10)[:, :112, :112]
    guess = guess_block_size(hidden)
    assert (guess.patch, guess.untiled) == (None, 12)


def test_images_too_small_for_blocks_are_unknown() -> None:
    assert guess_block_size(smooth_images(1, 8)).patch is None
    assert guess_block_size(NOISE[:1, :61, :61]).patch is None

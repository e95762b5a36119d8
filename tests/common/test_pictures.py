"""Images of a batch, in memory or elsewhere, and their digests."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.types import (
    HeldPictures,
    ImageBatch,
    Pictures,
    in_portions,
    joint_digest,
    picture_digest,
)

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
IDS = tuple("abcdefg")


def _batch() -> ImageBatch:
    return ImageBatch(IDS, COLOURS, np.arange(7), IDS)


def test_an_array_is_held_as_it_is_and_indexing_gives_arrays() -> None:
    images = _batch().images
    assert isinstance(images, Pictures) and isinstance(images, HeldPictures)
    assert (images.shape, images.ndim, images.dtype) == ((7, 8, 8, 3), 4, np.uint8)
    for index in (2, slice(1, 5), np.array([4, 0, 4])):
        found = images[index]
        assert type(found) is np.ndarray and np.array_equal(found, COLOURS[index])
    assert np.shares_memory(images[1:3], COLOURS) and np.shares_memory(np.asarray(images), COLOURS)


def test_images_chosen_are_those_of_the_batch() -> None:
    chosen = _batch().take(np.array([5, 1]))
    assert chosen.ids == ("f", "b") and np.array_equal(chosen.images[:], COLOURS[[5, 1]])


def test_portions_are_all_images_in_order() -> None:
    portions = list(in_portions(_batch().images, 3))
    assert [len(one) for one in portions] == [3, 3, 1]
    assert np.array_equal(np.concatenate(portions), COLOURS)


def test_the_digest_of_some_images_is_that_of_their_digests() -> None:
    images, few = _batch().images, _batch().images.select(np.array([3, 1]))
    digests = images.digests()
    assert few.digests() == (digests[3], digests[1])
    assert few.digest() == joint_digest((8, 8, 3), (digests[3], digests[1])) != images.digest()
    changed = COLOURS.copy()
    changed[6, 7, 7, 2] ^= 1
    assert HeldPictures(changed).digest() != images.digest()


def test_a_grey_image_has_one_digest_whether_it_is_read_or_expanded() -> None:
    grey = np.repeat(COLOURS[0, :, :, :1], 3, axis=2)
    assert picture_digest(grey) == picture_digest(np.broadcast_to(COLOURS[0, :, :, :1], (8, 8, 3)))
    assert picture_digest(grey) != picture_digest(COLOURS[0])


@pytest.mark.parametrize("shape", [(7, 8, 8), (7, 8, 8, 1), (6, 8, 8, 3)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="images"):
        ImageBatch(IDS, np.zeros(shape, dtype=np.uint8), np.arange(7), IDS)

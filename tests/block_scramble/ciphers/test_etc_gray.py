"""Grayscale-based encryption-then-compression: its definition, also between channels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.ciphers.etc_gray import CIPHER as ETC_GRAY
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array
from tests.support.slowciphers import corners, slow_stream
from tests.support.smallciphers import pictures, prepare


def slow_encrypt(image: UInt8Array, side: int) -> UInt8Array:
    """Lay the channels below each other, turn, mirror, negate and move, and stack them again."""
    shape, options = ImageShape(*image.shape), {"patch": side}
    tall = np.concatenate([image[:, :, channel] for channel in range(shape.channels)])
    places = corners(tall, side)
    bits = slow_stream(ETC_GRAY, options, shape, "symmetry").bits(3 * len(places))
    signs = slow_stream(ETC_GRAY, options, shape, "negative-positive").bits(len(places))
    order = slow_stream(ETC_GRAY, options, shape, "block order").order(len(places))
    result = np.empty_like(tall)
    for target, source in enumerate(order):
        top, left = places[source]
        block = tall[top : top + side, left : left + side]
        low, middle, high = bits[3 * source : 3 * source + 3]
        turned = np.rot90(block.T if high else block, low + 2 * middle)
        top, left = places[target]
        result[top : top + side, left : left + side] = 255 - turned if signs[source] else turned
    return np.stack(np.split(result, shape.channels), axis=2)


@pytest.mark.parametrize("shape", [ImageShape(16, 12, 3), ImageShape(12, 8, 1)])
def test_it_is_its_definition_value_for_value(shape: ImageShape) -> None:
    images = pictures(shape)
    keyed = prepare(ETC_GRAY, shape, patch=4)
    expected = np.stack([slow_encrypt(image, 4) for image in images])
    assert (keyed.encrypt(images) == expected).all()
    assert (keyed.decrypt(expected) == images).all()


def test_blocks_of_every_channel_reach_every_channel() -> None:
    shape = ImageShape(64, 64, 3)
    image = np.zeros((1, *shape), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, 20, 30
    scrambled = prepare(ETC_GRAY, shape, patch=8).encrypt(image)[0].astype(int)
    folded = np.minimum(scrambled, 255 - scrambled)
    for channel in range(3):
        assert set(np.unique(folded[:, :, channel])) == {10, 20, 30}
    assert 0.3 < (scrambled > 127).mean() < 0.7


def test_key_space_counts_the_blocks_of_all_channels() -> None:
    options = cipher_parameters(ETC_GRAY, {"patch": 8})
    colour = ETC_GRAY.nominal_bits(options, ImageShape(16, 16, 3))
    assert colour == pytest.approx(math.log2(math.factorial(12)) + 12 * 4)
    grey = ETC_GRAY.nominal_bits(options, ImageShape(16, 16, 1))
    assert grey == pytest.approx(math.log2(24) + 4 * 4)


def test_no_patch_embedding_absorbs_a_move_between_channels() -> None:
    shape = ImageShape(32, 32, 3)
    assert "single channels" in ETC_GRAY.obstacle(cipher_parameters(ETC_GRAY, {}))
    with pytest.raises(UsageError, match="between the model's patches"):
        prepare(ETC_GRAY, shape, patch=8).affine_embedding(8)

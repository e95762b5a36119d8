"""A fresh order for every image: its definition, nonces, what is never shared, mixing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.cipher import cipher_parameters, purpose_of
from he_compare.block_scramble.ciphers.patch_shuffle import CIPHER as PATCH_SHUFFLE
from he_compare.block_scramble.ciphers.patch_shuffle import sub_block_side
from he_compare.block_scramble.encryptor import KeyPolicy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.types import UInt8Array
from tests.support.slowciphers import SlowStream, corners
from tests.support.smallciphers import KEY, blocks_of, pictures, prepare

NONCES = [bytes([i]) * 16 for i in range(1, 4)]
SHAPE = ImageShape(12, 8, 3)


def slow_encrypt(image: UInt8Array, side: int, piece: int, nonce: bytes) -> UInt8Array:
    shape, options = ImageShape(*image.shape), {"patch": side, "mix": piece < side}
    purpose = purpose_of("patch_shuffle", cipher_parameters(PATCH_SHUFFLE, options), shape)
    key = KEY.subkey(*purpose, "orders of images")
    blocks = corners(image, side)
    inside = [(y, x) for y in range(0, side, piece) for x in range(0, side, piece)]
    orders = SlowStream(key, nonce.hex()).orders(len(inside), len(blocks))
    result = np.empty_like(image)
    for order, (down, right) in zip(orders, inside, strict=True):
        for (top, left), source in zip(blocks, order, strict=True):
            y, x = blocks[source][0] + down, blocks[source][1] + right
            rows = slice(top + down, top + down + piece)
            columns = slice(left + right, left + right + piece)
            result[rows, columns] = image[y : y + piece, x : x + piece]
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mix", [False, True])
def test_it_is_its_definition_value_for_value(mix: bool, channels: int) -> None:
    shape = ImageShape(12, 8, channels)
    images = pictures(shape)
    keyed = prepare(PATCH_SHUFFLE, shape, patch=4, mix=mix)
    sent = keyed.encrypt_under(images, NONCES)
    pairs = zip(images, NONCES, strict=True)
    assert (sent == np.stack([slow_encrypt(i, 4, 2 if mix else 4, n) for i, n in pairs])).all()
    assert (keyed.decrypt_under(sent, NONCES) == images).all()


def test_sub_blocks_are_the_largest_that_tile_a_block() -> None:
    assert [sub_block_side(patch) for patch in (2, 3, 4, 7, 9, 14, 16, 25)] == [
        1, 1, 2, 1, 3, 7, 8, 5,
    ]  # fmt: skip


def encryptor(policy: KeyPolicy = KeyPolicy.PER_CLIENT, **options: Any) -> Any:
    parameters = cipher_parameters(PATCH_SHUFFLE, {"patch": 4} | options)
    return make_encryptor(PATCH_SHUFFLE, parameters, SHAPE, KEY, policy)


@pytest.mark.parametrize("policy", list(KeyPolicy))
@pytest.mark.parametrize("mix", [False, True])
def test_equal_images_get_unrelated_orders_that_only_the_owner_undoes(
    policy: KeyPolicy, mix: bool
) -> None:
    images = np.repeat(pictures(SHAPE, count=1), 12, axis=0)
    sender = encryptor(policy, mix=mix)
    ciphertexts, nonces = sender.encrypt(images)
    assert len({ciphertext.tobytes() for ciphertext in ciphertexts}) > 8
    assert len(set(nonces)) == 12 and {len(nonce) for nonce in nonces} == {16}
    assert (encryptor(policy, mix=mix).decrypt(ciphertexts, nonces) == images).all()
    other = make_encryptor(
        PATCH_SHUFFLE,
        cipher_parameters(PATCH_SHUFFLE, {"patch": 4, "mix": mix}),
        SHAPE,
        ClientKey.from_seed(1),
        policy,
    )
    assert (other.decrypt(ciphertexts, nonces) != images).any()


def test_without_mixing_blocks_stay_whole_and_with_it_sub_blocks_do() -> None:
    image = pictures(SHAPE, count=1)[0]

    def pieces(picture: UInt8Array, side: int) -> list[bytes]:
        return sorted(block.tobytes() for block in blocks_of(picture, side))

    whole = prepare(PATCH_SHUFFLE, SHAPE, patch=4).encrypt_under(image[None], NONCES[:1])[0]
    mixed = prepare(PATCH_SHUFFLE, SHAPE, patch=4, mix=True)
    mixed = mixed.encrypt_under(image[None], NONCES[:1])[0]
    assert pieces(whole, 4) == pieces(image, 4)
    assert pieces(mixed, 2) == pieces(image, 2) and pieces(mixed, 4) != pieces(image, 4)


def test_nonces_that_are_missing_reused_or_malformed_are_refused() -> None:
    keyed, images = prepare(PATCH_SHUFFLE, SHAPE, patch=4), pictures(SHAPE)
    for bad, reason in (
        (NONCES[:2], "3 images came with 2 nonces"),
        ([NONCES[0], NONCES[0], NONCES[1]], "used for two images"),
        ([NONCES[0], NONCES[1], b"short"], "a nonce has 16 bytes"),
    ):
        for work in (keyed.encrypt_under, keyed.decrypt_under):
            with pytest.raises(MessageError, match=reason):
                work(images, bad)
    with pytest.raises(UsageError, match="with its nonce, and there is none"):
        keyed.decrypt(images)
    with pytest.raises(UsageError, match="images are"):
        keyed.encrypt_under(images[:, :4], NONCES)


def test_key_space_is_that_of_the_order_of_one_image() -> None:
    bits = math.log2(math.factorial(6))
    for mix, expected in ((False, bits), (True, 4 * bits)):
        parameters = cipher_parameters(PATCH_SHUFFLE, {"patch": 4, "mix": mix})
        assert PATCH_SHUFFLE.nominal_bits(parameters, SHAPE) == pytest.approx(expected)


def test_no_model_absorbs_an_order_that_changes() -> None:
    reason = "another one for every image"
    assert reason in PATCH_SHUFFLE.obstacle(cipher_parameters(PATCH_SHUFFLE, {}))
    with pytest.raises(UsageError, match=reason):
        prepare(PATCH_SHUFFLE, SHAPE, patch=4).affine_embedding(4)

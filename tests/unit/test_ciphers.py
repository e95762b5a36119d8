"""What each cipher does to an image, by its definition, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from block_scramble.blocks import KeyedBlocks
from block_scramble.cipher import Cipher, ImageShape, cipher_parameters, key_space
from block_scramble.ciphers.al_amin import CIPHER as AL_AMIN
from block_scramble.ciphers.identity import CIPHER as IDENTITY
from block_scramble.ciphers.noise import CIPHER as NOISE
from block_scramble.ciphers.vit_block import CIPHER as VIT_BLOCK
from block_scramble.keys import ClientKey
from block_scramble.policy import KeyPolicy, PerImageEncryptor, make_encryptor
from common.errors import MessageError, UsageError
from common.types import UInt8Array

KEY = ClientKey.from_seed(0)
SMALL = ImageShape(12, 8, 3)


def pictures(shape: ImageShape = SMALL, count: int = 3, seed: int = 0) -> UInt8Array:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), dtype=np.uint8)


def prepare(cipher: Cipher, shape: ImageShape = SMALL, **options: Any) -> Any:
    return cipher.prepare(KEY, cipher_parameters(cipher, options), shape)


def blocks_of(image: UInt8Array, side: int) -> list[UInt8Array]:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return [
        image[r * side : (r + 1) * side, c * side : (c + 1) * side]
        for r in range(rows)
        for c in range(columns)
    ]


@pytest.mark.parametrize(
    ("cipher", "shape", "options", "bits"),
    [
        (VIT_BLOCK, (224, 224, 3), {"patch": 16}, 1_215 + 6_259),
        (VIT_BLOCK, (224, 224, 3), {"patch": 16, "negative_positive": True}, 7_474 + 768),
        (AL_AMIN, (200, 200, 3), {"patch": 25}, 17_984),
        (AL_AMIN, (200, 200, 3), {"patch": 25, "mix_channels": False}, 5_205),
        (AL_AMIN, (200, 200, 3), {"patch": 25, "shared_pixel_key": False}, 1_132_326),
    ],
)
def test_nominal_key_space_is_the_published_count(
    cipher: Cipher, shape: tuple[int, int, int], options: dict[str, Any], bits: int
) -> None:
    parameters = cipher_parameters(cipher, options)
    assert cipher.nominal_bits(parameters, ImageShape(*shape)) == pytest.approx(bits, abs=1)


def test_effective_key_space_is_limited_by_the_entropy_of_the_key() -> None:
    shape, parameters = ImageShape(224, 224, 3), cipher_parameters(VIT_BLOCK, {})
    seeded = key_space(VIT_BLOCK, parameters, shape, ClientKey.from_seed(1).entropy_bits)
    drawn = key_space(VIT_BLOCK, parameters, shape, ClientKey.generate().entropy_bits)
    assert seeded is not None and drawn is not None
    assert (seeded.seed_entropy_bits, seeded.effective_bits) == (32, 32)
    assert (drawn.seed_entropy_bits, drawn.effective_bits) == (256, 256)
    tiny = key_space(VIT_BLOCK, cipher_parameters(VIT_BLOCK, {"patch": 2}), ImageShape(2, 2, 1), 32)
    assert tiny is not None
    assert tiny.effective_bits == tiny.nominal_bits == pytest.approx(np.log2(24))


def test_vit_block_moves_whole_blocks_under_one_value_order() -> None:
    image = pictures(count=1)[0]
    keyed = prepare(VIT_BLOCK, patch=4)
    key = keyed.affine_embedding(4)
    assert not key.negated.any()
    plain, scrambled = blocks_of(image, 4), blocks_of(keyed.encrypt(image[None])[0], 4)
    assert sorted(key.block_order) == list(range(6))
    assert sorted(key.value_order) == list(range(48))
    for target, source in enumerate(key.block_order):
        assert (scrambled[target].ravel() == plain[source].ravel()[key.value_order]).all()


@pytest.mark.parametrize("cipher", [VIT_BLOCK, AL_AMIN], ids=lambda c: c.name)
def test_negative_positive_replaces_v_by_255_minus_v_at_the_same_places_of_all_blocks(
    cipher: Cipher,
) -> None:
    image = pictures(count=1)[0]
    keyed = prepare(cipher, patch=4, negative_positive=True)
    key = keyed.affine_embedding(4)
    assert 0 < key.negated.sum() < 48
    plain, scrambled = blocks_of(image, 4), blocks_of(keyed.encrypt(image[None])[0], 4)
    for target, source in enumerate(key.block_order):
        moved = plain[source].ravel()[key.value_order]
        expected = np.where(key.negated, 255 - moved, moved)
        assert (scrambled[target].ravel() == expected).all()


def test_al_amin_without_mixing_moves_whole_pixels() -> None:
    image = pictures(count=1)[0]
    keyed = prepare(AL_AMIN, patch=4, mix_channels=False)
    scrambled = keyed.encrypt(image[None])[0]
    assert sorted(map(tuple, scrambled.reshape(-1, 3))) == sorted(map(tuple, image.reshape(-1, 3)))
    mixed = prepare(AL_AMIN, patch=4).encrypt(image[None])[0]
    assert sorted(map(tuple, mixed.reshape(-1, 3))) != sorted(map(tuple, image.reshape(-1, 3)))


def test_al_amin_with_a_key_for_each_patch_uses_another_order_in_each() -> None:
    positions = np.tile(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), (3, 2, 1))
    shared = prepare(AL_AMIN, patch=4).encrypt(positions[None])[0]
    each = prepare(AL_AMIN, patch=4, shared_pixel_key=False).encrypt(positions[None])[0]
    assert len({block.tobytes() for block in blocks_of(shared, 4)}) == 1
    assert len({block.tobytes() for block in blocks_of(each, 4)}) == 6


def test_identity_returns_the_image_and_noise_ignores_it() -> None:
    images = pictures(ImageShape(64, 64, 3), count=4)
    shape = ImageShape(64, 64, 3)
    assert (prepare(IDENTITY, shape).encrypt(images) == images).all()
    noise = prepare(NOISE, shape).encrypt(images)
    assert (prepare(NOISE, shape).encrypt(255 - images) == noise).all()
    counts = np.bincount(noise.ravel(), minlength=256)
    expected = noise.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 350
    with pytest.raises(UsageError, match="cannot be decrypted"):
        prepare(NOISE, shape).decrypt(noise)


def test_noise_never_repeats_within_a_series_or_between_two() -> None:
    parameters = cipher_parameters(NOISE, {})
    images = pictures(count=2)
    training = NOISE.prepare(KEY, parameters, SMALL, sequence="training")
    inference = NOISE.prepare(KEY, parameters, SMALL, sequence="inference")
    drawn = [*training.encrypt(images), *training.encrypt(images), *inference.encrypt(images)]
    assert len({picture.tobytes() for picture in drawn}) == 6


@pytest.mark.parametrize("options", [{}, {"negative_positive": True}])
def test_batches_stored_last_axis_first_give_the_same_ciphertext(options: dict[str, Any]) -> None:
    images = pictures(count=5)
    last = np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    keyed = prepare(VIT_BLOCK, patch=4, **options)
    assert (keyed.encrypt(last) == keyed.encrypt(images)).all()
    assert (keyed.decrypt(keyed.encrypt(last)) == images).all()
    assert keyed.encrypt(last).transpose(1, 2, 3, 0).flags.c_contiguous
    assert (keyed.encrypt(images[::2]) == keyed.encrypt(images)[::2]).all()


def test_a_patch_that_does_not_divide_the_image_is_refused_with_those_that_do() -> None:
    for cipher in (VIT_BLOCK, AL_AMIN):
        with pytest.raises(UsageError, match=r"patch 5 does not divide a 12 x 8 image.*2, 4\)"):
            prepare(cipher, patch=5)


@pytest.mark.parametrize("patch", [0, 1, -4, 513, "wide", 2.5, None])
def test_a_patch_out_of_range_is_refused_with_its_value(patch: Any) -> None:
    with pytest.raises(UsageError) as caught:
        cipher_parameters(VIT_BLOCK, {"patch": patch})
    assert f"patch={patch!r}" in caught.value.problem


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"no parameter 'mix_chanels'.*did you mean 'mix_channels'"
    ):
        cipher_parameters(AL_AMIN, {"mix_chanels": True})
    with pytest.raises(UsageError, match="'vit_block' has no parameter 'shared_pixel_key'"):
        cipher_parameters(VIT_BLOCK, {"shared_pixel_key": True})


@pytest.mark.parametrize(
    "images",
    [
        pictures().astype(np.uint16),
        pictures(ImageShape(12, 8, 4)),
        pictures(ImageShape(8, 12, 3)),
        pictures()[0],
    ],
    ids=["16 bit", "alpha", "another shape", "no batch"],
)
def test_images_that_do_not_fit_are_refused_with_their_shape(images: np.ndarray) -> None:
    keyed = prepare(VIT_BLOCK, patch=4)
    for work in (keyed.encrypt, keyed.decrypt):
        with pytest.raises(UsageError) as caught:
            work(images)
        assert f"{images.dtype} {images.shape}" in caught.value.problem


def test_images_with_alpha_have_no_cipher() -> None:
    for cipher in (VIT_BLOCK, AL_AMIN, IDENTITY, NOISE):
        options = {"patch": 4} if "patch" in cipher.parameters.model_fields else {}
        with pytest.raises(UsageError, match="neither grey nor RGB"):
            prepare(cipher, ImageShape(8, 8, 4), **options)


def test_a_key_of_its_own_for_each_patch_is_not_adaptable() -> None:
    options = {"patch": 4, "shared_pixel_key": False}
    assert "every patch has a pixel key" in AL_AMIN.obstacle(cipher_parameters(AL_AMIN, options))
    with pytest.raises(UsageError, match="every block has a pixel key of its own"):
        prepare(AL_AMIN, **options).affine_embedding(4)
    assert NOISE.obstacle(cipher_parameters(NOISE, {}))
    with pytest.raises(UsageError, match=r"blocks of 4 pixels do not fit .* patches of 2"):
        prepare(VIT_BLOCK, patch=4).affine_embedding(2)


def per_image(cipher: Cipher = VIT_BLOCK, key: ClientKey = KEY) -> PerImageEncryptor:
    parameters = cipher_parameters(cipher, {"patch": 4})
    encryptor = make_encryptor(cipher, parameters, SMALL, key, KeyPolicy.PER_IMAGE)
    assert isinstance(encryptor, PerImageEncryptor)
    return encryptor


def test_per_image_keys_differ_between_images_and_repeat_for_the_same() -> None:
    ramp = np.arange(288, dtype=np.uint16).reshape(SMALL).astype(np.uint8)
    images = np.stack([ramp, ramp[::-1], ramp])
    ciphertexts, nonces = per_image().encrypt(images)
    assert [len(nonce) for nonce in nonces] == [16] * 3
    assert nonces[0] == nonces[2] != nonces[1]
    assert (ciphertexts[0] == ciphertexts[2]).all()
    orders = [
        per_image()._keyed(nonce).affine_embedding(4).value_order.tolist() for nonce in nonces[:2]
    ]
    assert orders[0] != orders[1]


def test_per_image_ciphertexts_come_back_exactly_and_a_wrong_key_is_noticed() -> None:
    images = pictures()
    ciphertexts, nonces = per_image().encrypt(images)
    assert (per_image().decrypt(ciphertexts, nonces) == images).all()
    with pytest.raises(MessageError, match="wrong key"):
        per_image(key=ClientKey.from_seed(1)).decrypt(ciphertexts, nonces)
    altered = ciphertexts.copy()
    altered[0, 0, 0, 0] ^= 1
    with pytest.raises(MessageError, match="ciphertext 0 does not fit"):
        per_image().decrypt(altered, nonces)
    with pytest.raises(MessageError, match="3 ciphertexts came with 2 nonces"):
        per_image().decrypt(ciphertexts, nonces[:2])


def test_per_image_keys_are_refused_for_ciphers_without_a_key() -> None:
    for cipher in (IDENTITY, NOISE):
        with pytest.raises(UsageError, match="has no key"):
            make_encryptor(cipher, cipher_parameters(cipher, {}), SMALL, KEY, KeyPolicy.PER_IMAGE)


def test_a_nonce_is_refused_where_one_key_serves_all() -> None:
    parameters = cipher_parameters(VIT_BLOCK, {"patch": 4})
    encryptor = make_encryptor(VIT_BLOCK, parameters, SMALL, KEY, KeyPolicy.PER_CLIENT)
    ciphertexts, nonces = encryptor.encrypt(pictures())
    assert nonces == ()
    assert (encryptor.decrypt(ciphertexts, ()) == pictures()).all()
    with pytest.raises(MessageError, match="policy per_client"):
        encryptor.decrypt(ciphertexts, [bytes(16)] * 3)


def test_keyed_blocks_follow_the_order_they_are_given() -> None:
    image = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)
    keyed = KeyedBlocks(
        ImageShape(2, 4, 1),
        2,
        np.array([1, 0]),
        np.array([[3, 0, 1, 2]]),
        np.array([[True, False, False, False]]),
    )
    # Blocks of the image are 0 1 4 5 and 2 3 6 7.
    expected = np.array([[255 - 7, 2, 255 - 5, 0], [3, 6, 1, 4]], np.uint8)
    assert (keyed.encrypt(image)[0, :, :, 0] == expected).all()

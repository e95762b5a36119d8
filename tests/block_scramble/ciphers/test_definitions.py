"""What each cipher does to an image, by its definition, and what it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.ciphers.aes_ctr import CIPHER as AES_CTR
from he_compare.block_scramble.ciphers.al_amin import CIPHER as AL_AMIN
from he_compare.block_scramble.ciphers.etc import CIPHER as ETC
from he_compare.block_scramble.ciphers.ffx import CIPHER as FFX
from he_compare.block_scramble.ciphers.ffx import ff1_table
from he_compare.block_scramble.ciphers.identity import CIPHER as IDENTITY
from he_compare.block_scramble.ciphers.madono_ele import CIPHER as MADONO
from he_compare.block_scramble.ciphers.noise import CIPHER as NOISE
from he_compare.block_scramble.ciphers.np import CIPHER as NP
from he_compare.block_scramble.ciphers.orthogonal import CIPHER as ORTHOGONAL
from he_compare.block_scramble.ciphers.pixel_np import CIPHER as PIXEL_NP
from he_compare.block_scramble.ciphers.shf import CIPHER as SHF
from he_compare.block_scramble.ciphers.tanaka_le import CIPHER as TANAKA
from he_compare.block_scramble.ciphers.vit_block import CIPHER as VIT_BLOCK
from he_compare.block_scramble.engine.blocks import crop, pad, padded_shape, symmetries
from he_compare.block_scramble.engine.permutations import permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array
from tests.support.smallciphers import KEY, SMALL, blocks_of, pictures, prepare


@pytest.mark.parametrize(
    ("cipher", "shape", "options", "bits"),
    [
        (VIT_BLOCK, (224, 224, 3), {"patch": 16}, 1_215 + 6_259),
        (VIT_BLOCK, (224, 224, 3), {"patch": 16, "negative_positive": True}, 7_474 + 768),
        (AL_AMIN, (200, 200, 3), {"patch": 25}, 17_984),
        (AL_AMIN, (200, 200, 3), {"patch": 25, "mix_channels": False}, 5_205),
        (AL_AMIN, (200, 200, 3), {"patch": 25, "shared_pixel_key": False}, 1_132_326),
        (TANAKA, (32, 32, 3), {"patch": 4}, 594),
        (TANAKA, (32, 32, 3), {"patch": 4, "mask_from_order": True}, 498),
        (MADONO, (32, 32, 3), {"patch": 4}, 38_330),
        (PIXEL_NP, (32, 32, 3), {}, 5_719),
        (ETC, (128, 128, 3), {"patch": 16}, 717),
        (SHF, (32, 32, 3), {"patch": 4}, 203),
        (NP, (32, 32, 3), {"patch": 4}, 45),
        (FFX, (32, 32, 3), {"patch": 4}, 256 + 45),
        (AES_CTR, (32, 32, 3), {}, 256),
        # Nibbles of al_amin: (2 * 1875)! * 64!; a cycle through 2 of 12 values.
        (AL_AMIN, (200, 200, 3), {"patch": 25, "nibble_split": True}, 39_416),
        (ORTHOGONAL, (4, 4, 3), {"patch": 2, "fraction": 0.1}, 6),
    ],
)
def test_nominal_key_space_is_the_published_count(
    cipher: Cipher, shape: tuple[int, int, int], options: dict[str, Any], bits: int
) -> None:
    parameters = cipher_parameters(cipher, options)
    assert cipher.nominal_bits(parameters, ImageShape(*shape)) == pytest.approx(bits, abs=1)


def test_effective_key_space_is_limited_by_the_entropy_of_the_key() -> None:
    shape, parameters = ImageShape(224, 224, 3), cipher_parameters(VIT_BLOCK, {})
    seeded = VIT_BLOCK.key_space(parameters, shape, ClientKey.from_seed(1).entropy_bits)
    drawn = VIT_BLOCK.key_space(parameters, shape, ClientKey.generate().entropy_bits)
    assert seeded is not None and drawn is not None
    assert (seeded.seed_entropy_bits, seeded.effective_bits) == (32, 32)
    assert (drawn.seed_entropy_bits, drawn.effective_bits) == (256, 256)
    tiny = VIT_BLOCK.key_space(cipher_parameters(VIT_BLOCK, {"patch": 2}), ImageShape(2, 2, 1), 32)
    assert tiny is not None
    assert tiny.effective_bits == tiny.nominal_bits == pytest.approx(np.log2(24))


def test_vit_block_moves_whole_blocks_under_one_value_order() -> None:
    image = pictures(count=1)[0]
    keyed = prepare(VIT_BLOCK, patch=4)
    key = keyed.affine_embedding(4)
    assert not key.negated.any()
    plain, scrambled = blocks_of(image, 4), blocks_of(keyed.encrypt(image[None])[0], 4)
    assert sorted(key.block_order) == list(range(6))
    assert sorted(key.value_order[0]) == list(range(48))
    for target, source in enumerate(key.block_order):
        assert (scrambled[target].ravel() == plain[source].ravel()[key.value_order[0]]).all()


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
        moved = plain[source].ravel()[key.value_order[0]]
        expected = np.where(key.negated[0], 255 - moved, moved)
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


@pytest.mark.parametrize(
    ("cipher", "options"),
    [
        (VIT_BLOCK, {"patch": 4}),
        (VIT_BLOCK, {"patch": 4, "negative_positive": True}),
        (MADONO, {"patch": 4}),
        (NP, {"patch": 4}),
        (FFX, {"patch": 4}),
        (ORTHOGONAL, {"patch": 4}),
    ],
)
def test_batches_stored_last_axis_first_give_the_same_ciphertext(
    cipher: Cipher, options: dict[str, Any]
) -> None:
    images = pictures(count=5)
    last = np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    keyed = prepare(cipher, **options)
    assert (keyed.encrypt(last) == keyed.encrypt(images)).all()
    assert (keyed.decrypt(keyed.encrypt(last)) == images).all()
    assert (keyed.encrypt(images[::2]) == keyed.encrypt(images)[::2]).all()
    if cipher is not ORTHOGONAL:
        assert keyed.encrypt(last).transpose(1, 2, 3, 0).flags.c_contiguous


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


def nibbles_of(block: UInt8Array) -> UInt8Array:
    """All low halves of a block, then all high ones, as Tanaka flattens it."""
    return np.concatenate([block.ravel() & 15, block.ravel() >> 4])


@pytest.mark.parametrize(
    ("cipher", "options", "keys"),
    [
        (TANAKA, {}, 1),
        (TANAKA, {"mask_from_order": True}, 1),
        (MADONO, {}, 6),
        (AL_AMIN, {"nibble_split": True, "negative_positive": True}, 1),
        (AL_AMIN, {"nibble_split": True, "shared_pixel_key": False}, 6),
    ],
)
def test_nibble_ciphers_invert_and_permute_4_bit_halves(
    cipher: Cipher, options: dict[str, Any], keys: int
) -> None:
    image = pictures(count=1)[0]
    keyed = prepare(cipher, patch=4, **options)
    key = keyed.affine_embedding(4)
    assert key.nibbles and key.embeddings == keys
    plain, scrambled = blocks_of(image, 4), blocks_of(keyed.encrypt(image[None])[0], 4)
    for target, source in enumerate(key.block_order):
        row = 0 if keys == 1 else target
        moved = nibbles_of(plain[source])[key.value_order[row]]
        expected = np.where(key.negated[row], 15 - moved, moved)
        assert (nibbles_of(scrambled[target]) == expected).all()


def test_blocks_of_tanaka_stay_and_those_of_madono_move() -> None:
    assert list(prepare(TANAKA, patch=4).affine_embedding(4).block_order) == list(range(6))
    shape = ImageShape(32, 32, 3)
    order = prepare(MADONO, shape, patch=4).affine_embedding(4).block_order
    assert sorted(order) == list(range(64)) != list(order)


def reference_scramble(image: UInt8Array, side: int, key: list[int]) -> UInt8Array:
    """Tanaka's reference code, half by half: invert at marked places, move, invert there again."""
    result = np.empty_like(image)
    marked = [entry > len(key) / 2 for entry in key]
    for top in range(0, image.shape[0], side):
        for left in range(0, image.shape[1], side):
            block = image[top : top + side, left : left + side]
            halves = [int(half) for half in nibbles_of(block)]
            first = [15 - half if mark else half for half, mark in zip(halves, marked, strict=True)]
            moved = [first[source] for source in key]
            last = [15 - half if mark else half for half, mark in zip(moved, marked, strict=True)]
            low, high = last[: block.size], last[block.size :]
            values = [16 * h + lo for h, lo in zip(high, low, strict=True)]
            area = np.array(values, np.uint8).reshape(block.shape)
            result[top : top + side, left : left + side] = area
    return result


@pytest.mark.parametrize("shape", [SMALL, ImageShape(8, 8, 1)], ids=["colour", "grey"])
def test_the_mask_from_the_order_is_the_reference_codes_value_for_value(shape: ImageShape) -> None:
    keyed = prepare(TANAKA, shape, patch=4, mask_from_order=True)
    order = [int(source) for source in keyed.affine_embedding(4).value_order[0]]
    images = pictures(shape)
    expected = np.stack([reference_scramble(image, 4, order) for image in images])
    assert (keyed.encrypt(images) == expected).all()
    assert (keyed.decrypt(expected) == images).all()
    drawn = prepare(TANAKA, shape, patch=4).affine_embedding(4)
    twice = (drawn.value_order > 16 * shape.channels)[0]
    assert (drawn.negated[0] != twice ^ twice[drawn.value_order[0]]).any()


def test_pixel_np_leaves_pixels_in_place_and_uses_all_colour_orders() -> None:
    shape = ImageShape(32, 32, 3)
    image = pictures(shape, count=1)[0]
    image[..., 0], image[..., 1], image[..., 2] = 10, 20, 30
    scrambled = prepare(PIXEL_NP, shape).encrypt(image[None])[0].astype(int)
    folded = np.minimum(scrambled, 255 - scrambled)
    assert (np.sort(folded, axis=-1) == [10, 20, 30]).all()
    orders, counts = np.unique(folded.reshape(-1, 3), axis=0, return_counts=True)
    assert len(orders) == 6 and counts.min() > 1024 / 6 * 0.7
    assert 0.45 < (scrambled > 127).mean() < 0.55


def test_etc_turns_mirrors_negates_and_recolours_whole_blocks() -> None:
    shape = ImageShape(64, 64, 3)
    image = pictures(shape, count=1)[0]
    scrambled = prepare(ETC, shape, patch=8).encrypt(image[None])[0]
    known = {
        face.tobytes()
        for block in blocks_of(image, 8)
        for sign in (block, 255 - block)
        for colours in itertools.permutations(range(3))
        for turned in (np.rot90(sign[..., colours], turns) for turns in range(4))
        for face in (turned, turned.transpose(1, 0, 2))
    }
    assert len(known) == 64 * 96
    assert all(block.tobytes() in known for block in blocks_of(scrambled, 8))
    grey = ImageShape(64, 64, 1)
    assert ETC.nominal_bits(cipher_parameters(ETC, {"patch": 8}), grey) == pytest.approx(
        296 + 64 * 4, abs=1
    )


def test_a_square_has_eight_symmetries() -> None:
    assert len(np.unique(symmetries(3), axis=0)) == 8
    assert (np.sort(symmetries(3), axis=1) == np.arange(9)).all()


def test_shf_permutes_and_np_negates_the_same_places_of_all_blocks() -> None:
    shuffled = prepare(SHF, patch=4).affine_embedding(4)
    assert list(shuffled.block_order) == list(range(6)) and not shuffled.negated.any()
    assert sorted(shuffled.value_order[0]) == list(range(48)) != list(shuffled.value_order[0])
    negated = prepare(NP, patch=4).affine_embedding(4)
    assert (negated.value_order == np.arange(48)).all() and negated.negated.sum() == 24


def test_ffx_encrypts_half_of_the_values_by_one_table() -> None:
    image = pictures(count=1)[0]
    blocks = blocks_of(prepare(FFX, patch=4).encrypt(image[None])[0], 4)
    pairs = list(zip(blocks_of(image, 4), blocks, strict=True))
    changed = np.any([plain.ravel() != block.ravel() for plain, block in pairs], axis=0)
    assert changed.sum() == 24
    table: dict[int, int] = {}
    for plain, block in pairs:
        for value, image_of_it in zip(plain.ravel()[changed], block.ravel()[changed], strict=True):
            assert table.setdefault(int(value), int(image_of_it)) == image_of_it
    assert len(set(table.values())) == len(table) > 50


def test_ff1_table_is_a_permutation_that_follows_its_key() -> None:
    tables = [ff1_table(ClientKey.from_seed(seed)) for seed in range(4)]
    assert all(sorted(table) == list(range(256)) for table in tables)
    assert len({table.tobytes() for table in tables}) == 4


def test_images_smaller_than_a_block_are_refused_and_padding_makes_them_fit() -> None:
    with pytest.raises(UsageError, match=r"a 12 x 8 image is smaller than a block of 16 pixels"):
        prepare(VIT_BLOCK, patch=16)
    images = pictures(ImageShape(13, 30, 1))
    whole = pad(images, 16)
    shape = ImageShape(*whole.shape[1:])
    assert shape == padded_shape(ImageShape(13, 30, 1), 16) == (16, 32, 1)
    keyed = prepare(VIT_BLOCK, shape, patch=16)
    opened = crop(keyed.decrypt(keyed.encrypt(whole)), ImageShape(13, 30, 1))
    assert (opened == images).all()
    assert (pad(whole, 16) == whole).all()


def test_ciphers_that_no_model_can_absorb_say_why() -> None:
    for cipher, reason in (
        (NOISE, "does not depend on the image"),
        (FFX, "not affine"),
        (AES_CTR, "keystream is another one for every image"),
    ):
        assert reason in cipher.obstacle(cipher.parameters())
        options = {"patch": 4} if cipher is FFX else {}
        with pytest.raises(UsageError, match=reason):
            prepare(cipher, **options).affine_embedding(4)


def test_a_model_whose_patches_do_not_hold_the_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match=r"moves values between the model's patches of 2 pixels"):
        prepare(VIT_BLOCK, patch=4).affine_embedding(2)
    with pytest.raises(UsageError, match="rotates patches of 4 pixels, the model's have 2"):
        prepare(ORTHOGONAL, patch=4).affine_embedding(2)
    with pytest.raises(UsageError, match="between the model's patches of 8 pixels"):
        prepare(ETC, ImageShape(32, 32, 3), patch=4).affine_embedding(8)


def test_blocks_that_stay_fit_a_model_of_larger_patches() -> None:
    key = prepare(SHF, ImageShape(32, 32, 3), patch=4).affine_embedding(8)
    assert key.embeddings == 1 and key.values == 192


def test_permuted_blocks_follow_the_order_they_are_given() -> None:
    image = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)
    keyed = permuted_blocks(
        ImageShape(2, 4, 1),
        2,
        np.array([1, 0]),
        np.array([[3, 0, 1, 2]]),
        np.array([[True, False, False, False]]),
    )
    # Blocks of the image are 0 1 4 5 and 2 3 6 7.
    expected = np.array([[255 - 7, 2, 255 - 5, 0], [3, 6, 1, 4]], np.uint8)
    assert (keyed.encrypt(image)[0, :, :, 0] == expected).all()

"""The perceptual hash: what it finds, and what it does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.opened.looks import (
    BITS,
    NEAR_BITS,
    bits_of,
    frequencies_of,
    nearest_looks,
    turned,
)
from he_compare.common.types import UInt8Array


def picture(seed: int, side: int = 128) -> UInt8Array:
    """Return a smooth picture: uint8 (side, side, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def apart(one: UInt8Array, other: UInt8Array, *, turns: bool = True) -> int:
    looks = [frequencies_of(image)[None] for image in (one, other)]
    return int(nearest_looks(looks[0], looks[1], turns=turns)[1][0])


def jpeg(image: UInt8Array, quality: int) -> UInt8Array:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def resized(image: UInt8Array, side: int) -> UInt8Array:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    "edited",
    [
        lambda image: jpeg(image, 50),
        lambda image: resized(image, 96),
        lambda image: resized(image, 200),
        lambda image: np.clip(image * 0.8, 0, 255).astype(np.uint8),
        lambda image: image[2:-2, 1:-1],
        lambda image: image[:, ::-1],
        lambda image: image[::-1],
        lambda image: np.rot90(image),
        lambda image: np.rot90(image, 3)[::-1],
    ],
)
def test_what_a_copy_may_go_through_leaves_it_near(edited) -> None:  # type: ignore[no-untyped-def]
    for seed in range(5):
        assert apart(picture(seed), np.ascontiguousarray(edited(picture(seed)))) <= NEAR_BITS


def test_other_pictures_a_large_crop_and_a_slant_are_not_near() -> None:
    assert min(apart(picture(1), picture(seed)) for seed in range(2, 30)) > NEAR_BITS
    assert apart(picture(1), picture(1)[12:-12, 12:-12]) > NEAR_BITS
    slanted = np.asarray(Image.fromarray(picture(1)).rotate(10))
    assert apart(picture(1), slanted) > NEAR_BITS


def test_mirrors_are_found_only_where_turns_are_compared() -> None:
    assert apart(picture(1), picture(1)[:, ::-1]) == 0
    assert apart(picture(1), picture(1)[:, ::-1], turns=False) > NEAR_BITS


def test_turning_the_frequencies_is_turning_the_image() -> None:
    image = picture(3, side=64)
    made = [bits_of(frequencies) for frequencies in turned(frequencies_of(image)[None])]
    images = [
        turn
        for upright in (image, image.transpose(1, 0, 2))
        for rows in (upright, upright[::-1])
        for turn in (rows, rows[:, ::-1])
    ]
    for hashed, turn in zip(made, images, strict=True):
        expected = bits_of(frequencies_of(np.ascontiguousarray(turn))[None])
        assert (hashed != expected).sum() <= 2  # a coefficient at the median may fall either way


def test_a_flat_image_is_near_no_other() -> None:
    flat = np.full((32, 32, 3), 90, dtype=np.uint8)
    assert apart(flat, flat) == BITS
    assert apart(flat, picture(1)) == BITS and apart(picture(1), flat) == BITS


def test_the_nearest_is_found_among_many() -> None:
    looks = np.stack([frequencies_of(picture(seed)) for seed in range(40)])
    edited = np.stack([frequencies_of(jpeg(picture(seed), 60)) for seed in range(40)])
    position, distance = nearest_looks(edited, looks)
    assert position.tolist() == list(range(40)) and distance.max() <= NEAR_BITS

"""Ciphers that move blocks of single channels, and those that leave most of a block in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.block_solving.correlation import moved_share
from he_compare.common.block_solving.reconstruct import Sureness, reconstruct
from he_compare.common.block_solving.tiles import cut, join, symmetric
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.channel_blocks import merge_channels
from he_compare.comparisons.auditing.targets import cipher_target
from tests.support.oneattack import detail, outcome
from tests.support.smoothimages import scrambled, smooth_images

SIDE, PATCH = 64, 8


def test_blocks_of_single_channels_are_put_together_again(tmp_path: Path) -> None:
    found = outcome(tmp_path, "jigsaw", "etc_gray", SIDE)
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.95
    assert detail(found, "blocks in place (Dc)") > 0.9
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.1
    assert found.controls["identity"] > 0.99


def test_channels_that_moved_apart_are_known_by_their_behaviour() -> None:
    apart = cipher_target("etc_gray", SIDE).facts
    assert apart.keeps_channel_blocks and not apart.keeps_blocks
    alone = cipher_target("etc_gray[key_policy=per_image]", SIDE).facts
    assert alone.keeps_channel_blocks and alone.key_per_image
    together = cipher_target("etc[patch=8]", SIDE).facts
    assert together.keeps_channel_blocks and together.keeps_blocks
    assert not cipher_target("vit_block[patch=8]", SIDE).facts.keeps_channel_blocks
    assert not cipher_target("orthogonal[patch=8]", SIDE).facts.keeps_channel_blocks


@pytest.mark.parametrize("tinted", [False, True])
def test_channels_of_grey_and_of_colour_pictures_find_each_other(tinted: bool) -> None:
    images = _colour(6) if tinted else np.repeat(smooth_images(6, SIDE), 3, axis=3)
    merged = merge_channels(_channels_apart(images, seed=1), PATCH)
    assert merged is not None
    found = reconstruct(merged.images, PATCH)
    assert found.sureness is Sureness.SURE
    assert ssim(aligned_together(found.pictures, images)[..., None], images).mean() > 0.95


def test_one_image_is_enough_to_put_its_channels_together() -> None:
    images = np.repeat(smooth_images(1, SIDE), 3, axis=3)
    merged = merge_channels(_channels_apart(images, seed=2), PATCH)
    assert merged is not None
    held = np.sort(np.minimum(merged.images, 255 - merged.images), axis=None)
    assert np.array_equal(held, np.sort(np.minimum(images, 255 - images)[..., 0], axis=None))


@pytest.mark.parametrize("tinted", [False, True])
def test_channels_that_never_moved_stay_where_they_are(tinted: bool) -> None:
    images = _colour(6) if tinted else np.repeat(smooth_images(1, SIDE), 3, axis=3)
    images[:, : 2 * PATCH] = 0
    merged = merge_channels(images, PATCH)
    assert merged is not None
    assert np.abs(merged.images[..., 0] - images.mean(axis=3)).max() <= (0.5 if tinted else 0)
    assert np.array_equal(merged.source, np.arange(64))


def test_noise_is_not_put_together() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    merged = merge_channels(noise, PATCH)
    assert merged is not None
    assert sorted(merged.source % 64) != list(range(64))
    assert reconstruct(merged.images, PATCH).sureness is Sureness.NOTHING


@pytest.mark.parametrize("fraction", [0.1, 0.25])
def test_a_few_moved_values_are_found_among_those_that_stay(
    tmp_path: Path, fraction: float
) -> None:
    found = outcome(tmp_path, "jigsaw", f"restricted[patch=8,fraction={fraction}]", SIDE)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.97
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.1


def test_values_in_order_do_not_look_moved() -> None:
    images = np.repeat(smooth_images(3, SIDE), 3, axis=3)
    blocks = cut(images, PATCH).reshape(-1, PATCH * PATCH * 3)
    assert moved_share(blocks, PATCH) == 0
    hidden = cut(scrambled(images, PATCH, seed=4, negate=False).images, PATCH)
    assert moved_share(hidden.reshape(blocks.shape), PATCH) > 0.5


def _colour(count: int) -> UInt8Array:
    """Pictures whose channels share their texture, at levels and contrasts of their own."""
    grey = smooth_images(count, SIDE).astype(np.float64)
    grain = np.random.default_rng(5).normal(scale=3, size=(*grey.shape[:3], 3))
    return np.clip(grey * [0.6, 0.9, 0.4] + [90, 20, 60] + grain, 0, 255).astype(np.uint8)


def _channels_apart(images: UInt8Array, seed: int) -> UInt8Array:
    """Shuffle the blocks of all channels together; turn, mirror and negate each by itself."""
    random = np.random.default_rng(seed)
    rows = SIDE // PATCH
    planes = [cut(images[..., [channel]], PATCH) for channel in range(3)]
    blocks = np.concatenate(planes, axis=1).reshape(len(images), -1, PATCH, PATCH)
    blocks = blocks[:, random.permutation(blocks.shape[1])]
    for number in range(blocks.shape[1]):
        turned = symmetric(blocks[:, number], int(random.integers(8)))
        blocks[:, number] = 255 - turned if random.integers(2) else turned
    parts = np.split(blocks.reshape(len(images), blocks.shape[1], -1), 3, axis=1)
    return np.concatenate([join(part, rows, rows, 1) for part in parts], axis=3)

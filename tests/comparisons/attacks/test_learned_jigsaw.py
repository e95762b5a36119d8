"""The learned jigsaw on single images of one scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from he_compare.common.block_solving.reconstruct import reconstruct
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.learned_jigsaw import ATTACK, _ordered
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.ordering import learn_ordering
from tests.support.oneattack import outcome
from tests.support.smoothimages import smooth_images

SIDE, PATCH = 32, 8


def _scenes(count: int, seed: int) -> UInt8Array:
    """Pictures of one scene, each with changes of its own: uint8 (count, SIDE, SIDE, 1)."""
    scene = smooth_images(1, SIDE, seed=9).astype(np.float32)
    own = smooth_images(count, SIDE, seed=seed).astype(np.float32)
    return np.rint(0.8 * scene + 0.2 * own).astype(np.uint8)


def _moved(images: UInt8Array) -> UInt8Array:
    blocks = cut(images, PATCH)
    order = np.random.default_rng(1).permutation(blocks.shape[1])
    return join(blocks[:, order], SIDE // PATCH, SIDE // PATCH, 1)


def test_the_network_learns_where_blocks_belong() -> None:
    random = np.random.default_rng(0)
    ordering = learn_ordering(
        _scenes(60, 1), PATCH, turned=False, seconds=60.0, random=random, steps=60
    )
    assert ordering.steps == 60
    assert ordering.right > 0.5  # 1 / 16 by chance
    image = _scenes(1, 2)
    moved = _moved(image)
    both, network = _ordered(moved, reconstruct(moved, PATCH), ordering, turned=False)
    assert ssim(aligned_together(both, image), image[..., 0]).mean() > 0.95
    assert network.shape == both.shape


def test_a_network_learns_nothing_from_noise() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, SIDE, SIDE, 1), dtype=np.uint8)
    ordering = learn_ordering(noise, PATCH, turned=True, seconds=60.0, random=random, steps=10)
    assert ordering.right < 0.3


def test_a_small_budget_does_not_run_it(tmp_path: Path) -> None:
    found = outcome(tmp_path, ATTACK.name, "vit_block[patch=8,key_policy=per_image]", SIDE)
    assert found.verdict == "not run"

"""What nibble histories get from ciphers that move 4-bit halves, and where they do not apply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.similarity import ssim
from he_compare.comparisons.attacks.nibble_histories import read_halves
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.auditing.targets import cipher_target
from tests.support.oneattack import detail, outcome
from tests.support.smoothimages import smooth_images

SIZE = 64


@pytest.mark.parametrize(
    "cipher",
    [
        "tanaka_le",
        "tanaka_le[key_policy=per_image]",
        "al_amin[patch=8,nibble_split=true,negative_positive=true]",
    ],
)
def test_pictures_are_read_from_halves_that_move_alike(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "nibble_histories", cipher, SIZE)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.95
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.1
    assert detail(found, "correlation that placed the low halves") > 0.3


@pytest.mark.parametrize(
    ("cipher", "reason", "verdict"),
    [
        ("madono_ele", "a key of its own", "not applicable"),
        ("vit_block[patch=8]", "do not move in 4-bit halves", "not applicable"),
        ("orthogonal[patch=8]", "mixed", "unreadable"),
        ("pixel_np", "no blocks", "not applicable"),
    ],
)
def test_where_no_halves_move_alike_the_reason_is_said(
    tmp_path: Path, cipher: str, reason: str, verdict: str
) -> None:
    found = outcome(tmp_path, "nibble_histories", cipher, SIZE)
    assert found.verdict == verdict and reason in found.reason


def _colours(count: int, seed: int) -> np.ndarray:
    """Pictures whose three channels differ as those of stained tissue do."""
    shared = smooth_images(count, SIZE, seed).astype(np.float64)
    own = [smooth_images(count, SIZE, seed + 1 + i).astype(np.float64) for i in range(3)]
    mixed = [(0.7 - 0.15 * i) * shared + 0.3 * own[i] + 25 * i for i in range(3)]
    return np.clip(np.concatenate(mixed, axis=3), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["one channel", "colours", "rounded copies"])
def test_the_order_is_exact_whatever_the_channels_hold(kind: str) -> None:
    random = np.random.default_rng(5)
    plain = _colours(8, 3) if kind == "colours" else np.repeat(smooth_images(8, SIZE), 3, axis=3)
    if kind == "rounded copies":
        grain = random.integers(-1, 2, plain.shape) * (random.random(plain.shape) < 0.05)
        plain = np.clip(plain + grain, 0, 255).astype(np.uint8)
    if kind == "one channel":
        plain = plain[..., :1]
    ciphertexts = _halves_moved(plain, 4, random)
    pictures, _order = read_halves(ciphertexts, 4, moved=False)
    found = aligned_together(pictures, plain)[..., None]
    assert ssim(found, plain).mean() > 0.98
    assert ssim(ciphertexts, plain).mean() < 0.5


def _halves_moved(plain: np.ndarray, patch: int, random: np.random.Generator) -> np.ndarray:
    """Move and invert halves inside all blocks alike; written apart from the ciphers."""
    count, height, width, channels = plain.shape
    grid = plain.reshape(count, height // patch, patch, width // patch, patch, channels)
    blocks = grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, patch * patch * channels)
    halves = np.concatenate([blocks // 16, blocks % 16], axis=1)
    halves = halves[:, random.permutation(halves.shape[1])]
    halves = np.where(random.random(halves.shape[1]) < 0.5, halves, 15 - halves)
    first, second = np.split(halves, 2, axis=1)
    merged = (
        (first * 16 + second)
        .astype(np.uint8)
        .reshape(count, height // patch, width // patch, patch, patch, channels)
    )
    return merged.transpose(0, 1, 3, 2, 4, 5).reshape(plain.shape)


def test_uniform_bytes_show_nothing(tmp_path: Path) -> None:
    found = outcome(tmp_path, "nibble_histories", "tanaka_le", SIZE)
    assert abs(found.controls["noise"]) < 0.1
    assert cipher_target("tanaka_le", SIZE).facts.keeps_nibbles

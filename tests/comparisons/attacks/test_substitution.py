"""What substitution gets from tables of values, and where there is no table to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.similarity import ssim
from he_compare.comparisons.attacks.tools.value_tables import find_tables, roughness, seriated
from he_compare.comparisons.auditing.targets import cipher_target
from tests.support.oneattack import detail, outcome
from tests.support.smoothimages import smooth_images

SIZE = 64


@pytest.mark.parametrize("cipher", ["ffx", "ffx[patch=16]", "ffx[key_policy=per_image]"])
def test_a_table_over_half_of_the_values_is_found(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "substitution", cipher, SIZE)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.95
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.1
    assert detail(found, "clear positions told from replaced ones") > 0.97
    assert detail(found, "table entries right, of those used") > 0.9


@pytest.mark.parametrize(
    ("cipher", "reason", "verdict"),
    [
        ("np", "kept or negated", "not applicable"),
        ("shf", "kept or negated", "not applicable"),
        ("tanaka_le", "no table of values", "not applicable"),
        ("orthogonal[patch=8]", "mixed", "unreadable"),
    ],
)
def test_where_nothing_is_replaced_the_reason_is_said(
    tmp_path: Path, cipher: str, reason: str, verdict: str
) -> None:
    found = outcome(tmp_path, "substitution", cipher, SIZE)
    assert found.verdict == verdict and reason in found.reason


@pytest.mark.parametrize(
    ("cipher", "in_place"),
    [
        ("ffx", True),
        ("ffx[key_policy=per_image]", True),
        ("np", True),
        ("shf", False),
        ("tanaka_le", False),
        ("noise", False),
        ("aes_ctr", False),
    ],
)
def test_tables_in_place_are_known_by_their_behaviour(cipher: str, in_place: bool) -> None:
    assert cipher_target(cipher, 32).facts.tables_in_place is in_place


@pytest.mark.parametrize("channels", [1, 3])
def test_one_table_over_all_values_leaves_the_order_of_levels(channels: int) -> None:
    plain = np.repeat(smooth_images(4, SIZE), channels, axis=3)
    table = np.random.default_rng(1).permutation(256).astype(np.uint8)
    tables = find_tables(table[plain], 4)
    found = tables.undo(table[plain], 4)
    best = max(ssim(found, plain).mean(), ssim((255 - found).astype(np.uint8), plain).mean())
    assert best > 0.9 and not tables.clear and not tables.second.any()
    assert ssim(table[plain], plain).mean() < 0.3


def test_one_channel_has_no_copies_and_is_read_all_the_same() -> None:
    plain = smooth_images(6, SIZE)
    random = np.random.default_rng(2)
    table, half = random.permutation(256).astype(np.uint8), random.random((4, 4, 1)) < 0.5
    mask = np.tile(half, (SIZE // 4, SIZE // 4, 1))
    seen = np.where(mask, table[plain], plain)
    tables = find_tables(seen, 4)
    assert np.array_equal(tables.second, half.ravel())
    assert ssim(tables.undo(seen, 4), plain).mean() > 0.9


def test_noise_is_as_rough_as_values_drawn_alike() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    everywhere = np.ones((SIZE, SIZE, 3), bool)
    assert roughness(noise, everywhere) == pytest.approx(1, abs=0.05)
    assert roughness(smooth_images(4, SIZE).repeat(3, axis=3), everywhere) < 0.5
    assert roughness(noise, everywhere & False) == 1.0


def test_a_flat_picture_is_ordered_without_a_crash() -> None:
    flat = np.full((1, 8, 8, 3), 7, np.uint8)
    assert seriated(flat, np.ones((8, 8, 3), bool)).dtype == np.uint8
    assert np.array_equal(find_tables(flat, 4).undo(flat, 4), flat)

"""What the ciphertext-only solvers and the learned inversion get, under the harness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.attack_requirements import ONE_KEY, ONE_VALUE
from he_compare.common.block_solving.tiles import symmetric
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from tests.support.oneattack import detail, outcome
from tests.support.smoothimages import smooth_images

SIZE = 64


@pytest.mark.parametrize("attack", ["shared_key_correlation", "jigsaw"])
def test_one_key_for_all_blocks_is_broken_by_ciphertexts_alone(tmp_path: Path, attack: str) -> None:
    found = outcome(tmp_path, attack, "vit_block[patch=8,negative_positive=true]", SIZE)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 0.99
    assert found.advantage is not None and found.advantage > 0.95
    assert max(found.controls["noise"], found.controls["aes_ctr"]) < 0.1
    assert found.controls["identity"] > 0.99


def test_the_correlation_finds_the_mask_and_the_jigsaw_the_places(tmp_path: Path) -> None:
    cipher = "vit_block[patch=8,negative_positive=true]"
    inside = outcome(tmp_path / "a", "shared_key_correlation", cipher, SIZE)
    assert detail(inside, "negation mask right") == 1.0
    whole = outcome(tmp_path / "b", "jigsaw", cipher, SIZE)
    assert detail(whole, "blocks in place (Dc)") > 0.95
    assert detail(whole, "right neighbours (Nc)") > 0.95


@pytest.mark.parametrize(
    ("cipher", "reason"),
    [
        ("al_amin[patch=8,shared_pixel_key=false]", "in a way of its own"),
        ("tanaka_le", "not kept whole"),
        ("ffx", "not kept whole"),
    ],
)
def test_what_the_jigsaw_solver_cannot_read_is_no_pass(
    tmp_path: Path, cipher: str, reason: str
) -> None:
    found = outcome(tmp_path, "jigsaw", cipher, SIZE)
    assert found.verdict == "unreadable" and reason in found.reason


def test_a_key_for_each_image_is_tried_image_by_image(tmp_path: Path) -> None:
    cipher = "vit_block[patch=8,key_policy=per_image]"
    skipped = outcome(tmp_path / "a", "shared_key_correlation", cipher, SIZE)
    assert skipped.verdict == "unreadable" and skipped.reason == ONE_KEY.obstacle
    tried = outcome(tmp_path / "b", "jigsaw", cipher, SIZE)
    assert tried.verdict != "not applicable"


@pytest.mark.parametrize(
    ("cipher", "verdict", "reason"),
    [
        (
            "al_amin[patch=8,shared_pixel_key=false]",
            "not applicable",
            "every block has a key of its own",
        ),
        ("tanaka_le", "unreadable", "4-bit halves"),
        ("orthogonal[patch=8]", "not applicable", ONE_VALUE.obstacle),
        ("pixel_np", "not applicable", "no blocks"),
    ],
)
def test_correlation_says_whether_nothing_is_there_or_nothing_is_known(
    tmp_path: Path, cipher: str, verdict: str, reason: str
) -> None:
    found = outcome(tmp_path, "shared_key_correlation", cipher, SIZE)
    assert (found.verdict, reason in found.reason) == (verdict, True)


def test_block_statistics_name_neighbours_under_a_key_for_each_block(tmp_path: Path) -> None:
    found = outcome(tmp_path, "block_statistics", "al_amin[patch=8,shared_pixel_key=false]", SIZE)
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 2 * found.controls["noise"]
    assert found.metric.value > 2 * detail(found, "chance")
    assert outcome(tmp_path, "block_statistics", "shf", SIZE).verdict == "not applicable"


def test_block_statistics_name_neighbours_within_one_image(tmp_path: Path) -> None:
    found = outcome(tmp_path, "block_statistics", "vit_block[patch=8,key_policy=per_image]", SIZE)
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > 1.5 * detail(found, "chance")
    assert found.controls["noise"] < 1.5 * detail(found, "chance")


@pytest.mark.parametrize("cipher", ["vit_block[patch=8]", "orthogonal[patch=8]"])
def test_a_linear_map_learnt_from_pairs_inverts_linear_ciphers(tmp_path: Path, cipher: str) -> None:
    found = outcome(tmp_path, "learned_linear", cipher, SIZE)
    assert found.verdict == "broken", found.reason
    assert found.metric is not None and found.metric.value is not None
    assert found.metric.value > detail(found, "SSIM learnt under another key") + 0.5


@pytest.mark.parametrize("symmetry", range(8))
def test_pictures_are_turned_back_beside_their_originals(symmetry: int) -> None:
    images = smooth_images(2, 24)
    turned = 255 - symmetric(images[..., 0], symmetry)
    assert np.array_equal(aligned_together(turned, images), images[..., 0])
    each = np.stack([symmetric(turned[:1], symmetry)[0], turned[1]])
    assert np.array_equal(aligned_one_by_one(each, images), images[..., 0])

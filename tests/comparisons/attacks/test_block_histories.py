"""Ciphers with a map for every block, read from many ciphertexts and synthetic public pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from he_compare.common.attack import AttackFailedError
from he_compare.common.attack_requirements import KEPT_BLOCKS, ONE_KEY
from he_compare.common.block_solving.tiles import as_bytes
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.scheme import encrypted, seen
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.block_histories import ATTACK, named
from he_compare.comparisons.attacks.tools.block_recovery import (
    OWN_MAPS,
    Recovered,
    blocks_of_target,
    recover,
)
from he_compare.comparisons.attacks.tools.likeness import ranked_by_picture
from he_compare.comparisons.auditing.targets import cipher_target

SIZE, ATTACKED, PUBLIC = 64, 80, 150
OWN_MAP_CIPHERS = ("madono_ele", "al_amin[shared_pixel_key=false,patch=8]", "etc[patch=8]")


@pytest.fixture(scope="module")
def originals() -> UInt8Array:
    return sample(ATTACKED, 1, SIZE).images


@pytest.fixture(scope="module")
def public() -> UInt8Array:
    return sample(PUBLIC, 2, SIZE).images


def _attacked(cipher: str, images: UInt8Array, public: UInt8Array) -> Recovered:
    target = cipher_target(cipher, SIZE)
    assert target.facts is not None and ATTACK.applies(target.facts) == ""
    key = target.scheme.new_key(5)
    ciphertexts = as_bytes(seen(target.scheme, encrypted(key, images)))
    return recover(ciphertexts, public, blocks_of_target(target.facts))


@pytest.mark.parametrize("cipher", OWN_MAP_CIPHERS)
def test_a_map_for_every_block_gives_pictures(
    cipher: str, originals: UInt8Array, public: UInt8Array
) -> None:
    found = _attacked(cipher, originals, public)
    still = np.broadcast_to(found.doing_nothing, originals.shape)
    reached = float(ssim(found.pictures, originals).mean())
    assert reached > 0.6
    assert reached > float(ssim(still, originals).mean()) + 0.1
    assert named(found.pictures, originals) > 0.95


def test_uniform_bytes_give_nothing(originals: UInt8Array, public: UInt8Array) -> None:
    noise = np.random.default_rng(0).integers(0, 256, originals.shape, dtype=np.uint8)
    with pytest.raises(AttackFailedError, match="does not rise and fall together"):
        _attacked("madono_ele", noise, public)


def test_the_wrong_kind_of_public_picture_places_few_blocks(originals: UInt8Array) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (PUBLIC, SIZE, SIZE, 3), dtype=np.uint8)
    found = _attacked("madono_ele", originals, noise)
    assert float(ssim(found.pictures, originals).mean()) < 0.3


def test_too_few_ciphertexts_are_said_to_be_too_few(
    originals: UInt8Array, public: UInt8Array
) -> None:
    with pytest.raises(AttackFailedError, match="fewer than"):
        _attacked("madono_ele", originals[:5], public)


def test_it_applies_where_every_block_has_a_map_of_its_own() -> None:
    own, shared = (cipher_target(one, SIZE).facts for one in ("madono_ele", "vit_block[patch=8]"))
    assert own is not None and shared is not None
    assert ATTACK.applies(own) == ""
    assert ATTACK.applies(shared) == OWN_MAPS.obstacle
    assert ATTACK.applies(replace(own, one_key=False)) == ONE_KEY.obstacle
    assert ATTACK.applies(replace(own, keeps_blocks=False)) == KEPT_BLOCKS.obstacle


def test_pictures_rank_their_originals_first() -> None:
    random = np.random.default_rng(2)
    candidates = random.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    blurred = (candidates[[4, 7, 0]] // 2 + 40).astype(np.uint8)
    assert ranked_by_picture(blurred, candidates)[:, 0].tolist() == [4, 7, 0]

"""What a guessed key says nothing of counts as wrong, whatever memory held before."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.adversary import Pairs
from he_compare.common.scheme import KeyMoves
from he_compare.comparisons.attacks.tools.recovered_key import decrypt, value_shares

SHAPE = (8, 8, 3)
VALUES = 8 * 8 * 3


@pytest.mark.parametrize("nibbles", [False, True])
@pytest.mark.parametrize("value", [0, 7, 127, 128, 136, 255])
def test_a_key_that_moves_all_to_one_place_decrypts_no_flat_picture(
    nibbles: bool, value: int
) -> None:
    units = VALUES * (2 if nibbles else 1)
    key = KeyMoves(np.zeros(units, np.intp), np.zeros(units, np.bool_), nibbles)
    plain = np.full((2, *SHAPE), value, np.uint8)
    assert (value_shares(key, Pairs(plain, plain), SHAPE) <= 1 / VALUES).all()


def test_a_key_that_moves_all_to_one_place_gives_the_same_picture_every_time() -> None:
    key = KeyMoves(np.zeros(VALUES, np.intp), np.zeros(VALUES, np.bool_))
    random = np.random.default_rng(0)
    ciphertexts = random.integers(0, 256, (4, *SHAPE), np.uint8)
    first = decrypt(key, ciphertexts, SHAPE)
    for _ in range(50):
        # Freed memory that holds something else: nothing of it may show.
        other = random.integers(0, 256, (4, *SHAPE), np.uint8)
        del other
        np.testing.assert_array_equal(decrypt(key, ciphertexts, SHAPE), first)


def test_a_whole_key_decrypts_everything() -> None:
    random = np.random.default_rng(1)
    key = KeyMoves(random.permutation(VALUES), random.random(VALUES) < 0.5)
    plain = random.integers(0, 256, (3, *SHAPE), np.uint8)
    flat = plain.reshape(3, VALUES)[:, key.index]
    scrambled = np.where(key.negated, 255 - flat, flat).reshape(3, *SHAPE)
    assert (value_shares(key, Pairs(plain, scrambled), SHAPE) == 1).all()

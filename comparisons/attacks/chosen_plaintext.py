"""Chosen plaintext: at most three images number every value; their ciphertexts reveal the key.

Where blocks share a key, one image of random values is enough: every block is another known text.
Otherwise each value gets a number that three images spell in base 256; its first digit stays below
half of the scale, so that a negated number is seen to be one. What is recovered is verified by
decrypting images that were never asked for.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack_score import Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.move_keys import (
    BYTE_TOP,
    NIBBLE_TOP,
    find_moves,
    images_of,
    unit_positions,
    uses_nibbles,
)
from he_compare.comparisons.attacks.tools.recovered_key import (
    KeyRecovery,
    RecoveredKey,
    fresh_pictures,
    key_details,
    value_shares,
)

MOST_QUERIES = 3


class ChosenPlaintext(KeyRecovery):
    """Recovers the whole key of a cipher that moves and negates values."""

    name = "chosen_plaintext"
    title = "Chosen plaintext"
    rung = Knowledge.CHOSEN_PLAINTEXTS
    aim = Aim.IMAGE
    needs = frozenset({Need.ORACLE})
    limits = (
        "verified on sealed images of the same key; where channels are equal, a key that exchanges "
        "them decrypts as well (the details count exact positions)",
    )

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> RecoveredKey:
        """Ask for up to three images and read the key off their ciphertexts."""
        facts = view.facts
        chosen = chosen_images(facts, random, min(MOST_QUERIES, budget.queries))
        answers = view.oracle(chosen)
        return RecoveredKey(find_moves(chosen, answers, facts), len(chosen), view.ciphertexts)

    def score(self, guess: RecoveredKey, truth: Truth) -> Score:
        """Decrypt sealed images with the recovered key."""
        shape = truth.facts.shape
        each = value_shares(guess.key, truth.fresh, shape)
        return Score(
            float(each.mean()),
            [Detail("queries", guess.queries, "images"), *key_details(guess.key, truth)],
            fresh_pictures(guess.key, truth, guess.ciphertexts),
            {"queries": guess.queries},
            images=truth.fresh_ids,
            each=each,
        )


def chosen_images(facts: Facts, random: np.random.Generator, most: int) -> UInt8Array:
    """Make the images to ask for, uint8 (q, h, w, c), as few as the structure allows."""
    nibbles = uses_nibbles(facts)
    if facts.shared_key:
        count = min(most, 3 if nibbles and facts.moves_blocks else 1)
        return random.integers(0, 256, (count, *facts.shape), dtype=np.uint8)
    if nibbles and facts.patch is not None:
        return _numbered_by_block(facts, random, most)
    return _numbered(facts, random, nibbles, most)


def _numbered(facts: Facts, random: np.random.Generator, nibbles: bool, most: int) -> UInt8Array:
    """Every unit of the image has a number of its own."""
    top = NIBBLE_TOP if nibbles else BYTE_TOP
    units = int(np.prod(facts.shape)) * (2 if nibbles else 1)
    digits = next((q for q in range(1, most) if _codes(top, q) >= units), most)
    codes = _codes(top, digits)
    if codes >= units:
        numbers = random.choice(codes, units, replace=False)
    else:
        numbers = np.arange(units) % codes
    return images_of(_spelled(numbers[None], top, digits)[:, 0], facts.shape, nibbles)


def _numbered_by_block(facts: Facts, random: np.random.Generator, most: int) -> UInt8Array:
    """Every half of a block has a number of its own, other numbers in every block."""
    places = unit_positions(facts.shape, facts.side, True)
    codes = _codes(NIBBLE_TOP, most)
    numbers = np.stack(
        [np.resize(random.permutation(codes), places.shape[1]) for _ in range(len(places))]
    )
    spelled = _spelled(numbers, NIBBLE_TOP, most)
    units = np.empty((most, places.size), np.uint8)
    units[:, places] = spelled
    return images_of(units, facts.shape, True)


def _codes(top: int, digits: int) -> int:
    """Count the numbers whose first digit is in the lower half of the scale."""
    return (top + 1) // 2 * (top + 1) ** (digits - 1)


def _spelled(numbers: np.ndarray, top: int, digits: int) -> UInt8Array:  # type: ignore[type-arg]
    """Spell numbers (..) in base top + 1: uint8 (digits, ..), the first digit in the lower half."""
    base = top + 1
    spelled = [numbers // base**power % base for power in range(digits - 1)]
    first = numbers // base ** (digits - 1)
    return cast(UInt8Array, np.stack([first, *reversed(spelled)]).astype(np.uint8))


ATTACK = ChosenPlaintext()

"""Known plaintext: images and their ciphertexts that leaked, intersected until the key is left.

A value went where its history over the known pairs went, as itself or as its negative; with one key
for all blocks every block of a pair counts. Pairs are added one by one until the recovered key
decrypts the pairs that were held back; how many it takes is the result that matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Pairs, Truth, View
from he_compare.common.attack_score import Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import Aim, Knowledge, PixelArray
from he_compare.comparisons.attacks.tools.move_keys import find_moves
from he_compare.comparisons.attacks.tools.recovered_key import (
    KeyRecovery,
    fresh_pictures,
    key_details,
    value_share,
    value_shares,
)

ENOUGH = 0.99


@dataclass(frozen=True)
class RecoveredKeys:
    """The key after each number of pairs; the last is the guess."""

    keys: dict[int, KeyMoves]
    ciphertexts: PixelArray

    @property
    def best(self) -> KeyMoves:
        """The key found with the most pairs."""
        return self.keys[max(self.keys)]


class KnownPlaintext(KeyRecovery):
    """Recovers the key of a cipher that moves and negates values from leaked pairs."""

    name = "known_plaintext"
    title = "Known plaintext"
    rung = Knowledge.KNOWN_PAIRS
    aim = Aim.IMAGE
    needs = frozenset({Need.PAIRS})
    limits = (
        "equal channels of grey images cannot be distinguished: the key found may be another one "
        "that decrypts such images alike (the details count exact positions)",
    )

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> RecoveredKeys:
        """Match histories over 1, 2, 4, ... pairs."""
        pairs, facts = view.pairs, view.facts
        keys = {}
        for count in _counts(len(pairs.plain)):
            keys[count] = find_moves(pairs.plain[:count], pairs.ciphertexts[:count], facts)
            if self._explains(keys[count], pairs, count, view):
                break
        return RecoveredKeys(keys, view.ciphertexts)

    @staticmethod
    def _explains(key: KeyMoves, pairs: Pairs, count: int, view: View) -> bool:
        """Say whether a key decrypts the pairs that it was not made from."""
        held_back = Pairs(pairs.plain[count:], pairs.ciphertexts[count:])
        return bool(len(held_back.plain)) and value_share(key, held_back, view.facts.shape) == 1.0

    def score(self, guess: RecoveredKeys, truth: Truth) -> Score:
        """Decrypt sealed images with the key of the most pairs; find the fewest that suffice."""
        shape = truth.facts.shape
        shares = {count: value_share(key, truth.fresh, shape) for count, key in guess.keys.items()}
        enough = [count for count, share in shares.items() if share >= ENOUGH]
        needed = Detail(
            "pairs needed for 99% of the values",
            min(enough) if enough else float("nan"),
            "pairs",
            "" if enough else f"not reached with {max(shares)}",
        )
        one = Detail("share with one pair", shares[1])
        return Score(
            shares[max(shares)],
            [needed, one, *key_details(guess.best, truth)],
            fresh_pictures(guess.best, truth, guess.ciphertexts),
            {"pairs": max(shares)},
            images=truth.fresh_ids,
            each=value_shares(guess.best, truth.fresh, shape),
        )


def _counts(most: int) -> list[int]:
    """1, 2, 4, ... and all of them."""
    counts = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*counts, most] if most else []


ATTACK = KnownPlaintext()

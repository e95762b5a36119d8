"""Model to key: comparing a model adapted to the key with the plain one reveals the key.

Row j of the adapted patch embedding is row p(j) of the plain one, with its sign where a value is
negated; position embeddings are exchanged like blocks. Matching rows is a nearest-neighbour search
of milliseconds. The server holds the adapted model by design; the plain one may be public. Target:
Qi et al., arXiv 2205.12041; Kiya et al., arXiv 2308.07612.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_score import AttackMetric, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.scheme import KeyMoves, Models
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, BoolArray, Float64Array, IntArray, Knowledge
from he_compare.comparisons.attacks.tools.move_keys import unit_positions
from he_compare.comparisons.attacks.tools.recovered_key import (
    RecoveredKey,
    fresh_pictures,
    key_details,
    value_shares,
)

# A byte is 16 high + low: rows of a plain embedding as an embedding of 4-bit halves has them.
LOW_SHARE, HIGH_SHARE = 1.0 / 17.0, 16.0 / 17.0


class ModelToKey(Attack):
    """Reads the key off the weights the server holds."""

    name = "model_to_key"
    title = "Model to key"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.KEY
    needs = frozenset({Need.MODELS})
    reads_pictures = False
    metric = AttackMetric("share of values of fresh images decrypted correctly", best=1.0)
    limits = (
        "the adversary has exactly the plain model that was adapted; with a similar model, such as "
        "the public weights it was fine-tuned from, rows match less reliably (not tried here)",
    )
    source = "construction of Qi et al., arXiv 2205.12041"

    def applies(self, facts: Facts) -> str:
        """Only where a plain model can be adapted to the key, and the key is a list of moves."""
        if facts.unadaptable:
            return facts.unadaptable
        if not facts.keeps_nibbles:
            return "the key is a matrix, which a narrow embedding does not determine"
        return ""

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> RecoveredKey:
        """Match rows of the two embeddings, then their positions."""
        facts, models = view.facts, view.models
        patch = facts.patch or facts.shape[0]
        places = unit_positions(facts.shape, patch, models.nibbles)
        plain = _plain_rows(models)
        if models.deployed_rows.shape[1] != len(plain):
            raise AttackFailedError("the deployed embedding has another number of rows")
        order, _ = nearest_rows(models.plain_positions, models.deployed_positions)
        index = np.empty(places.size, np.intp)
        negated = np.zeros(places.size, np.bool_)
        found = [nearest_rows(plain, rows.astype(np.float64)) for rows in models.deployed_rows]
        for block, place in enumerate(places):
            inside, flags = found[block % len(found)]
            index[place] = places[order[block]][inside]
            negated[place] = flags
        key = KeyMoves(index, negated, models.nibbles)
        return RecoveredKey(key, 0, view.ciphertexts)

    def score(self, guess: RecoveredKey, truth: Truth) -> Score:
        """Decrypt sealed images with the recovered key."""
        each = value_shares(guess.key, truth.fresh, truth.facts.shape)
        return Score(
            float(each.mean()),
            key_details(guess.key, truth),
            fresh_pictures(guess.key, truth, guess.ciphertexts),
            {"models": 2},
            images=truth.fresh_ids,
            each=each,
        )


def _plain_rows(models: Models) -> Float64Array:
    rows = models.plain_rows
    if not models.nibbles:
        return rows
    return np.concatenate([rows * LOW_SHARE, rows * HIGH_SHARE])


def nearest_rows(
    plain: npt.NDArray[np.float64], deployed: npt.NDArray[np.float64]
) -> tuple[IntArray, BoolArray]:
    """Return for each deployed row the plain row it is, up to sign, and whether it is negated.

    Rows (k, width) are compared by the magnitude of a projection, then by sign.
    """
    direction = np.random.default_rng(plain.shape[1]).normal(size=plain.shape[1])
    known, seen = plain @ direction, deployed @ direction
    by_size = np.argsort(np.abs(known))
    ordered = np.abs(known)[by_size]
    place = np.searchsorted(ordered, np.abs(seen)).clip(1, len(ordered) - 1)
    below = np.abs(seen) - ordered[place - 1] < ordered[place] - np.abs(seen)
    order = by_size[place - below]
    return cast(IntArray, order), known[order] * seen < 0


ATTACK = ModelToKey()

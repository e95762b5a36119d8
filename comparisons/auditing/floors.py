"""What is had without attacking: the floors of a verdict, beside the same attack on noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import AS_IT_IS
from he_compare.common.similarity import ssim
from he_compare.comparisons.attacks.tools.likeness import as_picture, likeness_of_mean

NOISE, EXACT_CHANCE = "noise", "chance"


def had_without(attack: Attack, view: View, truth: Truth) -> dict[str, float]:
    """Return what is had without an attack on its own scale, by name: chance, pictures as they are.

    The mean public picture is scored only where public images were given to the harness.
    """
    found: dict[str, float] = {}
    if attack.metric.of_pictures:
        seen = np.stack([as_picture(one) for one in view.ciphertexts])
        found[AS_IT_IS] = float(ssim(seen, truth.originals).mean())
        found |= likeness_of_mean(truth)
    found |= attack.effortless(view, truth)
    chance = attack.chance(truth)
    return found if chance is None else found | {EXACT_CHANCE: chance}


def mean_floors(keys: list[Mapping[str, float]]) -> dict[str, float]:
    """Average floors over keys; of names that every key has."""
    names = [name for name in keys[0] if all(name in key for key in keys)] if keys else []
    return {name: float(np.mean([key[name] for key in keys])) for name in names}

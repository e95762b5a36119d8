"""The base of attacks that invert ciphertexts by a small network learnt from pairs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from he_compare.common.attack import Attack
from he_compare.common.attack_score import SSIM
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Float32Array, IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.unet import Trained, train

# Of the budget's seconds per key, the share that training may take.
TRAINING = 0.6


class LearnedInversion(Attack):
    """Pairs of the adversary's, a network, and pictures that are compared with the originals.

    ``steps``: of training, unless the budget's seconds run out before.
    """

    steps: ClassVar[int] = 100
    reads_pictures = False
    slow = True
    least_seconds = 60.0
    metric = SSIM

    def trained(
        self,
        planes: Float32Array,
        plain: UInt8Array,
        held: IntArray,
        budget: AttackBudget,
        random: np.random.Generator,
    ) -> Trained:
        """Learn pictures from planes (n, k, h, w); pairs at the positions ``held`` are held out."""
        seconds = TRAINING * budget.seconds
        return train(planes, plain, held, self.steps, seconds, random, budget.device)

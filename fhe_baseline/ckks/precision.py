"""Scales of the ``replicated`` packing, chosen so that no score overflows, and the error they cost.

A reply lives under one prime q0: score times scale must stay below q0 / 2, so the largest score the
model can produce (``LinearModel.score_bound``) fixes the largest scale of the reply. The error is
estimated with the usual heuristic for CKKS (Cheon, Kim, Kim, Song, ASIACRYPT 2017, and the RNS
variant of 2018): independent coefficients, uniform ternary secret. Every rounding of a division by
a prime, in the rescale and in each key switch, has coefficient variance (1 + 2N/3) / 12; a key
switch adds its digits times the key's error over the special prime P; N coefficients add up in a
slot and the real part takes half of that. SEAL's digits lie in [0, q0), not around zero: their mean
is a polynomial of equal coefficients, whose value (q0 / 2) 2 / (1 - zeta) is largest, (q0 / 2)
2N / pi, at zeta = exp(i pi / N), which is slot 0. There every rotation adds an error that is the
same for all messages under one key (seen: 7e-4 with P = 2 q0, 3e-5 with P = 64 q0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.backbones.head import LinearModel
from fhe_baseline.ckks.context import ERROR_SIGMA, data_primes, seal_context
from fhe_baseline.ckks.slot_layout import SlotLayout
from fhe_baseline.parameters import CkksParameters

# Five standard deviations of a score's error should stay below this; rotations move in front of the
# rescale, where they cost time instead of precision, until it holds.
WANTED_ERROR = 1e-3
# Beyond this no order of operations helps, and the parameters are refused for the model.
LARGEST_ERROR = 1e-2
# A reply is decoded to doubles; more bits than this are never left after the noise.
MAX_REPLY_SCALE_BITS = 40
MIN_WEIGHT_SCALE = 2.0**16


@dataclass(frozen=True)
class ScalePlan:
    """Scales of features, weights and reply, and where among the rotations the rescale comes.

    ``predicted_error``: five standard deviations of the error of one score.
    """

    features: float
    weights: float
    reply: float
    rotations_before_rescale: int
    predicted_error: float

    def misfit(self) -> str:
        """Say why the scales do not do, '' if they do."""
        if self.weights < MIN_WEIGHT_SCALE:
            return f"weights would be encoded at scale 2^{math.log2(self.weights):.0f} only"
        if self.predicted_error > LARGEST_ERROR:
            return f"scores would be off by up to {self.predicted_error:.1g}"
        return ""


def plan_scales(parameters: CkksParameters, model: LinearModel, layout: SlotLayout) -> ScalePlan:
    """Choose scales and order for a model: the largest reply scale that cannot overflow."""
    last, dropped = data_primes(seal_context(parameters))[:2]
    room = math.floor(math.log2(last / 2 / max(model.score_bound(), 1.0)))
    reply = 2.0 ** min(room, MAX_REPLY_SCALE_BITS)
    features = 2.0**parameters.scale_bits
    rotations = len(layout.sum_steps)
    errors = [
        _predicted_error(parameters, model, last, reply, rotations - early)
        for early in range(rotations + 1)
    ]
    early = next((i for i, error in enumerate(errors) if error <= WANTED_ERROR), rotations)
    return ScalePlan(features, reply * dropped / features, reply, early, errors[early])


def _predicted_error(
    parameters: CkksParameters, model: LinearModel, last: int, reply: float, rotations: int
) -> float:
    """Return five standard deviations of a score's error, with ``rotations`` after the rescale."""
    degree = parameters.degree
    digit = last / 2.0 ** parameters.modulus_bits[-1]
    rounding = (1 + 2 * degree / 3) / 12
    key_switch = rounding + degree * (ERROR_SIGMA * digit) ** 2 / 12
    summed = 2.0**rotations
    scattered = degree / 2 * (summed * rounding + (summed - 1) * key_switch)
    slot_zero = rotations * degree / 2 * (ERROR_SIGMA * digit * degree / math.pi) ** 2
    features = degree * (ERROR_SIGMA / 2.0**parameters.scale_bits) ** 2
    weighted = features * float((model.weights**2).sum(axis=1).max())
    return 5 * math.sqrt((scattered + slot_zero) / reply**2 + weighted)

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

from he_compare.common.backbones.head import LinearModel
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, data_primes, seal_context
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_packing import PackingScales

# Five standard deviations of a score's error should stay below this; rotations move in front of the
# rescale, where they cost time instead of precision, until it holds.
WANTED_ERROR = 1e-3
# A reply is decoded to doubles; more bits than this are never left after the noise.
MAX_REPLY_SCALE_BITS = 40


@dataclass(frozen=True)
class ReplicatedScales(PackingScales):
    """Scales, and where among the rotations the rescale comes."""

    rotations_before_rescale: int


def plan_scales(
    parameters: CkksParameters, model: LinearModel, layout: SlotLayout
) -> ReplicatedScales:
    """Choose scales and order for a model: the largest reply scale that cannot overflow."""
    last, dropped = data_primes(seal_context(parameters))[:2]
    room = math.floor(math.log2(last / 2 / max(model.score_bound(), 1.0)))
    reply = 2.0 ** min(room, MAX_REPLY_SCALE_BITS)
    features = 2.0**parameters.scale_bits
    weights = reply * dropped / features
    before = _error_before_rescale(parameters.degree, model, features, weights)
    rotations = len(layout.sum_steps)
    errors = [
        5 * math.sqrt(before + _error_from_rescale(parameters, last, rotations - early) / reply**2)
        for early in range(rotations + 1)
    ]
    early = next((i for i, error in enumerate(errors) if error <= WANTED_ERROR), rotations)
    return ReplicatedScales(features, weights, reply, errors[early], early)


def _error_before_rescale(
    degree: int, model: LinearModel, features: float, weights: float
) -> float:
    """Return the variance from fresh encryption and from rounding the weights.

    Features have unit variance, so the squares of one image's add up to about their number.
    """
    encryption = degree * (ERROR_SIGMA / features) ** 2
    return encryption * float((model.weights**2).sum(axis=1).max()) + (
        degree / 24 / weights**2 * model.width
    )


def _error_from_rescale(parameters: CkksParameters, last: int, rotations: int) -> float:
    """Return the variance, times the squared scale, from the rescale and the rotations after it."""
    degree = parameters.degree
    digit = last / 2.0 ** parameters.modulus_bits[-1]
    rounding = (1 + 2 * degree / 3) / 12
    key_switch = rounding + degree * (ERROR_SIGMA * digit) ** 2 / 12
    summed = 2.0**rotations
    scattered = degree / 2 * (summed * rounding + (summed - 1) * key_switch)
    slot_zero = rotations * degree / 2 * (ERROR_SIGMA * digit * degree / math.pi) ** 2
    return scattered + slot_zero

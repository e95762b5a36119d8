"""Bits of security of LWE parameters: the primal uSVP attack under three named cost models.

Source of the attack: Alkim, Ducas, Poeppelmann, Schwabe, "Post-quantum key exchange", USENIX
Security 2016, section 6.3, with the embedding of Bai and Galbraith for secrets smaller than the
errors. The unique short vector is found at the smallest block size beta with

    sqrt(beta) sigma <= delta^(2 beta - d - 1) * volume^(1/d),

minimised over the lattice dimension d = m + n + 1 (m samples), where delta is Chen's root Hermite
factor of BKZ-beta and the secret's part of the lattice is scaled by sigma / sigma_secret.

Only this attack is estimated: dual and hybrid attacks may cost some bits less (about 3 at N = 1024,
about 1 from N = 4096 on, for uniform ternary secrets), a sparse secret far less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from he_compare.common.errors import UsageError
from he_compare.common.run.records import LatticeFacts

Secret = Literal["ternary", "binary", "gaussian"]
Task = Literal["inference", "training"]
CLASSICAL, CORE_SVP, QUANTUM = (
    "MATZOV (classical)",
    "core-SVP (ADPS16, classical)",
    "Chailloux-Loyer (quantum)",
)
ATTACK = "primal uSVP"
# The package, not the estimator of Albrecht et al., which it is compared with in the tests.
ESTIMATED_BY = "he-compare"
SMALLEST_BLOCK = 41  # Chen's formula for delta holds above

# Gates of one sieve in dimension b: 2^(slope b + offset). MATZOV, "Report on the Security of LWE:
# Improved Dual Lattice Attack", 2022, after Albrecht et al., ASIACRYPT 2020 (list decoding).
MATZOV_SLOPE, MATZOV_OFFSET = 0.29613500308205365, 20.387885985467914


@dataclass(frozen=True)
class Estimate:
    """Cost of the attack: ``bits`` = log2 of the model's operations, block size, dimension.

    ``bits`` is infinite where no block size up to the whole lattice recovers the secret, and an
    upper bound at ``beta = SMALLEST_BLOCK``.
    """

    model: str
    bits: float
    beta: int
    d: int


@dataclass(frozen=True)
class _Instance:
    """n, log q and log sigma in natural logarithms, and log xi, the scaling of the secret."""

    n: int
    log_q: float
    log_sigma: float
    log_xi: float

    @property
    def log_volume_deficit(self) -> float:
        """What log volume lacks against d log q: volume = q^(d-n-1) xi^n sigma."""
        return (self.n + 1) * self.log_q - self.n * self.log_xi - self.log_sigma

    def margin(self, beta: int, d: int) -> float:
        """Log of the right side over the left side of the condition: solved where not negative."""
        log_delta = log_root_hermite_factor(beta)
        right = log_delta * (2 * beta - d - 1) + self.log_q - self.log_volume_deficit / d
        return right - (0.5 * math.log(beta) + self.log_sigma)

    def best_dimension(self, beta: int) -> int:
        """Return the dimension at which the condition holds by the widest margin."""
        best = math.sqrt(self.log_volume_deficit / log_root_hermite_factor(beta))
        return max(math.floor(best), beta + 1)

    def smallest_dimension(self, beta: int) -> int:
        """Return the smallest dimension that the condition allows at a block size that solves."""
        low, high = beta + 1, self.best_dimension(beta)
        while low < high:
            middle = (low + high) // 2
            if self.margin(beta, middle) >= 0:
                high = middle
            else:
                low = middle + 1
        return low


def log_root_hermite_factor(beta: int) -> float:
    """Return ln delta of BKZ-beta (Chen 2013): (beta/(2 pi e) (pi beta)^(1/beta))^(1/(2(b-1)))."""
    return math.log(beta / (2 * math.pi * math.e) * (math.pi * beta) ** (1 / beta)) / (
        2 * (beta - 1)
    )


def estimate(n: int, logq: float, sigma: float, secret: Secret) -> list[Estimate]:
    """Return the cost of the uSVP attack under each model.

    ``n``: dimension of the secret (for RLWE the ring degree). ``logq``: log2 of the modulus.
    ``sigma``: standard deviation of the errors in units of 1/q. ``secret``: uniform over
    {-1, 0, 1} or {0, 1}, or distributed as the errors. Raises UsageError.
    """
    if n < SMALLEST_BLOCK or not 1 < logq < 1 << 16 or not 0 < sigma < 2**logq:
        raise UsageError(f"no estimate for n = {n}, log2 q = {logq}, sigma = {sigma}")
    deviation = {"ternary": math.sqrt(2 / 3), "binary": 0.5, "gaussian": sigma}[secret]
    instance = _Instance(
        n,
        logq * math.log(2),
        math.log(sigma),
        max(0.0, math.log(sigma / deviation)),
    )
    beta = _smallest_block(instance)
    if beta is None:
        return [Estimate(model, math.inf, 0, 0) for model in COST_MODELS]
    d = instance.smallest_dimension(beta)
    return [Estimate(model, cost(beta, d), beta, d) for model, cost in COST_MODELS.items()]


def _smallest_block(instance: _Instance) -> int | None:
    def solves(beta: int) -> bool:
        return instance.margin(beta, instance.best_dimension(beta)) >= 0

    low, high = SMALLEST_BLOCK, 2 * instance.n + 2
    if not solves(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if solves(middle):
            high = middle
        else:
            low = middle + 1
    return low


def dimensions_for_free(beta: int) -> float:
    """Return how much smaller a sieve suffices for an SVP of dimension beta (Ducas 2018)."""
    return max(0.0, beta * math.log(4 / 3) / math.log(beta / (2 * math.pi * math.e)))


def matzov_bits(beta: int, d: int) -> float:
    """Return log2 of the gates of progressive BKZ: c^2 (d - beta) sieves, c = 1/(1 - 2^-slope)."""
    progressive = -math.log2(1 - 2**-MATZOV_SLOPE)
    sieve = MATZOV_SLOPE * (beta - dimensions_for_free(beta)) + MATZOV_OFFSET
    return 2 * progressive + math.log2(max(1, d - beta)) + sieve


COST_MODELS: dict[str, Callable[[int, int], float]] = {
    CLASSICAL: matzov_bits,
    CORE_SVP: lambda beta, d: 0.292 * beta,
    QUANTUM: lambda beta, d: 0.2570 * beta,
}


def lattice_facts(
    *,
    scheme: str,
    task: Task,
    use: str,
    name: str,
    dimension: int,
    log2_q: float,
    sigma: float,
    secret: Secret,
    verdicts: dict[str, str],
    enforced_by: str,
    precision: str,
    precision_bits: float | None,
    precision_of: str,
    failure_probability: float | None = None,
) -> LatticeFacts:
    """Return parameters with their estimated bits, for the record.

    ``dimension``, ``log2_q``, ``sigma``, ``secret``: as in ``estimate``. ``verdicts``: by table.
    ``precision_of``: what has ``precision_bits`` after the point.
    """
    found = estimate(dimension, log2_q, sigma, secret)
    return LatticeFacts(
        scheme=scheme,
        task=task,
        use=use,
        name=name,
        dimension=dimension,
        log2_q=log2_q,
        log2_sigma=round(math.log2(sigma), 4),
        secret_distribution=f"uniform {secret}",
        verdicts=verdicts,
        attack=ATTACK,
        estimated_by=ESTIMATED_BY,
        block_size=found[0].beta or None,
        bits=_bits(found),
        bits_are_at_most=0 < found[0].beta <= SMALLEST_BLOCK,
        enforced_by=enforced_by,
        precision=precision,
        precision_bits=precision_bits,
        precision_of=precision_of,
        failure_probability=failure_probability,
    )


def _bits(found: list[Estimate]) -> dict[str, float]:
    return {one.model: round(one.bits, 1) for one in found if math.isfinite(one.bits)}

"""What one set of lattice parameters is worth, as a record keeps it: the row of audit and claims.

The precision of a CKKS set by itself is that of a fresh ciphertext: five standard deviations of a
slot's error against the scale. A deployment knows its circuit and states the result's.
"""

from __future__ import annotations

import math

from common.records import LatticeFacts
from fhe_baseline.parameters import ENFORCED_BY, STANDARD_2018, CkksParameters, verdict
from fhe_baseline.security.lattice import SMALLEST_BLOCK, Estimate, Secret, estimate
from fhe_baseline.tfhe.facts import ENFORCED_BY as TFHE_ENFORCED_BY
from fhe_baseline.tfhe.facts import CircuitFacts

# The tables and the estimates count the errors of SEAL's centred binomial as sigma = 3.19.
TABLE_SIGMA = 3.19
ATTACK = "primal uSVP"
STUDY_ONLY = "nobody: the set exists for study and is refused unless that is asked for by name"


def ckks_facts(
    use: str, name: str, parameters: CkksParameters, error: float | None = None
) -> LatticeFacts:
    """Return the facts of a CKKS set; ``error``: predicted error of a result under it, absolute."""
    judged = verdict(parameters)
    return _facts(
        scheme="CKKS",
        use=use,
        name=name,
        dimension=parameters.degree,
        log2_q=parameters.total_bits,
        sigma=TABLE_SIGMA,
        secret="ternary",
        verdicts={table: str(one) for table, one in judged.items()},
        enforced_by=ENFORCED_BY if judged[STANDARD_2018].level else STUDY_ONLY,
        precision=f"scale 2^{parameters.scale_bits}, depth {parameters.depth}",
        precision_bits=_bits_of(fresh_error(parameters) if error is None else error),
        precision_of="a fresh slot" if error is None else "a score",
    )


def fresh_error(parameters: CkksParameters) -> float:
    """Return five standard deviations of the error of one slot of a fresh symmetric ciphertext."""
    slot = math.sqrt(parameters.degree) * TABLE_SIGMA
    return float(5 * slot / 2.0**parameters.scale_bits)


def _bits_of(error: float) -> float:
    return round(-math.log2(error), 1)


def tfhe_facts(circuit: CircuitFacts, use: str = "") -> list[LatticeFacts]:
    """Return the facts of every kind of ciphertext and key of a compiled circuit."""
    return [
        _facts(
            scheme="TFHE",
            use=f"{use}: {one.use}" if use else one.use,
            name=f"{circuit.message_bits}-bit circuit",
            dimension=one.dimension,
            log2_q=one.log2_q,
            sigma=2**one.log2_sigma,
            secret="binary",
            verdicts={},
            enforced_by=TFHE_ENFORCED_BY,
            precision=f"{circuit.message_bits}-bit integers, {_exactness(circuit)}",
            precision_bits=None,
            precision_of="",
            failure_probability=circuit.statistics.get("global_p_error"),
        )
        for one in circuit.lwe
    ]


def _exactness(circuit: CircuitFacts) -> str:
    if circuit.statistics.get("programmable_bootstrap_count"):
        return "exact where no table look-up fails"
    return "exact"


def _facts(
    *,
    scheme: str,
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
    found = estimate(dimension, log2_q, sigma, secret)
    return LatticeFacts(
        scheme=scheme,
        use=use,
        name=name,
        dimension=dimension,
        log2_q=log2_q,
        log2_sigma=round(math.log2(sigma), 2),
        secret_distribution=f"uniform {secret}",
        verdicts=verdicts,
        attack=ATTACK,
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

"""What a CKKS parameter set is worth: verdicts of the tables, estimated bits, precision."""

from __future__ import annotations

import math

from he_compare.common.run.records import LatticeFacts
from he_compare.common.run.security_tables import STANDARD_2018
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA
from he_compare.fhe_baseline.ckks.parameters import (
    ENFORCED_BY,
    CkksParameters,
    verdict,
)
from he_compare.fhe_baseline.lattice import Task, lattice_facts

STUDY_ONLY = (
    "not enforced: the set exists for study and is refused unless that is asked for by name"
)


def ckks_facts(
    task: Task, name: str, parameters: CkksParameters, error: float | None = None
) -> LatticeFacts:
    """Return the facts of a CKKS set; ``error``: predicted error of a result under it, absolute."""
    judged = verdict(parameters)
    return lattice_facts(
        scheme="CKKS",
        task=task,
        use="",
        name=name,
        dimension=parameters.degree,
        log2_q=parameters.total_bits,
        sigma=ERROR_SIGMA,
        secret="ternary",
        verdicts={table: str(one) for table, one in judged.items()},
        enforced_by=ENFORCED_BY if judged[STANDARD_2018].level else STUDY_ONLY,
        precision=f"scale 2^{parameters.scale_bits}, depth {parameters.depth}",
        precision_bits=_bits_of(fresh_error(parameters) if error is None else error),
        precision_of="a fresh slot" if error is None else "a score",
    )


def fresh_error(parameters: CkksParameters) -> float:
    """Return five standard deviations of the error of one slot of a fresh symmetric ciphertext."""
    slot = math.sqrt(parameters.degree) * ERROR_SIGMA
    return float(5 * slot / 2.0**parameters.scale_bits)


def _bits_of(error: float) -> float:
    return round(-math.log2(error), 1)


def verdicts_of(parameters: CkksParameters) -> dict[str, str]:
    """Return what each security table says, in words."""
    return {table: str(judged) for table, judged in verdict(parameters).items()}

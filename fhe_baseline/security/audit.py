"""Every parameter set there is: both tables' verdicts, estimated bits by model, and who enforces.

What `compare audit parameters` prints. CKKS sets come from ``fhe_baseline.parameters``; TFHE has no
fixed sets: Concrete chooses per circuit, so a reference circuit is compiled where that is wanted.
"""

from __future__ import annotations

import math
from typing import Any

from fhe_baseline.parameters import (
    ENFORCED_BY,
    PARAMETER_SETS,
    STANDARD_2018,
    TRAINING_SETS,
    CkksParameters,
    verdict,
)
from fhe_baseline.security.lattice import SMALLEST_BLOCK, Estimate, estimate
from fhe_baseline.tfhe.facts import ENFORCED_BY as TFHE_ENFORCED_BY
from fhe_baseline.tfhe.facts import CircuitFacts

# The tables and the estimates count the errors of SEAL's centred binomial as sigma = 3.19.
TABLE_SIGMA = 3.19
ATTACK = "primal uSVP"
STUDY_ONLY = "nobody: the set exists for study and is refused unless that is asked for by name"
CAVEATS = (
    "Estimates are log2 of the cost of the primal uSVP attack; dual and hybrid attacks may cost 1 "
    "to 3 bits less. Core-SVP counts one call of a sieve and nothing else: it is far smaller for "
    "the same instance, and no contradiction.",
    "Verdicts are of the published tables for classical attacks, uniform ternary secret and "
    "sigma = 3.19; they do not speak of binary secrets (TFHE).",
)


def parameter_audit(tfhe: CircuitFacts | None = None) -> list[dict[str, Any]]:
    """Return one row a parameter set, and one for each kind of ciphertext of a TFHE circuit."""
    rows = [_ckks_row("inference", name, one) for name, one in PARAMETER_SETS.items()]
    rows += [_ckks_row("training", name, one) for name, one in TRAINING_SETS.items()]
    return rows + (_tfhe_rows(tfhe) if tfhe else [])


def _ckks_row(use: str, name: str, parameters: CkksParameters) -> dict[str, Any]:
    found = estimate(parameters.degree, parameters.total_bits, TABLE_SIGMA, "ternary")
    judged = verdict(parameters)
    return {
        "scheme": "CKKS",
        "use": use,
        "name": name,
        "N": parameters.degree,
        "log2_Q": parameters.total_bits,
        "log2_sigma": round(math.log2(TABLE_SIGMA), 2),
        "secret_distribution": "uniform ternary",
        "verdicts": {table: str(one) for table, one in judged.items()},
        "attack": ATTACK,
        "bits": _bits(found),
        "beta": found[0].beta,
        "enforced_by": ENFORCED_BY if judged[STANDARD_2018].level else STUDY_ONLY,
        "precision": f"scale 2^{parameters.scale_bits}, {parameters.depth} levels",
        "failure_probability": None,
    }


def _tfhe_rows(facts: CircuitFacts) -> list[dict[str, Any]]:
    rows = []
    for one in facts.lwe:
        found = one.estimates()
        rows.append(
            {
                "scheme": "TFHE",
                "use": one.use,
                "name": facts.name,
                "N": one.dimension,
                "log2_Q": one.log2_q,
                "log2_sigma": round(one.log2_sigma, 2),
                "secret_distribution": one.secret,
                "verdicts": {},
                "attack": ATTACK,
                "bits": _bits(found),
                "beta": found[0].beta,
                "enforced_by": TFHE_ENFORCED_BY,
                "precision": f"{facts.message_bits}-bit integers, exact",
                "failure_probability": facts.statistics.get("global_p_error"),
            }
        )
    return rows


def _bits(found: list[Estimate]) -> dict[str, float]:
    return {one.model: round(one.bits, 1) for one in found}


def reference_circuit(features: int = 192, bits: int = 8) -> CircuitFacts:
    """Compile a linear TFHE circuit of two classes, for its parameters. Raises UnavailableError."""
    import numpy as np

    from common.backbones.head import LinearModel
    from fhe_baseline.tfhe.facts import circuit_facts
    from fhe_baseline.tfhe.library import private_folder
    from fhe_baseline.tfhe.quantised import quantise_head

    weights = np.random.default_rng(0).normal(size=(1, features))
    linear = LinearModel(np.vstack([-weights, weights]) / 2, np.zeros(2))
    ends = np.array([[-8.0] * features, [8.0] * features])
    with private_folder() as folder:
        circuit = quantise_head(linear, ends, bits).compile(folder)
        return circuit_facts(circuit.client.specs.serialize(), circuit.statistics)


def describe(rows: list[dict[str, Any]]) -> str:
    """Return the audit as text: a block a parameter set."""
    blocks = [_block(row) for row in rows]
    enforcers = dict.fromkeys((row["scheme"], row["enforced_by"]) for row in rows)
    told = [f"Enforced ({scheme}): {who}." for scheme, who in enforcers]
    return "\n\n".join([*blocks, *told, *CAVEATS])


def _block(row: dict[str, Any]) -> str:
    lines = [
        f"{row['scheme']} {row['name']} ({row['use']})",
        f"  N = {row['N']}, log2 Q = {row['log2_Q']}, secret {row['secret_distribution']}, "
        f"sigma = 2^{row['log2_sigma']}; {row['precision']}",
    ]
    lines += [f"  {table}: {judged}" for table, judged in row["verdicts"].items()]
    told = ", ".join(f"{bits} {model}" for model, bits in row["bits"].items())
    at_most = "at most " if row["beta"] <= SMALLEST_BLOCK else ""
    lines.append(f"  estimate in bits ({row['attack']}, beta = {row['beta']}): {at_most}{told}")
    if row["failure_probability"] is not None:
        lines.append(f"  failure probability of a circuit: {row['failure_probability']:.2g}")
    return "\n".join(lines)


class ParametersCommand:
    """What `compare audit parameters` runs."""

    name = "parameters"

    def run(self, *, with_tfhe: bool = True) -> list[dict[str, Any]]:
        """Return the rows; TFHE's where it is wanted and Concrete ML is there."""
        from fhe_baseline.tfhe.library import availability

        if with_tfhe and availability().available:
            return parameter_audit(reference_circuit())
        return parameter_audit()

    def describe(self, rows: list[dict[str, Any]]) -> str:
        """Return the rows as text."""
        return describe(rows)


COMMAND = ParametersCommand()

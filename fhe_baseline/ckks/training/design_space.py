"""Steps against levels, rounds against bytes: every published set for one task, not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from he_compare.fhe_baseline.ckks.parameters import CkksParameters, name_of, training_set
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.diagonals import plan_layout
from he_compare.fhe_baseline.ckks.training.memory import Holding, turned_ciphertexts
from he_compare.fhe_baseline.ckks.training.sets import secure_sets
from he_compare.fhe_baseline.ckks.training.steps import divide, refreshes_needed, steps_from_zero

# Serialised bytes over the entropy of what is not made from a seed, as measured: 1.17 to 1.27.
OVERHEAD = 1.25


def design_space(circuit: Circuit) -> list[dict[str, Any]]:
    """Return one entry per published set that holds the steps of a circuit, with any refreshes."""
    return list(_entries(circuit))


def _entries(circuit: Circuit) -> Iterator[dict[str, Any]]:
    count, degree = len(circuit.steps), circuit.degree
    for name in secure_sets():
        parameters = training_set(name)
        refreshes = refreshes_needed(count, parameters.depth, degree)
        if refreshes is None or refreshes >= count:
            continue
        chosen = name == name_of(circuit.parameters)
        yield {
            "parameter_set": name,
            "ring": parameters.degree,
            "log2_q": parameters.total_bits,
            "levels": parameters.depth,
            "steps_from_one_upload": steps_from_zero(parameters.depth, degree),
            "refreshes_for_these_steps": circuit.refreshes if chosen else refreshes,
            **_costs(circuit, parameters, circuit.refreshes if chosen else refreshes),
            "chosen": chosen,
        }


def _costs(circuit: Circuit, parameters: CkksParameters, refreshes: int) -> dict[str, Any]:
    layout = plan_layout(
        circuit.rows,
        circuit.columns,
        circuit.classifiers,
        parameters.slot_count,
        circuit.batches,
        circuit.doublings,
    )
    stretches = divide(len(circuit.steps), refreshes, parameters.depth, circuit.degree)
    top = 1 + max(stretch.levels(circuit.degree) for stretch in stretches)
    passes = -(-circuit.classifiers // layout.lanes)
    uploads = layout.groups * (layout.period + 2 * passes) + 2
    keys = len(layout.rotations()) + 2
    bits = parameters.modulus_bits
    of_a_bit = parameters.degree / 8 * OVERHEAD
    primes, turned = parameters.depth + 1, turned_ciphertexts(layout)
    holding = Holding(parameters.degree, primes, top, uploads, keys, turned)
    return {
        "keys_bytes": round(keys * (len(bits) - 1) * sum(bits) * of_a_bit),
        "data_bytes": round(uploads * sum(bits[:top]) * of_a_bit),
        "server_bytes": holding.data() + holding.process(),
        "key_switches": len(circuit.steps) * layout.key_switches(passes),
    }

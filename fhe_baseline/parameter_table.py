"""The lattice parameters of every named set, or of what a run really used, judged by tables.

What `compare audit parameters` prints: verdicts, distance to the limit, estimated bits, who
enforces, precision, and for TFHE the probability of failure. CKKS sets come from
``ckks.parameters``; TFHE has no fixed sets: Concrete chooses per circuit, so a reference
circuit is compiled where that is wanted. A run's parameters come from the claims in its records,
and its precision from what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.run.lattice_words import (
    MODELS,
    OTHER_ATTACKS,
    TABLES_ASSUME,
    distance_to_limit,
    estimate_words,
    estimated_by,
)
from he_compare.common.run.records import LatticeFacts, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.fhe_baseline.ckks.facts import ckks_facts
from he_compare.fhe_baseline.ckks.parameters import PARAMETER_SETS, TRAINING_SETS
from he_compare.fhe_baseline.tfhe.facts import CircuitFacts, tfhe_facts

TWIN_DIFFERENCES = {
    "relative_difference_to_twin": "trained weights to their clear twin's, relative",
    "largest_weight_difference_to_clear_twin": "largest difference of a weight to the clear twin's",
}
SMALL_LOG2_SIGMA = 10
CAVEATS = (f"{OTHER_ATTACKS} {MODELS}", TABLES_ASSUME)


@dataclass(frozen=True)
class AuditRow:
    """Facts of one kind of key or ciphertext, who used it, and what was measured of its result.

    ``user``: the pipeline's label in a run, empty for a named set.
    """

    user: str
    facts: LatticeFacts
    measured: tuple[str, ...] = ()


def named_rows(tfhe: CircuitFacts | None = None) -> list[AuditRow]:
    """Return one row per parameter set, and one for each kind of ciphertext of a TFHE circuit."""
    found = [ckks_facts("inference", name, one) for name, one in PARAMETER_SETS.items()]
    found += [ckks_facts("training", name, one) for name, one in TRAINING_SETS.items()]
    found += tfhe_facts(tfhe, "inference") if tfhe else []
    return [AuditRow("", facts) for facts in found]


def reference_rows(*, with_tfhe: bool) -> list[AuditRow]:
    """Return the named sets, and a reference circuit of TFHE where it is wanted and can be had."""
    from he_compare.fhe_baseline.tfhe.library import availability

    wanted = with_tfhe and availability().available
    return named_rows(reference_circuit() if wanted else None)


def rows_of_run(run: Path) -> tuple[list[AuditRow], list[str]]:
    """Return ``run_rows`` of a run folder.

    Raises UsageError where no pipeline of the run rests on a lattice.
    """
    rows, without = run_rows(read_run(RunFolder(run)))
    if not rows:
        raise UsageError(
            f"no record of {run} holds lattice parameters",
            fix="run a homomorphic pipeline, for instance --pipeline fhe-head",
        )
    return rows, without


def as_json(rows: Sequence[AuditRow]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [
        {"user": row.user, **row.facts.model_dump(mode="json"), "measured": list(row.measured)}
        for row in rows
    ]


def run_rows(view: RunView) -> tuple[list[AuditRow], list[str]]:
    """Return a row for each lattice a run's pipelines rest on, and the pipelines that have none.

    A pipeline whose accuracy cell did not end ok is in neither.
    """
    rows: list[AuditRow] = []
    without: list[str] = []
    for pipeline in view.pipelines:
        record = pipeline.measured
        if record is None or record.claims is None:
            continue
        lattice = record.claims.lattice
        rows += [AuditRow(pipeline.label, facts, measured(record, facts)) for facts in lattice]
        if not lattice:
            without.append(pipeline.label)
    return rows, without


def measured(record: RunRecord, facts: LatticeFacts) -> tuple[str, ...]:
    """Return what a record measured of the results of training, or of inference."""
    if facts.task == "training":
        return tuple(
            f"{_precision(value)}: {what}"
            for name, what in TWIN_DIFFERENCES.items()
            if isinstance(value := record.training.get(name), float)
        )
    found = record.agreement
    if found is None:
        return ()
    return (
        f"{_precision(found.max_abs_score_difference)}: largest difference of a score to the "
        f"{found.reference}, {found.agree} of {found.compared} classes equal "
        f"({record.fhe_mode.value})",
    )


def _sigma(facts: LatticeFacts) -> str:
    """Spell the width of errors: as a number where it is small, else as a power of two."""
    small = facts.log2_sigma < SMALL_LOG2_SIGMA
    return f"{2**facts.log2_sigma:.2f}" if small else f"2^{facts.log2_sigma:.2f}"


def _precision(error: float) -> str:
    return f"{-math.log2(error):.1f} bits" if error > 0 else "exact"


def reference_circuit(features: int = 192, bits: int = 8) -> CircuitFacts:
    """Compile a linear TFHE circuit of two classes, for its parameters. Raises UnavailableError."""
    import numpy as np

    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.tfhe.facts import circuit_facts
    from he_compare.fhe_baseline.tfhe.library import private_folder
    from he_compare.fhe_baseline.tfhe.quantised import quantise_head

    weights = np.random.default_rng(0).normal(size=(1, features))
    linear = LinearModel(np.vstack([-weights, weights]) / 2, np.zeros(2))
    ends = np.array([[-8.0] * features, [8.0] * features])
    with private_folder() as folder:
        circuit = quantise_head(linear, ends, bits).compile(folder)
        return circuit_facts(circuit.client.specs.serialize(), circuit.statistics)


def describe(rows: Sequence[AuditRow], without: Sequence[str] = ()) -> str:
    """Return the audit as text: a block per row, then who enforces and what is not estimated."""
    blocks = [_block(row) for row in rows]
    if without:
        blocks.append("No lattice parameters: " + ", ".join(without))
    enforcers = dict.fromkeys((row.facts.scheme, row.facts.enforced_by) for row in rows)
    enforced = [f"Enforcement ({scheme}): {who}." for scheme, who in enforcers]
    said = (estimated_by([row.facts for row in rows]), *CAVEATS) if rows else ()
    return "\n\n".join([*blocks, *enforced, *said])


def _block(row: AuditRow) -> str:
    facts = row.facts
    who = f"{row.user}: " if row.user else ""
    lines = [
        f"{who}{facts.scheme} {facts.name} ({facts.purpose})",
        f"  N = {facts.dimension}, log2 Q = {facts.log2_q:g}, secret {facts.secret_distribution}, "
        f"sigma = {_sigma(facts)}; {facts.precision}",
    ]
    lines += [f"  {table}: {judged}" for table, judged in facts.verdicts.items()]
    lines.append(f"  table of 2024 at 128 bits: {distance_to_limit(facts)}")
    lines.append(
        f"  estimate in bits ({facts.attack}, beta = {facts.block_size}): "
        + ", ".join(estimate_words(facts))
    )
    if facts.precision_bits is not None:
        lines.append(
            f"  precision of {facts.precision_of}, predicted (5 sigma): "
            f"{facts.precision_bits:.1f} bits after the point"
        )
    if facts.failure_probability is not None:
        lines.append(f"  failure probability of a circuit: {facts.failure_probability:.2g}")
    lines += [f"  precision, measured: {one}" for one in row.measured]
    return "\n".join(lines)

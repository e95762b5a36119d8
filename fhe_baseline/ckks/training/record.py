"""What the record says of a training under encryption: rounds, bytes, seconds, twin and optimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import (
    TwinStep,
    fit_optimum,
    loss,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTrainingOutcome


def training_facts(
    circuit: Circuit, problem: Problem, outcome: CkksTrainingOutcome, iterations: int, clock: Clock
) -> dict[str, Any]:
    """Compare the encrypted weights with the clear twin and with scikit-learn's optimum.

    This needs the data in the clear and is part of the study, not of the protocol.
    """
    twin = run_twin(circuit, problem, iterations)
    optimum = fit_optimum(problem)
    return {
        "trained_on": "encrypted features and labels, by a server process without the secret key",
        "algorithm": f"Nesterov accelerated {'mini' if circuit.batches > 1 else 'full'}-batch "
        "logistic regression, client-aided refresh",
        "n": circuit.rows,
        "batches": circuit.batches,
        "rows_of_a_batch": circuit.layout.batch_rows,
        "columns": circuit.columns,
        "classifiers": circuit.classifiers,
        "iterations": iterations,
        "learning_rate": circuit.rate,
        "C": problem.inverse_l2,
        "sigmoid": _sigmoid_facts(circuit),
        "rounds": len(outcome.rounds),
        "iterations_per_refresh": circuit.per_round,
        "resumed_after_iterations": outcome.resumed,
        "bytes": _bytes(outcome),
        "seconds": _seconds(outcome, clock),
        "history": _history(problem, outcome, twin),
        "loss_at_start": loss(problem, np.zeros_like(outcome.weights)),
        "relative_difference_to_twin": relative_difference(outcome.weights, twin[-1].weights),
        "scikit_learn": _optimum_facts(problem, outcome.weights, optimum),
    }


def _sigmoid_facts(circuit: Circuit) -> dict[str, Any]:
    sigmoid = circuit.sigmoid
    return {
        "degree": sigmoid.degree,
        "interval": [-sigmoid.interval, sigmoid.interval],
        "coefficients": list(sigmoid.coefficients),
        "largest_error_on_interval": float(f"{sigmoid.largest_error():.3g}"),
    }


def _bytes(outcome: CkksTrainingOutcome) -> dict[str, int]:
    return {
        "keys_and_circuit": outcome.public_bytes,
        "data_upload": outcome.data_bytes,
        "refresh_upload": outcome.refresh_upload_bytes,
        "refresh_download": outcome.refresh_download_bytes,
    }


def _seconds(outcome: CkksTrainingOutcome, clock: Clock) -> dict[str, float]:
    """Return seconds by side and stage, and of the two phases by the wall clock."""
    stages = {
        f"{side} {stage}": round(sum(samples), 4)
        for (stage, side, _), samples in clock.samples.items()
    }
    return {
        "encrypt_and_upload": round(outcome.upload_seconds, 4),
        "iterations": round(sum(r.seconds for r in outcome.rounds), 4),
        **stages,
    }


def _history(
    problem: Problem, outcome: CkksTrainingOutcome, twin: list[TwinStep]
) -> list[dict[str, Any]]:
    """Return one entry per refresh; logits are those the twin met since the one before."""
    entries, before = [], 0
    for one in outcome.rounds:
        met, clear = twin[before : one.iteration], twin[one.iteration - 1].weights
        entries.append(
            {
                "iteration": one.iteration,
                "difference_to_twin": float(np.linalg.norm(one.weights - clear)),
                "relative_difference_to_twin": relative_difference(one.weights, clear),
                "logits_outside_interval": sum(step.outside for step in met),
                "largest_logit": max(step.largest_logit for step in met),
                "loss": loss(problem, one.weights),
                "loss_of_twin": loss(problem, clear),
                "seconds": round(one.seconds, 4),
                "server_seconds": round(one.server_seconds, 4),
            }
        )
        before = one.iteration
    return entries


def _optimum_facts(
    problem: Problem, weights: Float64Array, optimum: Float64Array
) -> dict[str, Any]:
    """Return distances to the optimum: of weights, of loss, and of decisions on training rows."""
    same = _decisions(problem, weights) == _decisions(problem, optimum)
    return {
        "relative_distance_of_weights": relative_difference(weights, optimum),
        "cosine_of_weights": float(
            (weights * optimum).sum() / np.linalg.norm(weights) / np.linalg.norm(optimum)
        ),
        "loss": loss(problem, optimum),
        "same_decisions_on_training_rows": float(same.mean()),
    }


def _decisions(problem: Problem, weights: Float64Array) -> IntArray:
    logits = problem.matrix @ weights.T
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).astype(np.int64)
    decisions: IntArray = logits.argmax(axis=1)
    return decisions

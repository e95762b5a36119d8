"""What the record says of a training under encryption: rounds, bytes, seconds, twin and optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.ckks.parameters import name_of
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import (
    TwinStep,
    fit_optimum,
    loss,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.design_space import design_space
from he_compare.fhe_baseline.ckks.training.memory import client_bytes, server_bytes
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTrainingOutcome
from he_compare.fhe_baseline.ckks.training.sigmoid import SigmoidPolynomial
from he_compare.fhe_baseline.ckks.training.steps import depth_of

WHERE = "encrypted features and labels, by a server process without the secret key"


@dataclass(frozen=True)
class ClearCourse:
    """The training in the clear: the twin's steps, the exact sigmoid's, scikit-learn's optimum."""

    twin: list[TwinStep]
    exact: Float64Array
    optimum: Float64Array


def clear_course(circuit: Circuit, problem: Problem) -> ClearCourse:
    """Compute what an encrypted training is compared with."""
    exact = run_twin(problem, circuit.steps, circuit.batches, exact=True)[-1].weights
    twin = run_twin(problem, circuit.steps, circuit.batches)
    return ClearCourse(twin, exact, fit_optimum(problem))


def training_facts(
    circuit: Circuit,
    problem: Problem,
    outcome: CkksTrainingOutcome,
    course: ClearCourse,
    clock: Clock,
    processes: int,
) -> dict[str, Any]:
    """Compare the encrypted weights with the clear twin and with scikit-learn's optimum.

    This needs the data in the clear and is part of the study, not of the protocol.
    """
    return {
        "trained_on": WHERE,
        "algorithm": _algorithm(circuit),
        "n": circuit.rows,
        "batches": circuit.batches,
        "rows_of_a_batch": circuit.layout.batch_rows,
        "columns": circuit.columns,
        "classifiers": circuit.classifiers,
        "classes_per_ciphertext": circuit.layout.lanes,
        "iterations": len(circuit.steps),
        "C": problem.inverse_l2,
        "sigmoid": _sigmoid_facts(circuit.steps[-1].sigmoid),
        "parameter_set": name_of(circuit.parameters),
        "refresh_rounds": circuit.refreshes,
        "resumed_after_iterations": outcome.resumed,
        "uploads_resumed": outcome.uploads_resumed,
        "levels": _levels(circuit),
        "steps": _steps(circuit, problem, course.twin),
        "bytes": _bytes(outcome),
        "seconds": _seconds(outcome, clock),
        "memory": {
            "client_bytes_stated": client_bytes(circuit),
            "server_bytes_stated": server_bytes(circuit, processes),
            "client_bytes_measured": outcome.client_peak_bytes,
            "server_bytes_measured": outcome.server_peak_bytes,
        },
        "server_processes": outcome.server_processes,
        "rotation_keys": len(circuit.layout.rotations()),
        "history": _history(problem, outcome, course.twin),
        "loss_at_start": loss(problem, np.zeros_like(outcome.weights)),
        "predicted_error_of_weights": float(f"{circuit.scales.error:.2g}"),
        "largest_error_of_weights": float(
            f"{np.abs(outcome.weights - course.twin[-1].weights).max():.3g}"
        ),
        "relative_difference_to_twin": relative_difference(
            outcome.weights, course.twin[-1].weights
        ),
        "scikit_learn": _optimum_facts(problem, outcome.weights, course.optimum),
        "design_space": design_space(circuit),
    }


def _algorithm(circuit: Circuit) -> str:
    accelerated = any(step.momentum for step in circuit.steps)
    kind = "accelerated gradient descent" if accelerated else "gradient descent"
    batch = "mini" if circuit.batches > 1 else "full"
    refreshed = (
        f"weights refreshed by the client {circuit.refreshes} times"
        if circuit.refreshes
        else "from one upload, no client in the loop"
    )
    return f"{batch}-batch {kind} on the logistic loss, {refreshed}"


def _sigmoid_facts(sigmoid: SigmoidPolynomial) -> dict[str, Any]:
    return {
        "degree": sigmoid.degree,
        "interval": [-sigmoid.interval, sigmoid.interval],
        "coefficients": list(sigmoid.coefficients),
        "largest_error_on_interval": float(f"{sigmoid.largest_error():.3g}"),
    }


def _levels(circuit: Circuit) -> dict[str, int]:
    used = max(stretch.levels(circuit.degree) for stretch in circuit.stretches)
    return {
        "available": circuit.levels,
        "first_step": 1,
        "later_step": depth_of(circuit.degree),
        "used": used,
    }


def _steps(circuit: Circuit, problem: Problem, twin: list[TwinStep]) -> list[dict[str, Any]]:
    """Return one entry per step: levels, length, and the logits its twin met."""
    entries = []
    for round_number, (stretch, chain) in enumerate(
        zip(circuit.stretches, circuit.scales.stretches, strict=True)
    ):
        for place, scales in enumerate(chain):
            number = stretch.first + place
            step, clear = circuit.steps[number], twin[number]
            entry = {
                "step": number + 1,
                "round": round_number,
                "primes_before": scales.primes,
                "primes_after": scales.after,
                "length": step.length,
                "momentum": step.momentum,
                "logits_outside_interval": clear.outside,
                "largest_logit": round(clear.largest_logit, 3),
                "loss_of_twin": loss(problem, clear.weights),
            }
            entries.append(entry | ({"interval": step.sigmoid.interval} if number else {}))
    return entries


def _bytes(outcome: CkksTrainingOutcome) -> dict[str, int]:
    return {
        "circuit": outcome.circuit_bytes,
        "keys": outcome.keys.bytes,
        "data_upload": outcome.data.bytes,
        "refresh_upload": outcome.refresh_upload_bytes,
        "refresh_download": outcome.refresh_download_bytes,
        "weights_download": outcome.weights_bytes,
    }


def _seconds(outcome: CkksTrainingOutcome, clock: Clock) -> dict[str, float]:
    """Return seconds by side and stage, and of the phases by the wall clock."""
    stages = {
        f"{side} {stage}": round(sum(samples), 4)
        for (stage, side, _), samples in clock.samples.items()
    }
    return {
        "keys_upload": round(outcome.keys.seconds, 4),
        "encrypt_and_upload": round(outcome.data.seconds, 4),
        "iterations": round(sum(r.seconds for r in outcome.rounds), 4),
        **stages,
    }


def _history(
    problem: Problem, outcome: CkksTrainingOutcome, twin: list[TwinStep]
) -> list[dict[str, Any]]:
    """Return one entry per stretch; logits are those the twin met since the one before."""
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

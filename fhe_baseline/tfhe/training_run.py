"""One training under encryption: the slice, the steps at a server process, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.contracts import Progress, ServerHandle
from he_compare.common.errors import DataError
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.tfhe.facts import CircuitFacts
from he_compare.fhe_baseline.tfhe.library import private_folder
from he_compare.fhe_baseline.tfhe.training import (
    BATCH,
    INPUT_BOUND,
    Batch,
    TfheTrainingClient,
    TrainingCircuit,
    TrainingShape,
)

# Whitened features have variance 1; two deviations fill the circuit's range.
DEVIATIONS = 2.0


@dataclass(frozen=True)
class TfheTrainingOutcome:
    """Weights (features + 1,) as decrypted by their owner, those of the clear twin, and costs."""

    weights: Float64Array
    twin: Float64Array
    facts: CircuitFacts
    seconds: dict[str, float]
    step_seconds: list[float] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)


def scaled(prepared: Float64Array) -> Float64Array:
    """Return whitened features, clipped to two deviations, within +-INPUT_BOUND."""
    return np.clip(prepared / DEVIATIONS, -INPUT_BOUND, INPUT_BOUND)


def choose_slice(labels: IntArray, n: int, seed: int) -> IntArray:
    """Choose n training images, as many of either class as can be, in random order.

    Raises DataError where there are fewer.
    """
    generator = np.random.default_rng(seed)
    wanted = {0: n - n // 2, 1: n // 2}
    parts = []
    for label, count in wanted.items():
        found = np.flatnonzero(labels == label)
        if len(found) < count:
            raise DataError(
                f"{len(found)} training images of class number {label}, the slice needs {count}",
                fix="lower train_images",
            )
        parts.append(generator.choice(found, size=count, replace=False))
    return generator.permutation(np.concatenate(parts))


def batches_of(inputs: Float64Array, labels: IntArray) -> list[Batch]:
    """Cut a slice into batches; its length is a multiple of BATCH."""
    return [
        Batch(inputs[start : start + BATCH], labels[start : start + BATCH])
        for start in range(0, len(inputs), BATCH)
    ]


def train(
    shape: TrainingShape,
    batches: list[Batch],
    start_server: Callable[[bytes], ServerHandle],
    clock: Clock,
    progress: Progress,
) -> TfheTrainingOutcome:
    """Train on ciphertexts at a server process; the client decrypts the result once, at the end."""
    watch = _Watch()
    with private_folder() as work, private_folder() as archives:
        circuit = TrainingCircuit(shape, work)
        archive = circuit.save(archives)
        watch.lap("compile")
        client = TfheTrainingClient(archives, shape.features)
        material = client.public_material(archive)
        watch.lap("keygen")
        twin, facts = circuit.twin(batches), circuit.facts()
    watch.lap("twin")
    server = start_server(material)
    watch.lap("upload_and_load")
    uploads = [client.batch(batch, clock) for batch in batches]
    state = client.start()
    watch.lap("encrypt")
    step_seconds = []
    for number, upload in enumerate(uploads):
        start = time.perf_counter()
        state = server.call("step", upload + state, clock)
        step_seconds.append(time.perf_counter() - start)
        progress("encrypted training steps", number + 1, len(uploads))
    watch.lap("steps")
    weights = client.reveal(state)
    server.close()
    sizes = {
        "public_material_bytes": len(material),
        "batch_bytes": sum(map(len, uploads[0])),
        "weights_bytes": sum(map(len, state)),
    }
    return TfheTrainingOutcome(weights, twin, facts, watch.seconds, step_seconds, sizes)


class _Watch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def linear_model(weights: Float64Array) -> LinearModel:
    """Return weights and bias (features + 1,) of one logit as a head of two scores, +-half."""
    half = np.vstack([-weights, weights]) / 2
    return LinearModel(half[:, :-1], half[:, -1])


def training_facts(outcome: TfheTrainingOutcome, shape: TrainingShape, n: int) -> dict[str, Any]:
    """Return what the record says of the training."""
    steps = sum(outcome.step_seconds)
    return {
        "trained_on": f"{n} encrypted feature vectors of {shape.features} and their encrypted "
        "labels, at a server process without the secret key",
        "algorithm": f"stochastic gradient descent, batches of {BATCH}, one pass (Concrete ML's "
        "SGDClassifier, fit_encrypted=True)",
        "n": n,
        "features": shape.features,
        "steps": len(outcome.step_seconds),
        "bits": shape.bits,
        "rounding": shape.rounding,
        "learning_rate": shape.learning_rate,
        "fhe_mode": "execute",
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "step_seconds": [round(value, 3) for value in outcome.step_seconds],
        "seconds_per_sample_and_feature": steps / (n * shape.features),
        "refresh_rounds": 0,
        **outcome.sizes,
        "largest_weight_difference_to_clear_twin": float(
            np.abs(outcome.weights - outcome.twin).max()
        ),
        "largest_twin_weight": float(np.abs(outcome.twin).max()),
        "training_circuit": outcome.facts.described(),
    }

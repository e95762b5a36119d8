"""What the pipelines on encrypted features take, in units that an estimate of a run prices.

Training on CKKS ciphertexts is computed from two prices that the probe measures, a key and an
encryption under the training's own parameters. The rest are ratios of finished quick runs (32 and
64 columns, N = 16384, three steps): a server reads a key in 0.65 of the time of making it, and a
step takes 1.25 of the time of encrypting the data. Training on TFHE ciphertexts has no estimate.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from he_compare.common.backbones import network_costs
from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.costs import Costs, RunSizes, Untrained, WorkStep, WorkUnit
from he_compare.common.errors import UsageError

if TYPE_CHECKING:
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.ckks.training.problem import Problem

READ_A_KEY, STEP_OVER_ENCRYPTION = 0.65, 1.25
PROBED_ROWS, PROBED_KEYS, PROBED_UPLOADS = 200, 2, 6
# The steps that are chosen for a training are the best of so many runs in the clear: numbers of
# components times numbers of steps. With so many more rows, one takes as long again (processor
# time: 0.11 s at 200 rows, 0.23 at 2,000, 0.39 at 8,000, 1.39 at 32,000).
CHOICES, ROWS_OF_ONE_CHOICE = 8, 2500


def features_and_head(
    sizes: RunSizes, inverse_l2: float, *, validation: bool
) -> tuple[WorkStep, ...]:
    """Return the work of the clear half: features, and a head on them."""
    return (
        *network_costs.feature_steps(sizes, validation=validation),
        network_costs.head_step(sizes, inverse_l2),
    )


def inference_costs(
    sizes: RunSizes, inverse_l2: float, untrained: Untrained, *, validation: bool
) -> Costs:
    """A head trained in the clear, evaluated on ciphertexts."""
    return Costs(
        features_and_head(sizes, inverse_l2, validation=validation),
        untrained,
        fit_bytes=network_costs.feature_bytes(sizes),
    )


def training_costs(
    sizes: RunSizes, circuit: Circuit, inverse_l2: float, untrained: Untrained, *, chosen: bool
) -> Costs:
    """Features, the choice of steps in the clear, keys and data encrypted, steps on ciphertexts.

    ``chosen``: whether components and steps are still to be chosen; the circuit is then of usual
    ones.
    """
    from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
    from he_compare.fhe_baseline.ckks.training.memory import (
        client_bytes,
        key_bytes,
        server_bytes,
        two_polynomials,
    )
    from he_compare.fhe_baseline.ckks.training.messages import addresses

    degree, primes = circuit.parameters.degree, circuit.levels + 1
    keys, uploads = len(key_elements(circuit)), sum(1 for _ in addresses(circuit))
    key, upload = _training_units(circuit)
    runs = CHOICES if chosen else 1
    rows = 1 + sizes.train / ROWS_OF_ONE_CHOICE
    steps = (
        *features_and_head(sizes, inverse_l2, validation=True),
        WorkStep(_choice_unit(sizes), runs * rows),
        WorkStep(key, keys * (1 + READ_A_KEY)),
        WorkStep(upload, uploads * (1 + STEP_OVER_ENCRYPTION * len(circuit.steps))),
    )
    usual = f"{circuit.columns - 1} components and {len(circuit.steps)} steps"
    notes = ["the server's part of encrypted training is computed from the client's, measured"]
    if chosen:
        notes.append(f"for {usual}: how many are taken is chosen when it runs")
    return Costs(
        steps,
        untrained,
        trains_at_server=True,
        # Half of what is encrypted symmetrically is a seed.
        training_up=keys * key_bytes(degree, primes) // 2
        + uploads * two_polynomials(degree, primes) // 2,
        fit_bytes=network_costs.feature_bytes(sizes) + client_bytes(circuit),
        server_fit_bytes=server_bytes(circuit),
        notes=tuple(notes),
    )


def _training_units(circuit: Circuit) -> tuple[WorkUnit, WorkUnit]:
    """Return the units of a key and of one encrypted column: measured together, once."""

    @cache
    def seconds() -> tuple[float, float]:
        from itertools import islice

        from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient

        client = CkksTrainingClient(circuit)
        start = time.perf_counter()
        made = sum(1 for _ in islice(client.keys(), PROBED_KEYS))
        keys = (time.perf_counter() - start) / made
        uploads = client.uploads(_problem(circuit))
        next(uploads)
        start = time.perf_counter()
        sent = sum(1 for _ in islice(uploads, PROBED_UPLOADS))
        return keys, (time.perf_counter() - start) / max(1, sent)

    ring = f"N = {circuit.parameters.degree}, {circuit.levels + 1} primes"
    return (
        WorkUnit(f"key of encrypted training: {ring}", lambda context, data: seconds()[0]),
        WorkUnit(f"encrypted column of training: {ring}", lambda context, data: seconds()[1]),
    )


def _problem(circuit: Circuit) -> Problem:
    """Return a training of the circuit's shape on random numbers."""
    from he_compare.fhe_baseline.ckks.training.problem import make_problem

    rows = min(circuit.rows, circuit.layout.group_rows)
    classes = 2 if circuit.classifiers == 1 else circuit.classifiers
    features, labels = network_costs.random_features(rows, circuit.columns - 1, classes)
    return make_problem(np.clip(features, -4, 4), labels, classes, 0.01, balanced=True)


def _choice_unit(sizes: RunSizes) -> WorkUnit:
    """One search for the steps of a training, in the clear."""

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.fhe_baseline.ckks.training.preparing import (
            LabelledFeatures,
            Wish,
            prepare,
        )

        features, labels = network_costs.random_features(PROBED_ROWS, sizes.width, sizes.classes)
        train = LabelledFeatures(features, labels)
        wish = Wish("preconditioned", 31, 3, 3, 0.0, 0.01, True, 1, None, 0)
        start = time.perf_counter()
        prepare(train, train, sizes.classes, wish)
        spent = time.perf_counter() - start
        return spent / (1 + PROBED_ROWS / ROWS_OF_ONE_CHOICE)

    return WorkUnit(f"choice of steps: features of {sizes.width}, {sizes.classes} classes", measure)


def circuit_to_expect(
    sizes: RunSizes,
    columns: int,
    steps: int,
    *,
    parameter_set: str,
    rounds: int,
    degree: int,
    batches: int,
    doublings: int,
    allow_insecure: bool,
) -> Circuit:
    """Return a circuit of the shape that a training will have. Raises UsageError."""
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.ckks.training.sets import sets_to_try
    from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
    from he_compare.fhe_baseline.ckks.training.steps import plain_steps

    refused: UsageError | None = None
    for parameters in sets_to_try(parameter_set, steps, rounds, degree):
        circuit = Circuit(
            parameters=parameters,
            rows=sizes.train,
            columns=columns,
            classifiers=1 if sizes.classes == 2 else sizes.classes,
            steps=plain_steps(steps, 1.0, fit_sigmoid(degree, 10.0)),
            refreshes=rounds,
            batches=batches,
            doublings=doublings,
            allow_insecure=allow_insecure,
        )
        try:
            _ = circuit.scales
        except UsageError as error:
            refused = error
            continue
        return circuit
    assert refused is not None
    raise refused

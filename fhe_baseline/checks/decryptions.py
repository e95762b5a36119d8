"""Where decryptions go: all bytes to the server are recorded and searched for decrypted values.

The machine-checked half of the statement "decrypted results stay with the key's owner".
"""

from __future__ import annotations

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, Side
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.recorded_training import Recorded, record_training
from he_compare.fhe_baseline.checks.tools.recording import Flow, Recorder, clear_copies, trace
from he_compare.fhe_baseline.checks.tools.victim import (
    few_columns,
    population_of,
    training_of,
    victim_of,
)
from he_compare.fhe_baseline.ckks.training.client import rounded
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.encrypted_training_parameters import ENCRYPTED
from he_compare.fhe_baseline.pipelines.fhe_train import FheTrainFitted

IMAGES, ROWS, COLUMNS = 6, 64, 9
LEAST_NOISE = 2.0
# Inverse L2 strength of the short training that is recorded.
STRENGTH = 0.01


class Decryptions(EncryptionCheck):
    """Runs the pipeline's own client and server process with a recorder between them."""

    name = "decryptions"
    title = "Where decrypted results go"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.DECRYPTIONS
    metric = AttackMetric("decrypted values found in what was sent to the server", best=1.0)
    source = "Li and Micciancio, EUROCRYPT 2021: why it matters"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Record inference, and for a pipeline that trains a short training."""
        flow = _inference(inspected)
        training = training_of(inspected)
        if training is None:
            return _inference_finding(flow)
        recorded = _training(inspected, training)
        decrypted = np.concatenate([one.ravel() for one in recorded.weights])
        return _training_finding(
            flow,
            trace(recorded.sent, recorded.received, decrypted),
            recorded,
            released=training.use != ENCRYPTED,
        )


def _inference(inspected: Inspected) -> Flow:
    """Classify, reveal, classify again: what is sent after a decryption counts most."""
    victim = victim_of(inspected)
    recorder = Recorder(victim.serve())
    try:
        scores: list[Float64Array] = []
        for _ in range(2):
            replies = recorder.call("infer", victim.uploads(IMAGES), Clock(Side.CLIENT))
            scores.append(victim.reveal(replies))
    finally:
        recorder.close()
    sent = [message for call in recorder.sent for message in call]
    received = [message for call in recorder.received for message in call]
    revealed = np.concatenate(scores)
    return trace(sent, received, revealed)


def _training(inspected: Inspected, training: FheTrainFitted) -> Recorded:
    population = population_of(inspected)
    columns = min(training.preparation.width + 1, COLUMNS)
    prepared = few_columns(population, columns).apply(population.features)
    rows = _some_of_each(population.labels)
    problem = make_problem(
        prepared[rows],
        population.labels[rows],
        population.classes,
        STRENGTH,
        balanced=True,
    )
    return record_training(problem, training.circuit)


def _some_of_each(labels: IntArray) -> IntArray:
    """Return up to ROWS positions, as many of each class as there are."""
    place = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        found = np.flatnonzero(labels == label)
        place[found] = np.arange(len(found))
    return np.argsort(place, kind="stable")[:ROWS]


def _inference_finding(flow: Flow) -> CheckFinding:
    return CheckFinding(
        verdict="resists within budget" if flow.clean else "broken",
        headline=f"decrypted results stay with the key's owner: the {flow.messages} messages sent "
        f"hold none of {flow.decrypted} decrypted scores, no reply, and no ciphertext twice"
        if flow.clean
        else f"{flow.clear_copies} decrypted scores, {flow.sent_back} replies and {flow.repeated} "
        "repeated ciphertexts in what was sent to the server",
        value=float(flow.clear_copies),
        details=_flow_details("inference", flow),
        claim="decrypted scores stay with the client",
        limits=_LIMITS,
        spent={"images": 2 * IMAGES},
    )


def _training_finding(
    inference: Flow, training: Flow, recorded: Recorded, *, released: bool
) -> CheckFinding:
    least = min(recorded.state_noise, default=None)
    clean = inference.clean and training.clean and (least is None or least > LEAST_NOISE)
    told = (
        _clean_words(training, least)
        if clean
        else f"{training.clear_copies} decrypted weights in the clear, {training.sent_back} "
        "replies sent back"
        + ("" if least is None else f", least noise of a refreshed state {least:.2f}")
    )
    if released:
        weights = rounded(recorded.weights[-1])
        shown = clear_copies(weights, [weights.astype("<f8").tobytes()])
        told += f"; then their owner releases all {shown} rounded weights to the classifying server"
    return CheckFinding(
        verdict="broken" if not clean else "partial" if released else "resists within budget",
        headline=told,
        value=float(inference.clear_copies + training.clear_copies),
        details=[
            *_flow_details("inference", inference),
            *_flow_details("training", training),
            *(
                []
                if least is None
                else [Detail("least noise deviation of a refreshed state", least)]
            ),
        ],
        claim="decrypted weights leave the client encrypted or not at all"
        + (
            ", until their owner releases them rounded"
            if released
            else ", and stay with the client"
        ),
        limits=[
            *_LIMITS,
            f"a training of {recorded.steps} steps on {ROWS} rows and {COLUMNS} columns at most, "
            "with the pipeline's own parameters and visits to the client",
        ],
        spent={"images": 2 * IMAGES + ROWS, "steps": recorded.steps},
    )


def _clean_words(training: Flow, least: float | None) -> str:
    if least is None:
        return (
            "one upload and one download: the weights are decrypted once, at the end, and nothing "
            f"is sent to the training server afterwards; none of {training.decrypted} decrypted "
            f"weights in the {training.messages} messages sent"
        )
    return (
        f"refreshed weights go back as fresh ciphertexts (noise deviation {least:.2f}): none of "
        f"{training.decrypted} decrypted weights in the {training.messages} messages sent"
    )


_LIMITS = [
    "values are searched for as doubles and as decimals: an encoded copy would not be found",
    "what a user does with revealed scores is outside the program",
]


def _flow_details(what: str, flow: Flow) -> list[Detail]:
    return [
        Detail(f"{what}: values decrypted", float(flow.decrypted)),
        Detail(f"{what}: sent to the server", float(flow.bytes), "bytes"),
        Detail(f"{what}: decrypted values in it", float(flow.clear_copies)),
        Detail(f"{what}: replies sent back", float(flow.sent_back)),
        Detail(f"{what}: ciphertexts sent twice", float(flow.repeated)),
    ]


CHECK = Decryptions()

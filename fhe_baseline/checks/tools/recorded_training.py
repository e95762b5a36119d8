"""A whole training on ciphertexts, recorded: what crossed, and the noise of fresh encryptions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ServerHandle
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float64Array, Message, Side
from he_compare.fhe_baseline.checks.tools.recording import Recorder, encryption_noise
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import ahead_shape
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps
from he_compare.fhe_baseline.encrypted_training_parameters import FHE_TRAIN

INTERVAL = 12.0
MOST_STEPS = 3
# Made and sent before anything is encrypted, and large: not searched for decrypted values.
KEY_VERB = "key"


@dataclass(frozen=True)
class Recorded:
    """A training as the boundary saw it. ``weights``: decrypted after each stretch of steps.

    ``state_noise``: deviation of what each refreshed state holds beside the decrypted weights;
    empty where nothing is refreshed.
    """

    sent: list[Message]
    received: list[Message]
    weights: list[Float64Array]
    state_noise: list[float]
    steps: int


def record_training(problem: Problem, protocol: Circuit) -> Recorded:
    """Train at a server process of its own, every message recorded.

    ``protocol``: whose parameters and refreshes are followed, with at most ``MOST_STEPS`` steps.
    """
    count = min(MOST_STEPS, len(protocol.steps))
    circuit = problem.circuit(
        protocol.parameters,
        plain_steps(count, problem.safe_length(), fit_sigmoid(protocol.degree, INTERVAL)),
        refreshes=min(protocol.refreshes, count - 1),
        allow_insecure=True,
    )
    recorders: list[Recorder] = []

    def start(material: bytes) -> ServerHandle:
        clock = Clock(Side.CLIENT)
        recorders.append(Recorder(ServerProcess(FHE_TRAIN, material, clock, threads=1)))
        return recorders[-1]

    session = CkksTraining(circuit, problem, start, Clock(Side.CLIENT), _silent)
    outcome = session.run(0)
    (recorder,) = recorders
    weights = [one.weights for one in outcome.rounds]
    return Recorded(
        sent=[
            message
            for verb, call in zip(recorder.verbs, recorder.sent, strict=True)
            for message in call
            if verb != KEY_VERB
        ],
        received=[message for call in recorder.received for message in call],
        weights=weights,
        state_noise=_state_noise(session, recorder, weights),
        steps=count,
    )


def _silent(what: str, done: int, total: int) -> None:
    """Draw nothing: the audit shows its own progress."""


def _state_noise(
    session: CkksTraining, recorder: Recorder, weights: list[Float64Array]
) -> list[float]:
    """Return the noise of every V that was sent after a decryption, by the owner's own key.

    Without momentum V is the decrypted W.
    """
    client, circuit = session._client, session._circuit
    calls = recorder.sent[-len(circuit.stretches) :]
    found = []
    for number, (state, decrypted) in enumerate(zip(calls[1:], weights, strict=False), start=1):
        shape = ahead_shape(circuit, number, 0)
        for place, message in enumerate(state[1:]):
            noise = encryption_noise(
                circuit.context,
                client._keys.secret_key(),
                shape.load(message, "state"),
                circuit.layout.spread_weights(decrypted[circuit.classifiers_of(place)]).tolist(),
            )
            found.append(float(np.std(noise)))
    return found

"""A whole training on ciphertexts, recorded: what crossed, and the noise of fresh encryptions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ServerHandle
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float64Array, Message, Side
from he_compare.fhe_baseline.checks.tools.recording import Recorder, encryption_noise
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.messages import ahead_shape, weights_shape
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.pipelines import fhe_train

INTERVAL = 12.0


@dataclass(frozen=True)
class Recorded:
    """A training as the boundary saw it. ``weights``: decrypted after each round.

    ``state_noise``: deviation of what each state ciphertext holds beside the decrypted weights.
    """

    sent: list[Message]
    received: list[Message]
    weights: list[Float64Array]
    state_noise: list[float]


def record_training(problem: Problem, parameters: CkksParameters, iterations: int) -> Recorded:
    """Train at a server process of its own, every message recorded."""
    circuit = problem.circuit(parameters, fit_sigmoid(3, INTERVAL), allow_insecure=True)
    recorders: list[Recorder] = []

    def start(material: bytes) -> ServerHandle:
        clock = Clock(Side.CLIENT)
        recorders.append(Recorder(ServerProcess(fhe_train.NAME, material, clock, threads=1)))
        return recorders[-1]

    session = CkksTraining(circuit, problem, start, Clock(Side.CLIENT), _silent)
    outcome = session.run(iterations, 0)
    (recorder,) = recorders
    weights = [one.weights for one in outcome.rounds]
    return Recorded(
        sent=[message for call in recorder.sent for message in call],
        received=[message for call in recorder.received for message in call],
        weights=weights,
        state_noise=_state_noise(session, recorder, weights),
    )


def _silent(what: str, done: int, total: int) -> None:
    """Draw nothing: the audit shows its own progress."""


def _state_noise(
    session: CkksTraining, recorder: Recorder, weights: list[Float64Array]
) -> list[float]:
    """Return the noise of every W that was sent after a decryption, by the owner's own key."""
    client, circuit = session._client, session._circuit
    rounds = [call for call in recorder.sent if len(call) == 1 + 2 * circuit.classifiers][
        -len(weights) :
    ]
    shapes: tuple[CiphertextShape, CiphertextShape] = (
        ahead_shape(circuit, 0),
        weights_shape(circuit),
    )
    found = []
    for state, decrypted in zip(rounds[1:], weights, strict=False):
        for message, row in zip(state[1 + circuit.classifiers :], decrypted, strict=True):
            noise = encryption_noise(
                circuit.context,
                client._keys.secret_key(),
                shapes[1].load(message, "state"),
                circuit.layout.spread_weights(row).tolist(),
            )
            found.append(float(np.std(noise)))
    return found

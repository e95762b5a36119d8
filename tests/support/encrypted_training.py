"""Small encrypted trainings for tests: a ring too small for security, a server in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ServerHandle
from he_compare.common.errors import CompareError, ServiceError
from he_compare.common.types import Float64Array, IntArray, Message, Side
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, training_set
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import TwinStep, run_twin
from he_compare.fhe_baseline.ckks.training.problem import Problem, make_problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining, CkksTrainingOutcome
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import nesterov_steps, plain_steps

SMALL = training_set("n1024-insecure")
THREE_STEPS = CkksParameters(1024, (44, *[30] * 9, 50), 30)
DEEP = CkksParameters(1024, (44, *[30] * 5, 50), 30)
THREE_DEEP_STEPS = CkksParameters(1024, (44, *[30] * 11, 50), 30)

Start = Callable[[bytes], ServerHandle]


def dying_servers(*servers_die_at: tuple[int, ...]) -> tuple[list[LocalServer], Start]:
    """Return a list that fills with servers as they are started, and what starts them.

    ``servers_die_at``: of the first, the second ...; those after them live.
    """
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        number = len(servers)
        dies_at = servers_die_at[number] if number < len(servers_die_at) else ()
        servers.append(LocalServer(material, dies_at))
        return servers[-1]

    return servers, start


@dataclass
class LocalServer:
    """A training server without a process; fails before the calls numbered in ``dies_at``.

    It answers the call after; give two numbers in a row for a server that is gone.
    """

    material: bytes
    dies_at: tuple[int, ...] = ()
    pid: int = 0
    calls: list[list[Message]] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._server = CkksTrainingServer(self.material)

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer as the service would: what the server refuses is a ServiceError."""
        self.verbs.append(verb)
        if len(self.verbs) in self.dies_at:
            raise ServiceError("server process went away")
        self.calls.append(messages)
        at_server = Clock(Side.SERVER)
        try:
            replies: list[Message] = getattr(self._server, verb)(messages, at_server)
        except CompareError as error:
            raise ServiceError(f"refused: {error}") from None
        clock.absorb(at_server)
        return replies

    @property
    def sent(self) -> list[Message]:
        """Every message that arrived."""
        return [message for call in self.calls for message in call]

    def close(self) -> None:
        self.closed = True
        self._server.close()


def separable(rows: int, width: int, classes: int, seed: int = 0) -> tuple[Float64Array, IntArray]:
    """Standardised features (rows, width) whose mean depends on the label; labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int64) % classes
    centres = generator.normal(size=(classes, width)) * 2 / np.sqrt(width)
    features = generator.normal(size=(rows, width)) + centres[labels]
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return np.clip(features, -8, 8), labels


def small_task(
    rows: int,
    width: int,
    classes: int = 2,
    *,
    steps: int = 3,
    refreshes: int = 0,
    parameters: CkksParameters = THREE_STEPS,
    degree: int = 3,
    inverse_l2: float = 0.1,
    batches: int = 1,
    momentum: bool = False,
    doublings: int = 2,
    interval: float = 12,
) -> tuple[Circuit, Problem]:
    """A problem on separable features and its circuit in an insecure ring."""
    features, labels = separable(rows, width, classes)
    problem = make_problem(features, labels, classes, inverse_l2, balanced=True)
    make = nesterov_steps if momentum else plain_steps
    length = problem.safe_length(max(1, batches))
    circuit = problem.circuit(
        parameters,
        make(steps, length, fit_sigmoid(degree, interval)),
        refreshes=refreshes,
        batches=batches,
        doublings=doublings,
        allow_insecure=True,
    )
    return circuit, problem


def train(
    circuit: Circuit,
    problem: Problem,
    start: Start = LocalServer,
    restarts: int = 0,
    processes: int = 1,
) -> CkksTrainingOutcome:
    """Run the whole protocol."""
    session = CkksTraining(circuit, problem, start, Clock(Side.CLIENT), processes=processes)
    return session.run(restarts)


def twin_of(circuit: Circuit, problem: Problem) -> list[TwinStep]:
    """The clear twin of a circuit."""
    return run_twin(problem, circuit.steps, circuit.batches)

"""The training protocol: upload once, then rounds of iterations with a refresh in between.

The client holds the weights of the last refresh. When the server goes away, another one is started,
gets the data anew and goes on from there: nothing but the interrupted round is computed twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ServerHandle
from he_compare.common.errors import ServiceError
from he_compare.common.types import Float64Array, Message, Per, Side, Stage
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.memory import require_memory
from he_compare.fhe_baseline.ckks.training.messages import pack_round
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material

# Uploads are sent in bodies of about this size, so that neither side holds all of it twice.
BODY_BYTES = 1 << 24

StartServer = Callable[[bytes], ServerHandle]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Round:
    """Where a refresh found the weights: W (classifiers, columns) after ``iteration``."""

    iteration: int
    weights: Float64Array
    seconds: float
    server_seconds: float


@dataclass
class CkksTrainingOutcome:
    """What a training ended with, and what it cost in payload bytes (without keys)."""

    rounds: list[Round] = field(default_factory=list)
    public_bytes: int = 0
    data_bytes: int = 0
    refresh_upload_bytes: int = 0
    refresh_download_bytes: int = 0
    upload_seconds: float = 0.0
    resumed: list[int] = field(default_factory=list)

    @property
    def weights(self) -> Float64Array:
        """W after the last iteration."""
        return self.rounds[-1].weights


class CkksTraining:
    """One training of one problem at one server after another."""

    def __init__(
        self,
        circuit: Circuit,
        problem: Problem,
        start_server: StartServer,
        clock: Clock,
        report: Report = lambda what, done, total: None,
        processes: int = 1,
    ) -> None:
        require_memory(circuit)
        self._circuit = circuit
        self._problem = problem
        self._start_server = start_server
        self._clock = clock
        self._report = report
        with clock.stage(Stage.KEYGEN, per=Per.KEY):
            self._client = CkksTrainingClient(circuit)
            self._material = pack_material(circuit, self._client.public_arrays(), processes)

    @property
    def public_material(self) -> bytes:
        """What the server is started with."""
        return self._material

    def run(self, iterations: int, restarts: int) -> CkksTrainingOutcome:
        """Train from zero weights; ``restarts``: how many lost servers to replace.

        Raises ServiceError when one more is lost, MessageError on replies that are no weights.
        """
        outcome = CkksTrainingOutcome(public_bytes=len(self._material))
        ahead = weights = np.zeros((self._circuit.classifiers, self._circuit.columns))
        done, server = 0, None
        try:
            while done < iterations:
                try:
                    server = server or self._connect(outcome)
                    count = min(self._circuit.per_round, iterations - done)
                    ahead, weights = self._round(server, done, count, ahead, weights, outcome)
                except ServiceError:
                    if len(outcome.resumed) >= restarts:
                        raise
                    outcome.resumed.append(done)
                    if server:
                        server.close()
                    server = None
                    continue
                done += count
                self._report("encrypted iterations", done, iterations)
        finally:
            if server:
                server.close()
        return outcome

    def _connect(self, outcome: CkksTrainingOutcome) -> ServerHandle:
        """Start a server and upload the data."""
        start = time.perf_counter()
        server = self._start_server(self._material)
        try:
            outcome.data_bytes = self._upload(server)
        except BaseException:
            server.close()
            raise
        outcome.upload_seconds = time.perf_counter() - start
        return server

    def _upload(self, server: ServerHandle) -> int:
        total = 0
        uploads = self._client.uploads(self._problem)
        while True:
            body: list[Message] = []
            with self._clock.stage(Stage.ENCRYPT):
                while sum(map(len, body)) < BODY_BYTES and (upload := next(uploads, None)):
                    body.append(upload)
            if not body:
                return total
            server.call("add", body, self._clock)
            total += sum(map(len, body))

    def _round(
        self,
        server: ServerHandle,
        done: int,
        count: int,
        ahead: Float64Array,
        weights: Float64Array,
        outcome: CkksTrainingOutcome,
    ) -> tuple[Float64Array, Float64Array]:
        """Encrypt V and W, have the server iterate, decrypt both; the ends are one refresh."""
        start = time.perf_counter()
        with self._clock.stage(Stage.REFRESH, items=count):
            state = self._client.encrypt_state(ahead, weights)
        there = Clock(Side.CLIENT)
        header = pack_round(done + 1, count)
        replies = server.call("iterate", [header, *state], there)
        self._clock.absorb(there)
        with self._clock.stage(Stage.REFRESH, items=count):
            ahead, weights = self._client.decrypt_state(replies)
        outcome.refresh_upload_bytes += len(header) + sum(map(len, state))
        outcome.refresh_download_bytes += sum(map(len, replies))
        outcome.rounds.append(
            Round(done + count, weights, time.perf_counter() - start, there.total(Side.SERVER))
        )
        return ahead, weights

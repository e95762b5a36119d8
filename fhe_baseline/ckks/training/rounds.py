"""The training protocol: upload once, then stretches of steps, with a refresh between two of them.

Without refreshes there is one stretch: keys and data go up, weights come down. The client holds the
weights of the last refresh. When the server goes away, another one is started, gets keys and data
anew and goes on from there. When a call fails and the server is still there, what it has not
received is sent again, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import MeasuredServer, ServerHandle
from he_compare.common.errors import (
    MessageError,
    ServerReplacedError,
    ServiceError,
    ServiceTimeoutError,
)
from he_compare.common.types import Float64Array, Message, Per, Side, Stage
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
from he_compare.fhe_baseline.ckks.training.memory import (
    BODY_BYTES,
    GrowthOfThisProcess,
    require_memory,
)
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    addresses,
    pack_header,
    unpack_missing,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material

StartServer = Callable[[bytes], ServerHandle]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Round:
    """Where the client found the weights: W (classifiers, columns) after ``iteration`` steps."""

    iteration: int
    weights: Float64Array
    seconds: float
    server_seconds: float


@dataclass
class Transfer:
    """What sending something cost: payload bytes, and seconds with making it."""

    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Kind:
    """A kind of upload: the server's verb, how progress tells it, and how it is timed."""

    verb: str
    told: str
    stage: Stage
    per: Per


_KEYS = _Kind("key", "evaluation keys sent", Stage.KEYGEN, Per.KEY)
_DATA = _Kind("add", "encrypted data sent", Stage.ENCRYPT, Per.BATCH)


@dataclass
class CkksTrainingOutcome:
    """What a training ended with, and what it cost in payload bytes and seconds, repeats included.

    ``resumed``: steps done when a lost server was replaced. ``uploads_resumed``: how often an
    upload was interrupted and what was missing sent again. ``server_processes``: how many the last
    server had when it ended, as it counted them itself; None where that was not told.
    """

    rounds: list[Round] = field(default_factory=list)
    circuit_bytes: int = 0
    keys: Transfer = field(default_factory=Transfer)
    data: Transfer = field(default_factory=Transfer)
    refresh_upload_bytes: int = 0
    refresh_download_bytes: int = 0
    weights_bytes: int = 0
    resumed: list[int] = field(default_factory=list)
    uploads_resumed: int = 0
    client_peak_bytes: int | None = None
    server_peak_bytes: int | None = None
    server_processes: int | None = None

    @property
    def weights(self) -> Float64Array:
        """W after the last step."""
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
        require_memory(circuit, processes)
        self._growth = GrowthOfThisProcess()
        self._circuit = circuit
        self._problem = problem
        self._start_server = start_server
        self._clock = clock
        self._report = report
        self._material = pack_material(circuit, processes)
        with clock.stage(Stage.KEYGEN, per=Per.KEY):
            self._client = CkksTrainingClient(circuit)

    @property
    def public_material(self) -> bytes:
        """What the server is started with."""
        return self._material

    def run(self, restarts: int) -> CkksTrainingOutcome:
        """Train from zero weights; ``restarts``: how many failures of a server to survive.

        Raises ServiceError when there is one more, or when the server does not answer in time;
        MessageError on replies that are no weights.
        """
        outcome = CkksTrainingOutcome(circuit_bytes=len(self._material))
        zeros = np.zeros((self._circuit.classifiers, self._circuit.columns))
        state = zeros, zeros
        server: ServerHandle | None = None
        try:
            while len(outcome.rounds) < len(self._circuit.stretches):
                number = len(outcome.rounds)
                done = self._circuit.stretches[number].first
                try:
                    if server is None:
                        server = self._start_server(self._material)
                        self._send_all(server, outcome)
                    self._report("encrypted steps", done, self._total)
                    state = self._stretch(server, number, *state, outcome)
                except ServiceTimeoutError:
                    raise  # another attempt would take as long
                except ServiceError as error:
                    if len(outcome.resumed) + outcome.uploads_resumed >= restarts:
                        raise
                    replaced = isinstance(error, ServerReplacedError)
                    server = self._recovered(server, done, outcome, replaced=replaced)
                    continue
                self._report("encrypted steps", outcome.rounds[-1].iteration, self._total)
        finally:
            outcome.client_peak_bytes = self._growth.bytes()
            if server:
                _measure(server, outcome)
                server.close()
        return outcome

    @property
    def _total(self) -> int:
        return len(self._circuit.steps)

    def _recovered(
        self,
        server: ServerHandle | None,
        done: int,
        outcome: CkksTrainingOutcome,
        *,
        replaced: bool,
    ) -> ServerHandle | None:
        """Complete the upload of a server that is still there; close one that is not.

        ``replaced``: another process answers for it, which misses all that was uploaded.
        """
        if server is not None:
            try:
                self._send_all(server, outcome, *self._missing(server))
                if replaced:
                    outcome.resumed.append(done)
                else:
                    outcome.uploads_resumed += 1
                return server
            except (ServiceError, MessageError):
                server.close()
        outcome.resumed.append(done)
        return None

    def _missing(self, server: ServerHandle) -> tuple[set[int], set[Address]]:
        answers = server.call("missing", [], self._clock)
        if len(answers) != 1:
            raise MessageError(f"{len(answers)} answers to what is missing, expected one")
        return unpack_missing(answers[0])

    def _send_all(
        self,
        server: ServerHandle,
        outcome: CkksTrainingOutcome,
        keys: set[int] | None = None,
        data: set[Address] | None = None,
    ) -> None:
        """Upload keys and data; those named alone where some are there already."""
        parts = len(key_elements(self._circuit) if keys is None else keys)
        self._transfer(server, _KEYS, self._client.keys(keys), parts, outcome.keys)
        parts = sum(1 for _ in addresses(self._circuit)) if data is None else len(data)
        uploads = self._client.uploads(self._problem, data)
        self._transfer(server, _DATA, uploads, parts, outcome.data)

    def _transfer(
        self,
        server: ServerHandle,
        kind: _Kind,
        messages: Iterable[Message],
        parts: int,
        cost: Transfer,
    ) -> None:
        """Send messages in bodies, each made while it is filled; add up what that costs."""
        begun, sent = time.perf_counter(), 0
        try:
            for body in self._bodies(messages, kind):
                server.call(kind.verb, body, self._clock)
                cost.bytes += sum(map(len, body))
                sent += len(body)
                self._report(kind.told, sent, parts)
        finally:
            cost.seconds += time.perf_counter() - begun

    def _bodies(self, messages: Iterable[Message], kind: _Kind) -> Iterator[list[Message]]:
        """Yield messages in bodies of about BODY_BYTES."""
        left = iter(messages)
        while True:
            body: list[Message] = []
            with self._clock.stage(kind.stage, per=kind.per):
                while sum(map(len, body)) < BODY_BYTES and (message := next(left, None)):
                    body.append(message)
            if not body:
                return
            yield body

    def _stretch(
        self,
        server: ServerHandle,
        number: int,
        ahead: Float64Array,
        weights: Float64Array,
        outcome: CkksTrainingOutcome,
    ) -> tuple[Float64Array, Float64Array]:
        """Have the server run a stretch; return V and W for the next one."""
        start = time.perf_counter()
        stretch = self._circuit.stretches[number]
        # The first stretch begins from zero: nothing is encrypted for it. What the last one gives
        # is the model: that is decrypted, and not encrypted again.
        ends = stretch.end == self._total
        with self._clock.stage(Stage.REFRESH if number else Stage.ENCRYPT, items=stretch.count):
            state = self._client.encrypt_state(number, ahead, weights)
        there = Clock(Side.CLIENT)
        header = pack_header(number)
        replies = server.call("train", [header, *state], there)
        self._clock.absorb(there)
        with self._clock.stage(Stage.DECRYPT if ends else Stage.REFRESH, items=stretch.count):
            last, before = self._client.decrypt_state(number, replies)
        received = sum(map(len, replies))
        if ends:
            outcome.weights_bytes += received
        else:
            outcome.refresh_download_bytes += received
        outcome.refresh_upload_bytes += sum(map(len, state))
        seconds = time.perf_counter() - start
        outcome.rounds.append(Round(stretch.end, last, seconds, there.total(Side.SERVER)))
        momentum = self._circuit.steps[stretch.end - 1].momentum
        return last + momentum * (last - (weights if before is None else before)), last


def _measure(server: ServerHandle, outcome: CkksTrainingOutcome) -> None:
    """Ask a server for its memory and its processes before it is closed, where it can tell."""
    if isinstance(server, MeasuredServer):
        outcome.server_peak_bytes = server.measure_peak()
        outcome.server_processes = server.processes

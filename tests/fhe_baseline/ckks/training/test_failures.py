"""Failures while training: an upload is resumed, a lost server replaced, a dead worker noticed."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, MessageError, ServiceError
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Message, Side
from he_compare.fhe_baseline.ckks.training import rounds
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import relative_difference
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient
from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
from he_compare.fhe_baseline.ckks.training.messages import addresses, pack_header
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from he_compare.fhe_baseline.ckks.training.shares import useful_processes
from tests.support.encrypted_training import (
    LocalServer,
    dying_servers,
    small_task,
    train,
    twin_of,
)

CLOCK = Clock(Side.SERVER)


def task() -> tuple[Circuit, Problem]:
    return small_task(300, 12)


@pytest.fixture
def one_part_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BODY_BYTES", 1)


@pytest.mark.usefixtures("one_part_a_body")
@pytest.mark.parametrize("fails_at", [1, 3, -1])
def test_an_interrupted_upload_is_resumed_with_what_is_missing_and_nothing_else(
    fails_at: int,
) -> None:
    circuit, problem = task()
    total = len(key_elements(circuit)) + len(list(addresses(circuit)))
    call = fails_at if fails_at > 0 else total
    servers, start = dying_servers((call,))
    outcome = train(circuit, problem, start, restarts=1)
    (server,) = servers
    assert (outcome.uploads_resumed, outcome.resumed) == (1, [])
    assert server.verbs.count("key") + server.verbs.count("add") == total + 1
    assert server.verbs[call] == "missing"
    assert len(server.calls) == total + 2  # each part once, "missing" and "train"
    assert relative_difference(outcome.weights, twin_of(circuit, problem)[-1].weights) < 1e-4
    uploads = CkksTrainingClient(circuit).uploads(problem)
    assert outcome.data.bytes == pytest.approx(sum(map(len, uploads)), rel=0.01)


@pytest.mark.parametrize("died", [(1, 2), (2, 3), (3, 4)])
def test_a_server_that_dies_costs_one_more_upload_and_nothing_else(died: tuple[int, ...]) -> None:
    """While keys go up, while data does, and while it trains."""
    circuit, problem = task()
    servers, start = dying_servers(died)
    outcome = train(circuit, problem, start, restarts=1)
    assert outcome.resumed == [0]
    assert servers[1].verbs == ["key", "add", "train"]
    assert all(server.closed for server in servers)
    assert relative_difference(outcome.weights, twin_of(circuit, problem)[-1].weights) < 1e-4


def test_a_server_that_dies_between_refreshes_costs_only_the_stretch_it_was_in() -> None:
    circuit, problem = small_task(300, 7, steps=7, refreshes=3, momentum=True, batches=3)
    servers, start = dying_servers((5, 6))  # key, add, train, train, train
    outcome = train(circuit, problem, start, restarts=1)
    twin = twin_of(circuit, problem)
    assert outcome.resumed == [circuit.stretches[2].first]
    assert [one.iteration for one in outcome.rounds] == [s.end for s in circuit.stretches]
    assert servers[0].verbs == ["key", "add", "train", "train", "train", "missing"]
    assert servers[1].verbs == ["key", "add", "train", "train"]
    for one in outcome.rounds:
        assert relative_difference(one.weights, twin[one.iteration - 1].weights) < 1e-4


def test_a_stretch_that_fails_once_is_asked_for_again_at_the_same_server() -> None:
    circuit, problem = task()
    servers, start = dying_servers((3,))
    outcome = train(circuit, problem, start, restarts=1)
    assert servers[0].verbs == ["key", "add", "train", "missing", "train"]
    assert (len(servers), outcome.uploads_resumed) == (1, 1)


@pytest.mark.parametrize(
    ("restarts", "deaths"), [(0, [(2,)]), (1, [(1, 2), (1, 2)]), (2, [(3, 5, 7)])]
)
def test_more_failures_than_restarts_end_with_the_servers_error(
    restarts: int, deaths: list[tuple[int, ...]]
) -> None:
    circuit, problem = task()
    servers, start = dying_servers(*deaths)
    with pytest.raises(ServiceError, match="went away"):
        train(circuit, problem, start, restarts=restarts)
    assert all(server.closed for server in servers)


def test_a_server_that_does_not_start_counts_as_a_failure() -> None:
    (circuit, problem), started = task(), []

    def start(material: bytes) -> LocalServer:
        started.append(material)
        if len(started) == 1:
            raise ServiceError("did not start")
        return LocalServer(material)

    assert train(circuit, problem, start, restarts=1).resumed == [0]
    started.clear()
    with pytest.raises(ServiceError, match="did not start"):
        train(circuit, problem, start, restarts=0)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [b""],
        [b"null"],
        [b"{}", b"{}"],
        [b'{"keys": [Infinity], "data": []}'],
        [b'{"keys": [], "data": [["features"]]}'],
        [b'{"keys": [], "data": [["nothing", 0, 0]]}'],
        [b"[" * 100_000],
    ],
)
def test_a_server_that_answers_nonsense_about_what_is_missing_is_replaced(
    answer: list[bytes],
) -> None:
    circuit, problem = task()

    @dataclass
    class Babbling(LocalServer):
        def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
            return answer if verb == "missing" else super().call(verb, messages, clock)

    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        servers.append(LocalServer(material) if servers else Babbling(material, dies_at=(2,)))
        return servers[-1]

    outcome = train(circuit, problem, start, restarts=1)
    assert outcome.resumed == [0]
    assert len(servers) == 2


@pytest.mark.parametrize("gone", ["pid", "front_pid"])
def test_a_server_process_that_is_killed_is_replaced_by_another_one(gone: str) -> None:
    """A child is replaced by its front, a front by the client."""
    circuit, problem = small_task(100, 5, steps=4, refreshes=3)
    clock = Clock(Side.CLIENT)
    servers: list[ServerProcess] = []
    killed: list[int] = []

    def start(material: bytes) -> ServerProcess:
        servers.append(ServerProcess("fhe-train", material, clock, threads=1))
        return servers[-1]

    def kill_after_two(what: str, done: int, total: int) -> None:
        if (what, done, total) == ("encrypted steps", 2, 4) and not killed:
            killed.append(servers[0].pid)
            os.kill(getattr(servers[0], gone), signal.SIGKILL)

    outcome = CkksTraining(circuit, problem, start, clock, kill_after_two).run(restarts=1)
    assert len(servers) == (1 if gone == "pid" else 2)
    assert outcome.resumed == [2]
    assert relative_difference(outcome.weights, twin_of(circuit, problem)[-1].weights) < 1e-4
    assert outcome.server_peak_bytes is None or outcome.server_peak_bytes > 10_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux shows them")
def test_processes_are_counted_where_they_run() -> None:
    circuit, problem = small_task(300, 30)
    useful = useful_processes(circuit, 3)
    assert useful > 1
    clock = Clock(Side.CLIENT)

    def start(material: bytes) -> ServerProcess:
        return ServerProcess("fhe-train", material, clock, threads=1)

    for asked, counted in ((1, 1), (3, useful)):
        outcome = CkksTraining(circuit, problem, start, clock, processes=asked).run(restarts=0)
        assert outcome.server_processes == counted


def killed_worker(server: CkksTrainingServer) -> None:
    _, worker = server._pool._begun()[0]
    worker.kill()
    worker.wait()


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("rows", [300, 1300])
def test_a_worker_that_dies_is_an_error_and_no_wrong_answer(rows: int, processes: int) -> None:
    circuit, problem = small_task(rows, 30)
    client = CkksTrainingClient(circuit)
    server = CkksTrainingServer(pack_material(circuit, processes))
    server.key(list(client.keys()), CLOCK)
    server.add(list(client.uploads(problem)), CLOCK)
    killed_worker(server)
    for _ in range(2):
        with pytest.raises(CellError, match="a worker of the training server ended"):
            server.train([pack_header(0)], CLOCK)
    with pytest.raises(CellError, match="a worker of the training server ended"):
        server.missing([], CLOCK)
    server.close()


def test_a_server_whose_worker_died_is_replaced() -> None:
    circuit, problem = small_task(300, 30)
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        servers.append(LocalServer(material))
        if len(servers) == 1:
            killed_worker(servers[0]._server)
        return servers[-1]

    outcome = train(circuit, problem, start, restarts=1, processes=2)
    assert (len(servers), outcome.resumed) == (2, [0])
    assert relative_difference(outcome.weights, twin_of(circuit, problem)[-1].weights) < 1e-4


def test_an_answer_of_a_step_that_failed_is_never_taken_for_another_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    circuit, problem = small_task(1300, 7)
    client = CkksTrainingClient(circuit)
    server = CkksTrainingServer(pack_material(circuit, 2))
    server.key(list(client.keys()), CLOCK)
    server.add(list(client.uploads(problem)), CLOCK)

    def fail(*_: Any) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(server._gradients, "partial_gradient", fail)
        with pytest.raises((CellError, MessageError)):
            server.train([pack_header(0)], CLOCK)
    with pytest.raises(CellError, match="failed half way"):
        server.train([pack_header(0)], CLOCK)
    server.close()

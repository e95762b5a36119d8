"""Training on ciphertexts follows its clear twin, survives a lost server and refuses bad input."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, DataError, ServiceError, UsageError
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Side, Stage
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, training_set
from he_compare.fhe_baseline.ckks.training import memory
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import (
    fit_optimum,
    loss,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient, rounded
from he_compare.fhe_baseline.ckks.training.messages import pack_round
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from tests.support.encrypted_training import (
    DEEP,
    SMALL,
    TWO_A_ROUND,
    LocalServer,
    separable,
    small_task,
    train,
)


@pytest.mark.parametrize(
    ("rows", "width", "classes"),
    [(60, 1, 2), (300, 7, 2), (512, 64, 2), (700, 12, 2), (1300, 33, 3), (200, 6, 11)],
)
def test_every_iteration_equals_the_clear_twins(rows: int, width: int, classes: int) -> None:
    circuit, problem = small_task(rows, width, classes)
    outcome = train(circuit, problem, 3)
    twin = run_twin(circuit, problem, 3)
    assert [one.iteration for one in outcome.rounds] == [1, 2, 3]
    assert circuit.layout.groups == -(-rows // 512)
    for one, clear in zip(outcome.rounds, twin, strict=True):
        assert one.weights.shape == (1 if classes == 2 else classes, width + 1)
        assert relative_difference(one.weights, clear.weights) < 2e-4


@pytest.mark.parametrize("degree", [5, 7])
def test_sigmoids_of_higher_degree_take_one_level_more(degree: int) -> None:
    circuit, problem = small_task(300, 9, parameters=DEEP, degree=degree)
    outcome = train(circuit, problem, 3)
    twin = run_twin(circuit, problem, 3)[-1]
    assert relative_difference(outcome.weights, twin.weights) < 5e-4
    with pytest.raises(UsageError, match="4 levels are too few"):
        small_task(300, 9, parameters=SMALL, degree=degree)


def test_two_iterations_between_refreshes_end_where_single_ones_do() -> None:
    circuit, problem = small_task(600, 9, 3, parameters=TWO_A_ROUND)
    outcome = train(circuit, problem, 5)
    twin = run_twin(circuit, problem, 5)
    assert [one.iteration for one in outcome.rounds] == [2, 4, 5]
    for one in outcome.rounds:
        assert relative_difference(one.weights, twin[one.iteration - 1].weights) < 2e-4


@pytest.mark.parametrize(("rows", "classes"), [(700, 2), (100, 3)])
@pytest.mark.parametrize("parameters", [SMALL, TWO_A_ROUND])
def test_two_processes_share_groups_or_classes_and_learn_the_same(
    rows: int, classes: int, parameters: CkksParameters
) -> None:
    circuit, problem = small_task(rows, 7, classes, parameters=parameters)
    outcome = train(circuit, problem, 2, processes=2)
    twin = run_twin(circuit, problem, 2)[-1]
    assert relative_difference(outcome.weights, twin.weights) < 2e-4


@pytest.mark.parametrize("processes", [1, 2])
def test_equal_uploads_give_equal_bytes_whatever_the_processes_race(processes: int) -> None:
    circuit, problem = small_task(700, 7)
    client = CkksTrainingClient(circuit)
    material = pack_material(circuit, client.public_arrays(), processes)
    uploads, zeros = list(client.uploads(problem)), np.zeros((1, 8))
    state = [pack_round(1, 1), *client.encrypt_state(zeros, zeros)]
    replies = []
    for _ in range(2):
        server = LocalServer(material)
        server.call("add", uploads, Clock(Side.CLIENT))
        replies.append(server.call("iterate", state, Clock(Side.CLIENT)))
        server.close()
    assert replies[0] == replies[1]


@pytest.mark.parametrize(
    ("rows", "classes", "batches", "parameters", "processes"),
    [
        (300, 2, 3, SMALL, 1),
        (301, 2, 2, SMALL, 1),  # the second batch has a row less
        (1300, 2, 2, TWO_A_ROUND, 2),  # two groups a batch, one for each process
        (100, 3, 2, SMALL, 2),
    ],
)
def test_mini_batches_are_taken_in_turn_as_by_the_clear_twin(
    rows: int, classes: int, batches: int, parameters: CkksParameters, processes: int
) -> None:
    circuit, problem = small_task(rows, 7, classes, parameters=parameters, batches=batches)
    outcome = train(circuit, problem, 5, processes=processes)
    twin, full = run_twin(circuit, problem, 5), small_task(rows, 7, classes)
    for one in outcome.rounds:
        assert relative_difference(one.weights, twin[one.iteration - 1].weights) < 2e-4
    assert relative_difference(outcome.weights, run_twin(*full, 5)[-1].weights) > 2e-3


def test_mini_batches_go_on_with_the_next_one_after_a_lost_server() -> None:
    circuit, problem = small_task(300, 7, batches=3)
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        servers.append(LocalServer(material, dies_at=() if servers else (4,)))
        return servers[-1]

    outcome = train(circuit, problem, 5, start, restarts=1)
    assert outcome.resumed == [2]
    twin = run_twin(circuit, problem, 5)[-1]
    assert relative_difference(outcome.weights, twin.weights) < 2e-4


def test_shuffled_mini_batches_learn_what_the_full_batch_does() -> None:
    features, labels = separable(600, 6, 2)
    order = np.argsort(labels, kind="stable")  # all of one class first, as datasets often are
    problem = make_problem(features[order], labels[order], 2, 0.1, balanced=True).shuffled(1)
    circuit = problem.circuit(SMALL, fit_sigmoid(3, 12), True, 2)
    assert circuit.layout.groups_per_batch == 1
    weights, optimum = train(circuit, problem, 14).weights, fit_optimum(problem)
    cosine = (weights * optimum).sum() / np.linalg.norm(weights) / np.linalg.norm(optimum)
    assert cosine > 0.98
    again = make_problem(features[order], labels[order], 2, 0.1, balanced=True).shuffled(1)
    np.testing.assert_array_equal(again.matrix, problem.matrix)


@pytest.mark.parametrize("batches", [0, 65, 61])
def test_numbers_of_batches_that_cannot_be_are_refused(batches: int) -> None:
    with pytest.raises(UsageError, match="batches are out of range"):
        small_task(60, 5, batches=batches)


def test_the_learned_head_agrees_with_scikit_learn() -> None:
    circuit, problem = small_task(400, 6)
    weights = train(circuit, problem, 12).weights
    optimum = fit_optimum(problem)
    cosine = (weights * optimum).sum() / np.linalg.norm(weights) / np.linalg.norm(optimum)
    assert cosine > 0.99
    decisions = [problem.matrix @ w[0] > 0 for w in (weights, optimum)]
    assert (decisions[0] == decisions[1]).mean() > 0.98
    assert loss(problem, optimum) <= loss(problem, weights) < loss(problem, 0 * weights)


def test_the_optimum_is_the_minimum_of_the_loss_that_is_recorded() -> None:
    _, problem = small_task(200, 5, 3)
    optimum = fit_optimum(problem)
    lowest = loss(problem, optimum)
    generator = np.random.default_rng(0)
    for _ in range(20):
        assert loss(problem, optimum + 0.01 * generator.normal(size=optimum.shape)) > lowest


def test_class_weights_are_folded_in_and_balance_an_unbalanced_task() -> None:
    features, _ = separable(200, 4, 2)
    labels = (np.arange(200) % 10 == 0).astype(np.int64)
    balanced = make_problem(features, labels, 2, 0.1, balanced=True)
    plain = make_problem(features, labels, 2, 0.1, balanced=False)
    assert (balanced.sample_weights * balanced.targets).sum() == pytest.approx(100)
    assert balanced.sample_weights.mean() == pytest.approx(1)
    assert (plain.sample_weights == 1).all()


def test_a_server_that_dies_costs_only_the_round_it_was_in() -> None:
    circuit, problem = small_task(300, 7)
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        # one call uploads, so the fourth is the third round
        servers.append(LocalServer(material, dies_at=() if servers else (4,)))
        return servers[-1]

    outcome = train(circuit, problem, 5, start, restarts=1)
    twin = run_twin(circuit, problem, 5)[-1]
    assert outcome.resumed == [2]
    assert [one.iteration for one in outcome.rounds] == [1, 2, 3, 4, 5]
    assert servers[0].verbs == ["add", "iterate", "iterate", "iterate"]
    assert servers[1].verbs == ["add", "iterate", "iterate", "iterate"]
    assert all(server.closed for server in servers)
    assert relative_difference(outcome.weights, twin.weights) < 1e-4


def test_a_server_process_that_is_killed_is_replaced_by_another_one() -> None:
    circuit, problem = small_task(100, 5)
    clock = Clock(Side.CLIENT)
    servers: list[ServerProcess] = []

    def start(material: bytes) -> ServerProcess:
        servers.append(ServerProcess("fhe-train", material, clock, threads=1))
        return servers[-1]

    def kill_after_two(what: str, done: int, total: int) -> None:
        if done == 2 and len(servers) == 1:
            os.kill(servers[0].pid, signal.SIGKILL)

    outcome = CkksTraining(circuit, problem, start, clock, kill_after_two).run(4, restarts=1)
    twin = run_twin(circuit, problem, 4)[-1]
    assert len(servers) == 2
    assert outcome.resumed == [2]
    assert relative_difference(outcome.weights, twin.weights) < 1e-4


def test_a_worker_that_dies_is_an_error_of_the_server_and_no_wrong_answer() -> None:
    circuit, problem = small_task(700, 7)
    client = CkksTrainingClient(circuit)
    server = CkksTrainingServer(pack_material(circuit, client.public_arrays(), 2))
    clock = Clock(Side.SERVER)
    server.add(list(client.uploads(problem)), clock)
    ((_, worker),) = server._pool._others
    worker.kill()
    worker.wait()
    zeros = np.zeros((1, 8))
    with pytest.raises(CellError, match="a worker of the training server ended"):
        server.iterate([pack_round(1, 1), *client.encrypt_state(zeros, zeros)], clock)
    server.close()


def test_a_server_that_dies_during_the_upload_is_replaced_too() -> None:
    circuit, problem = small_task(60, 2)
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        servers.append(LocalServer(material, dies_at=() if servers else (1,)))
        return servers[-1]

    outcome = train(circuit, problem, 2, start, restarts=1)
    assert outcome.resumed == [0]
    assert servers[0].closed


def test_more_losses_than_restarts_end_the_training_with_the_servers_error() -> None:
    circuit, problem = small_task(60, 2)
    with pytest.raises(ServiceError, match="went away"):
        train(circuit, problem, 2, lambda m: LocalServer(m, dies_at=(2,)), restarts=1)


def test_refreshes_are_timed_and_their_bytes_counted() -> None:
    circuit, problem = small_task(60, 5)
    clock = Clock(Side.CLIENT)
    server: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        server.append(LocalServer(material))
        return server[0]

    outcome = CkksTraining(circuit, problem, start, clock).run(3, 0)
    stages = {stage for stage, *_ in clock.samples}
    assert {Stage.KEYGEN, Stage.ENCRYPT, Stage.REFRESH, Stage.EVALUATE} <= stages
    sent = sum(map(len, server[0].sent))
    assert outcome.data_bytes + outcome.refresh_upload_bytes == sent
    assert outcome.refresh_download_bytes > 0
    assert outcome.public_bytes == len(server[0].material)


def test_two_trainings_of_the_same_data_send_other_bytes_and_learn_the_same() -> None:
    circuit, problem = small_task(60, 5)
    servers: list[LocalServer] = []

    def start(material: bytes) -> LocalServer:
        servers.append(LocalServer(material))
        return servers[-1]

    first, second = (train(circuit, problem, 2, start).weights for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert not set(servers[0].sent[:-1]) & {m for m in servers[1].sent if len(m) > 100}


def test_a_context_below_128_bits_is_refused_unless_it_is_asked_for() -> None:
    features, labels = separable(60, 4, 2)
    problem = make_problem(features, labels, 2, 0.1, balanced=True)
    circuit = problem.circuit(SMALL, fit_sigmoid(3, 12), allow_insecure=False)
    with pytest.raises(UsageError, match="below 128 bits"):
        train(circuit, problem, 1)


@pytest.mark.parametrize("name", ["n8192-214", "n8192-214-deep", "n16384-295", "n16384-402"])
def test_every_named_set_for_training_meets_128_bits_of_both_tables(name: str) -> None:
    from he_compare.fhe_baseline.ckks.parameters import verdict

    judged = verdict(training_set(name, 3))
    assert all(one.level is not None and one.level >= 128 for one in judged.values())


def test_features_wider_than_the_slots_are_refused() -> None:
    features = np.zeros((4, 1024))
    problem = make_problem(features, np.array([0, 1, 0, 1]), 2, 0.1, balanced=True)
    with pytest.raises(UsageError, match="do not fit into 512 slots"):
        problem.circuit(SMALL, fit_sigmoid(3, 12), allow_insecure=True)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [(np.nan, "NaN"), (np.inf, "NaN or infinite"), (9.0, "allowed, 8")],
)
def test_features_that_are_not_finite_or_too_large_are_refused(
    value: float, complaint: str
) -> None:
    features = np.zeros((4, 3))
    features[1, 1] = value
    with pytest.raises(DataError, match=complaint):
        make_problem(features, np.array([0, 1, 0, 1]), 2, 0.1, balanced=True)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (np.array(["a", "b", "a", "b"]), "not encoded"),
        (np.array([0.0, 1.0, 0.0, 1.0]), "not encoded"),
        (np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), "not encoded"),
        (np.array([1, 2, 1, 2]), "label 2 is not encoded as 0 to 1"),
        (np.array([0, 0, 0, 0]), "no training image of class number 1"),
    ],
)
def test_labels_that_are_not_encoded_are_refused(labels: np.ndarray, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        make_problem(np.zeros((4, 3)), labels, 2, 0.1, balanced=True)


def test_too_little_memory_is_told_with_the_figure_before_any_key_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    circuit, problem = small_task(60, 5)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000_000)
    with pytest.raises(CellError, match=r"holds 0\.16 GB at the server, 0\.10 GB are available"):
        train(circuit, problem, 1)


def test_the_memory_estimate_counts_diagonals_and_keys() -> None:
    features = np.zeros((4096, 255))
    labels = np.arange(4096) % 2
    problem = make_problem(features, labels, 2, 0.1, balanced=True)
    circuit = problem.circuit(training_set("auto", 3), fit_sigmoid(3, 12), False)
    data = 128 * 2 * (5 + 2) * 8192 * 8
    assert data < circuit.server_bytes() < 1.5 * data


def test_a_circuit_survives_its_json_and_refuses_what_is_not_one() -> None:
    circuit, _ = small_task(700, 12, 3)
    assert Circuit.from_json(circuit.to_json()) == circuit
    for text in ("[]", "{}", circuit.to_json().replace("700", '"700"')):
        with pytest.raises(ValueError, match=r"circuit|whole"):
            Circuit.from_json(text)
    for old, new in (('"rate": ', '"rate": -'), ('"classifiers": 3', '"classifiers": 2')):
        with pytest.raises(UsageError):
            Circuit.from_json(circuit.to_json().replace(old, new))


def test_logits_beyond_the_interval_are_counted() -> None:
    circuit, problem = small_task(300, 7)
    narrow = Circuit(
        circuit.parameters,
        circuit.rows,
        circuit.columns,
        1,
        fit_sigmoid(3, 0.5),
        circuit.rate,
        circuit.shrink,
        allow_insecure=True,
    )
    assert run_twin(circuit, problem, 3)[-1].outside == 0
    assert run_twin(narrow, problem, 3)[-1].outside > 0


def test_released_weights_keep_ten_bits_after_the_point() -> None:
    weights = np.array([0.123456789, -3.0001])
    np.testing.assert_array_equal(rounded(weights) * 1024, np.round(weights * 1024))


def test_parameters_with_too_few_primes_for_an_iteration_are_refused() -> None:
    with pytest.raises(UsageError, match="levels are too few"):
        small_task(60, 5, parameters=CkksParameters(1024, (44, 30, 30, 50), 30))

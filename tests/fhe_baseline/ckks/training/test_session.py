"""Training on ciphertexts follows its clear twin, from one upload and with refreshes."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.types import Side, Stage
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.clear_references import (
    fit_optimum,
    loss,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.client import CkksTrainingClient, rounded
from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
from he_compare.fhe_baseline.ckks.training.messages import addresses
from he_compare.fhe_baseline.ckks.training.problem import Problem, make_problem
from he_compare.fhe_baseline.ckks.training.public_material import pack_material
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining, CkksTrainingOutcome
from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer
from he_compare.fhe_baseline.ckks.training.shares import ProcessShare, units, useful_processes
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import Step, plain_steps
from tests.support.encrypted_training import (
    DEEP,
    SMALL,
    THREE_DEEP_STEPS,
    THREE_STEPS,
    LocalServer,
    dying_servers,
    separable,
    small_task,
    train,
    twin_of,
)

CLOSE = 1e-4


def assert_follows_twin(outcome: CkksTrainingOutcome, circuit: Circuit, problem: Problem) -> None:
    """Every set of weights that the client decrypted is its twin's."""
    twin = twin_of(circuit, problem)
    assert [one.iteration for one in outcome.rounds] == [s.end for s in circuit.stretches]
    for one in outcome.rounds:
        assert one.weights.shape == (circuit.classifiers, circuit.columns)
        assert relative_difference(one.weights, twin[one.iteration - 1].weights) < CLOSE


@pytest.mark.parametrize(
    ("rows", "width", "classes", "lanes", "groups"),
    [
        (60, 1, 2, 1, 1),
        (512, 7, 2, 1, 1),
        (700, 12, 2, 1, 2),
        (1300, 33, 3, 1, 3),
        (100, 5, 3, 4, 1),
        (120, 6, 5, 4, 1),
        (200, 6, 11, 2, 1),
        (30, 6, 11, 16, 1),
    ],
)
def test_one_upload_trains_any_number_of_classes_rows_and_columns(
    rows: int, width: int, classes: int, lanes: int, groups: int
) -> None:
    circuit, problem = small_task(rows, width, classes)
    assert (circuit.layout.lanes, circuit.layout.groups) == (lanes, groups)
    servers, start = dying_servers()
    outcome = train(circuit, problem, start)
    assert_follows_twin(outcome, circuit, problem)
    (server,) = servers
    assert server.verbs == ["key", "add", "train"]
    assert outcome.refresh_upload_bytes == outcome.refresh_download_bytes == 0
    assert outcome.weights_bytes > 0


@pytest.mark.parametrize(
    ("degree", "steps", "refreshes", "momentum"),
    [(5, 3, 0, False), (7, 3, 0, True), (5, 3, 2, True), (7, 3, 2, False), (7, 4, 1, True)],
)
def test_sigmoids_of_higher_degree_follow_their_twin_too(
    degree: int, steps: int, refreshes: int, momentum: bool
) -> None:
    parameters = DEEP if refreshes == 2 else THREE_DEEP_STEPS
    circuit, problem = small_task(
        300,
        9,
        3,
        steps=steps,
        refreshes=refreshes,
        degree=degree,
        momentum=momentum,
        parameters=parameters,
    )
    assert_follows_twin(train(circuit, problem), circuit, problem)
    cubic = run_twin(problem, plain_steps(steps, circuit.steps[0].length, fit_sigmoid(3, 12)))
    assert (
        relative_difference(cubic[-1].weights, twin_of(circuit, problem)[-1].weights) > 10 * CLOSE
    )


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize(
    ("steps", "refreshes", "counts"),
    [(1, 0, [1]), (3, 0, [3]), (5, 1, [3, 2]), (5, 2, [2, 2, 1]), (4, 3, [1, 1, 1, 1])],
)
def test_refreshes_end_where_one_upload_does(
    steps: int, refreshes: int, counts: list[int], momentum: bool
) -> None:
    circuit, problem = small_task(100, 7, 3, steps=steps, refreshes=refreshes, momentum=momentum)
    assert [stretch.count for stretch in circuit.stretches] == counts
    outcome = train(circuit, problem)
    assert_follows_twin(outcome, circuit, problem)
    assert (outcome.refresh_upload_bytes > 0) == bool(refreshes)
    assert (outcome.refresh_download_bytes > 0) == bool(refreshes)


def test_momentum_changes_what_is_learned() -> None:
    plain, problem = small_task(100, 7, steps=4, refreshes=1)
    accelerated, _ = small_task(100, 7, steps=4, refreshes=1, momentum=True)
    ends = [twin_of(circuit, problem)[-1].weights for circuit in (plain, accelerated)]
    assert relative_difference(*ends) > 0.05


def test_every_step_may_have_a_length_momentum_and_interval_of_its_own() -> None:
    _, problem = small_task(300, 7, 3)
    safe = problem.safe_length()
    steps = [
        Step(safe, 0.3, fit_sigmoid(3, 12)),
        Step(2 * safe, 0.5, fit_sigmoid(3, 7)),
        Step(0.7 * safe, 0.0, fit_sigmoid(3, 9)),
    ]
    circuit = problem.circuit(THREE_STEPS, steps, allow_insecure=True)
    assert_follows_twin(train(circuit, problem), circuit, problem)


def test_the_penalty_of_a_column_is_its_own() -> None:
    """Columns that share a slot have different penalties: none is mixed up with its neighbour."""
    features, labels = separable(200, 6, 2)
    uneven = np.array([0.001, 1.0, 0.3, 0.002, 0.5, 0.05])
    problem = make_problem(features, labels, 2, 0.1, True, uneven)
    steps = plain_steps(3, problem.safe_length(), fit_sigmoid(3, 12))
    circuit = problem.circuit(THREE_STEPS, steps, allow_insecure=True)
    assert_follows_twin(train(circuit, problem), circuit, problem)
    swapped = make_problem(features, labels, 2, 0.1, True, uneven[[1, 0, 3, 2, 5, 4]])
    other = run_twin(swapped, steps)[-1].weights
    assert relative_difference(other, twin_of(circuit, problem)[-1].weights) > 0.01


@pytest.mark.parametrize(
    ("rows", "classes", "batches", "refreshes", "processes"),
    [
        (300, 2, 3, 1, 1),
        (301, 2, 2, 1, 1),  # the second batch has a row less
        (1300, 2, 2, 1, 2),  # two groups a batch, one for each process
        (100, 3, 2, 1, 2),
        (300, 2, 3, 0, 1),
        (300, 2, 3, 4, 1),
    ],
)
def test_mini_batches_are_taken_in_turn_as_by_the_clear_twin(
    rows: int, classes: int, batches: int, refreshes: int, processes: int
) -> None:
    steps = 5 if refreshes else 3
    circuit, problem = small_task(
        rows, 7, classes, batches=batches, steps=steps, refreshes=refreshes
    )
    outcome = train(circuit, problem, processes=processes)
    assert_follows_twin(outcome, circuit, problem)
    full = run_twin(problem, circuit.steps)
    assert relative_difference(outcome.weights, full[-1].weights) > 2e-3


def test_shuffled_mini_batches_learn_what_the_full_batch_does() -> None:
    features, labels = separable(600, 6, 2)
    order = np.argsort(labels, kind="stable")  # all of one class first, as datasets often are
    problem = make_problem(features[order], labels[order], 2, 0.1, balanced=True).shuffled(1)
    steps = plain_steps(14, problem.safe_length(2), fit_sigmoid(3, 12))
    circuit = problem.circuit(SMALL, steps, refreshes=13, batches=2, allow_insecure=True)
    assert circuit.layout.groups_per_batch == 1
    weights, optimum = train(circuit, problem).weights, fit_optimum(problem)
    cosine = (weights * optimum).sum() / np.linalg.norm(weights) / np.linalg.norm(optimum)
    assert cosine > 0.98
    again = make_problem(features[order], labels[order], 2, 0.1, balanced=True).shuffled(1)
    np.testing.assert_array_equal(again.matrix, problem.matrix)


def test_the_learned_head_agrees_with_scikit_learn() -> None:
    circuit, problem = small_task(400, 6, steps=12, refreshes=5)
    weights = train(circuit, problem).weights
    optimum = fit_optimum(problem)
    cosine = (weights * optimum).sum() / np.linalg.norm(weights) / np.linalg.norm(optimum)
    assert cosine > 0.98
    decisions = [problem.matrix @ w[0] > 0 for w in (weights, optimum)]
    assert (decisions[0] == decisions[1]).mean() > 0.98
    assert loss(problem, optimum) <= loss(problem, weights) < loss(problem, 0 * weights)


# Processes


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize(
    ("rows", "width", "classes", "divided"),
    [
        (300, 30, 2, True),  # one unit: giant steps forward and baby steps backward are divided
        (100, 12, 3, True),  # one unit of four lanes
        (1300, 7, 2, False),  # three groups
        (500, 7, 5, False),  # one group, five ciphertexts of V
    ],
)
def test_processes_divide_one_unit_or_share_many_and_learn_the_same(
    rows: int, width: int, classes: int, divided: bool, processes: int
) -> None:
    circuit, problem = small_task(rows, width, classes, steps=4, refreshes=1)
    count = useful_processes(circuit, processes)
    assert count == processes
    assert ProcessShare(circuit, 0, count).divided is divided
    assert_follows_twin(train(circuit, problem, processes=processes), circuit, problem)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("task", [(300, 30, 2), (1300, 7, 3), (60, 1, 2)])
def test_shares_of_all_processes_are_the_whole_work_and_none_of_it_twice(
    task: tuple[int, int, int], processes: int
) -> None:
    circuit, _ = small_task(*task)
    count = useful_processes(circuit, processes)
    shares = [ProcessShare(circuit, number, count) for number in range(count)]
    if shares[0].divided:
        assert [k for one in shares for k in one.giants] == list(range(circuit.layout.giants))
        assert [k for one in shares for k in one.babies] == list(range(circuit.layout.baby))
    else:
        assert [unit for one in shares for unit in one.units(0)] == units(circuit, 0)
        assert all(one.units(0) for one in shares)


def test_no_more_processes_are_started_than_have_something_to_do() -> None:
    circuit, _ = small_task(60, 1)
    assert useful_processes(circuit, 64) == 1
    circuit, _ = small_task(1300, 7, 3)
    assert useful_processes(circuit, 64) == 9


@pytest.mark.parametrize(("width", "processes"), [(7, 1), (30, 2)])
def test_equal_uploads_give_equal_bytes_whatever_the_processes_race(
    width: int, processes: int
) -> None:
    circuit, problem = small_task(300, width)
    client = CkksTrainingClient(circuit)
    material = pack_material(circuit, processes)
    keys, uploads = list(client.keys()), list(client.uploads(problem))
    clock, replies = Clock(Side.CLIENT), []
    for _ in range(2):
        server = LocalServer(material)
        server.call("key", keys, clock)
        server.call("add", uploads, clock)
        replies.append(server.call("train", [b'{"stretch": 0}'], clock))
        server.close()
    assert replies[0] == replies[1]


# What it costs, and what it is compared with


@pytest.mark.parametrize(("refreshes", "refreshed"), [(0, False), (2, True)])
def test_without_a_refresh_the_last_decryption_is_called_a_decryption(
    refreshes: int, refreshed: bool
) -> None:
    circuit, problem = small_task(60, 5, steps=3, refreshes=refreshes)
    clock, (_, start) = Clock(Side.CLIENT), dying_servers()
    CkksTraining(circuit, problem, start, clock).run(0)
    stages = {stage for stage, *_ in clock.samples}
    assert Stage.DECRYPT in stages
    assert (Stage.REFRESH in stages) is refreshed


def test_bytes_and_stages_are_counted() -> None:
    circuit, problem = small_task(60, 5, steps=5, refreshes=2)
    clock, (servers, start) = Clock(Side.CLIENT), dying_servers()
    outcome = CkksTraining(circuit, problem, start, clock).run(0)
    stages = {stage for stage, *_ in clock.samples}
    assert {Stage.KEYGEN, Stage.ENCRYPT, Stage.REFRESH, Stage.EVALUATE} <= stages
    sent = dict.fromkeys(("key", "add", "train"), 0)
    assert servers[0].verbs == ["key", "add", "train", "train", "train"]
    for verb, messages in zip(servers[0].verbs, servers[0].calls, strict=True):
        sent[verb] += sum(map(len, messages))
    assert outcome.keys.bytes == sent["key"]
    assert outcome.data.bytes == sent["add"]
    headers = sum(len(calls[0]) for calls in servers[0].calls[2:])
    assert outcome.refresh_upload_bytes == sent["train"] - headers
    assert outcome.refresh_download_bytes > outcome.weights_bytes > 0
    assert outcome.circuit_bytes == len(servers[0].material)


def test_progress_is_told_of_keys_data_and_steps() -> None:
    circuit, problem = small_task(60, 5, steps=5, refreshes=2)
    told: list[tuple[str, int, int]] = []
    CkksTraining(
        circuit, problem, LocalServer, Clock(Side.CLIENT), lambda *line: told.append(line)
    ).run(0)
    keys, data = len(key_elements(circuit)), len(list(addresses(circuit)))
    assert told[:2] == [("evaluation keys sent", keys, keys), ("encrypted data sent", data, data)]
    steps = [done for what, done, total in told[2:] if (what, total) == ("encrypted steps", 5)]
    assert steps == sorted(steps)
    assert {0, 2, 4, 5} == set(steps)


def test_two_trainings_of_the_same_data_send_other_bytes_and_learn_the_same() -> None:
    circuit, problem = small_task(60, 5)
    servers, start = dying_servers()
    first, second = (train(circuit, problem, start).weights for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-4)
    large = [{m for m in server.sent if len(m) > 100} for server in servers]
    assert large[0] and not large[0] & large[1]


def test_logits_beyond_the_interval_are_counted_and_tell_the_largest() -> None:
    circuit, problem = small_task(300, 7)
    length = circuit.steps[0].length
    wide, narrow = (
        run_twin(problem, plain_steps(3, length, fit_sigmoid(3, interval)))
        for interval in (12, 0.5)
    )
    assert [step.outside for step in wide] == [0, 0, 0]
    assert [bool(step.outside) for step in narrow] == [False, True, True]
    logits = problem.matrix @ wide[0].weights.T
    assert wide[1].largest_logit == pytest.approx(np.abs(logits).max())


def test_the_exact_twin_differs_from_the_polynomials_by_what_the_polynomial_costs() -> None:
    circuit, problem = small_task(300, 7)
    polynomial, exact = (
        run_twin(problem, circuit.steps, exact=exact)[-1].weights for exact in (False, True)
    )
    assert 1e-3 < relative_difference(polynomial, exact) < 0.5
    close = [Step(one.length, 0.0, fit_sigmoid(7, 6)) for one in circuit.steps]
    nearer = run_twin(problem, close)[-1].weights
    assert relative_difference(nearer, exact) < relative_difference(polynomial, exact) / 3


def test_the_optimum_is_the_minimum_of_the_loss_that_is_recorded() -> None:
    _, problem = small_task(200, 5, 3)
    optimum = fit_optimum(problem)
    lowest = loss(problem, optimum)
    generator = np.random.default_rng(0)
    for _ in range(20):
        assert loss(problem, optimum + 0.01 * generator.normal(size=optimum.shape)) > lowest


def test_a_step_of_the_safe_length_lowers_the_loss_and_a_long_one_may_not() -> None:
    circuit, problem = small_task(300, 7, 3, inverse_l2=0.001)
    safe = problem.safe_length()
    sigmoid = circuit.steps[0].sigmoid
    losses = [
        [
            loss(problem, one.weights)
            for one in run_twin(problem, plain_steps(6, length, sigmoid), exact=True)
        ]
        for length in (safe, 6 * safe)
    ]
    assert losses[0] == sorted(losses[0], reverse=True)
    assert losses[1] != sorted(losses[1], reverse=True)


def test_released_weights_keep_ten_bits_after_the_point() -> None:
    weights = np.array([0.123456789, -3.0001])
    np.testing.assert_array_equal(rounded(weights) * 1024, np.round(weights * 1024))
    assert np.abs(rounded(weights) - weights).max() <= 2**-11


def test_a_training_server_classifies_nothing() -> None:
    from he_compare.common.errors import CellError

    circuit, _ = small_task(60, 5)
    server = CkksTrainingServer(pack_material(circuit))
    with pytest.raises(CellError, match="holds no head"):
        server.infer([b""], Clock(Side.SERVER))

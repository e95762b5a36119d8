"""The task in the clear: matrix, labels, class weights, penalties and the safe length of a step."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.errors import DataError, UsageError
from he_compare.common.types import IntArray
from he_compare.fhe_baseline.ckks.training.problem import encode_labels, make_problem
from tests.support.encrypted_training import SMALL, separable, small_task


def test_the_constant_comes_last_and_is_not_penalised() -> None:
    features, labels = separable(50, 4, 2)
    problem = make_problem(features, labels, 2, 0.1, balanced=True)
    np.testing.assert_array_equal(problem.matrix[:, :-1], features)
    np.testing.assert_array_equal(problem.matrix[:, -1], 1)
    assert problem.penalties.tolist() == [1 / (0.1 * 50)] * 4 + [0.0]
    own = make_problem(features, labels, 2, 0.1, True, np.arange(1.0, 5.0))
    assert own.penalties.tolist() == [1, 2, 3, 4, 0]


def test_two_classes_have_one_classifier_and_more_have_one_each() -> None:
    labels = np.array([0, 1, 2, 1])
    targets, weights = encode_labels(labels, 4, 3, balanced=False)
    assert targets.tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert (weights == 1).all()
    assert encode_labels(np.array([0, 1, 1]), 3, 2, balanced=False)[0].tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("classes", [2, 3])
def test_class_weights_balance_both_sides_of_every_classifier(classes: int) -> None:
    labels = np.arange(200) % 10 % classes
    targets, weights = encode_labels(labels, 200, classes, balanced=True)
    np.testing.assert_allclose((weights * targets).sum(axis=1), 100)
    np.testing.assert_allclose(weights.mean(axis=1), 1)


@pytest.mark.parametrize(("classes", "batches"), [(2, 1), (3, 1), (2, 3)])
def test_the_safe_length_is_one_over_the_largest_curvature(classes: int, batches: int) -> None:
    _, problem = small_task(300, 7, classes, inverse_l2=0.01)
    size = 300 // batches
    curvatures = [
        np.linalg.eigvalsh(
            (rows * weights[:, None]).T @ rows / size / 4 + np.diag(problem.penalties)
        )[-1]
        for start in range(0, 300, size)
        for rows in [problem.matrix[start : start + size]]
        for weights in problem.sample_weights[:, start : start + size]
    ]
    assert problem.safe_length(batches) == pytest.approx(1 / max(curvatures), rel=5e-3)


def test_shuffling_keeps_rows_with_their_labels() -> None:
    _, problem = small_task(60, 3, 3)
    shuffled = problem.shuffled(5)
    assert not np.array_equal(shuffled.matrix, problem.matrix)
    found = {
        (tuple(row), tuple(target), tuple(weight))
        for one in (problem, shuffled)
        for row, target, weight in zip(one.matrix, one.targets.T, one.sample_weights.T, strict=True)
    }
    assert len(found) == 60


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
        (np.array([0, 1, 0]), "not encoded"),
        (np.array([1, 2, 1, 2]), "label 2 is not encoded as 0 to 1"),
        (np.array([0, -1, 0, 1]), "label -1 is not encoded"),
        (np.array([0, 0, 0, 0]), "no training image of class number 1"),
    ],
)
def test_labels_that_are_not_encoded_are_refused(labels: IntArray, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        make_problem(np.zeros((4, 3)), labels, 2, 0.1, balanced=True)


@pytest.mark.parametrize("batches", [0, 65, 61])
def test_numbers_of_batches_that_cannot_be_are_refused(batches: int) -> None:
    with pytest.raises(UsageError, match="batches are out of range"):
        small_task(60, 5, batches=batches)


def test_features_wider_than_the_slots_are_refused() -> None:
    features = np.zeros((4, 1024))
    problem = make_problem(features, np.array([0, 1, 0, 1]), 2, 0.1, balanced=True)
    circuit, _ = small_task(60, 5, steps=1, parameters=SMALL)
    with pytest.raises(UsageError, match="do not fit into 512 slots, two in a slot"):
        problem.circuit(SMALL, circuit.steps, allow_insecure=True)
    fits = make_problem(features[:, :1023], np.array([0, 1, 0, 1]), 2, 0.1, balanced=True)
    assert fits.circuit(SMALL, circuit.steps, allow_insecure=True).layout.period == 512

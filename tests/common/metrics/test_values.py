"""Metric values against scikit-learn, textbook numbers and hand counts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from he_compare.common.errors import UnknownNameError
from he_compare.common.metrics.calibration import BINS
from he_compare.common.metrics.ranking import weighted_auc
from he_compare.common.run.records import MetricValue
from he_compare.common.statistics.evaluation import find_metric, score, wilson

BINARY = ("normal", "pneumonia")


def case(n: int = 200, k: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, probabilities and groups of two or three images of a passable classifier."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k)) + 1.2 * np.eye(k)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities, [f"g{i // 2}" for i in range(n)]


def by_name(values: list[MetricValue]) -> dict[str, MetricValue]:
    return {value.name: value for value in values}


def scored(k: int = 2, seed: int = 0, draws: int = 50, **more: float) -> dict[str, MetricValue]:
    labels, probabilities, groups = case(k=k, seed=seed)
    classes = BINARY if k == 2 else tuple("abcde"[:k])
    positive = "pneumonia" if k == 2 else ""
    values, *_ = score(
        labels, probabilities, groups, classes, positive, seed=0, draws=draws, **more
    )
    return by_name(values)


@pytest.mark.parametrize("seed", range(3))
def test_binary_values_equal_scikit_learns(seed: int) -> None:
    labels, probabilities, _ = case(seed=seed)
    called = (probabilities[:, 1] >= 0.5).astype(int)
    got = {name: value.value for name, value in scored(seed=seed).items()}
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(labels, called))
    assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, called))
    assert got["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
    assert got["sensitivity"] == pytest.approx(sk.recall_score(labels, called))
    assert got["specificity"] == pytest.approx(sk.recall_score(labels, called, pos_label=0))
    assert got["f1"] == pytest.approx(sk.f1_score(labels, called))
    assert got["brier"] == pytest.approx(sk.brier_score_loss(labels, probabilities[:, 1]))
    assert got["recall[normal]"] == got["specificity"]
    assert got["recall[pneumonia]"] == got["sensitivity"]


def test_multi_class_values_equal_scikit_learns() -> None:
    labels, probabilities, _ = case(k=4)
    called = probabilities.argmax(axis=1)
    got = {name: value.value for name, value in scored(k=4).items()}
    assert got["auc"] == pytest.approx(
        sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    assert got["f1"] == pytest.approx(sk.f1_score(labels, called, average="macro"))
    recalls = sk.recall_score(labels, called, average=None)
    assert [got[f"recall[{name}]"] for name in "abcd"] == pytest.approx(list(recalls))
    assert got["brier"] == pytest.approx(((probabilities - np.eye(4)[labels]) ** 2).sum(1).mean())
    assert not {"sensitivity", "specificity"} & set(got)


def test_without_a_positive_class_two_classes_are_equals() -> None:
    labels, probabilities, groups = case()
    forth = score(labels, probabilities, groups, BINARY, "", seed=0, draws=20)
    back = score(1 - labels, probabilities[:, ::-1], groups, BINARY[::-1], "", seed=0, draws=20)
    got, turned = ({name: one.value for name, one in by_name(x[0]).items()} for x in (forth, back))
    assert not {"sensitivity", "specificity"} & set(got)
    assert got == pytest.approx(turned)
    called = probabilities.argmax(axis=1)
    assert got["f1"] == pytest.approx(sk.f1_score(labels, called, average="macro"))
    assert got["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
    assert got["recall[normal]"] == pytest.approx(sk.recall_score(labels, called, pos_label=0))
    assert forth[2] and forth[2] != back[2]


def test_the_threshold_moves_the_called_class_but_not_the_ranking() -> None:
    low, high = scored(threshold=0.2), scored(threshold=0.8)
    assert (low["sensitivity"].value or 0) > (high["sensitivity"].value or 0)
    assert (low["specificity"].value or 0) < (high["specificity"].value or 0)
    assert low["auc"] == high["auc"]


def test_a_positive_class_in_first_place_is_honoured() -> None:
    labels, probabilities, groups = case()
    forth = score(labels, probabilities, groups, BINARY, "pneumonia", seed=0, draws=20)
    back = score(
        1 - labels, probabilities[:, ::-1], groups, BINARY[::-1], "pneumonia", seed=0, draws=20
    )
    for name in ("auc", "sensitivity", "specificity", "f1", "brier", "ece"):
        assert by_name(forth[0])[name].value == pytest.approx(by_name(back[0])[name].value)


def test_ece_of_a_hand_counted_case() -> None:
    labels = np.array([1, 1, 0, 0])
    positive = np.array([0.9, 0.9, 0.9, 0.2])
    values, *_ = score(
        labels, np.c_[1 - positive, positive], list("abcd"), BINARY, "pneumonia", seed=0, draws=10
    )
    # Three images at confidence 0.9, two of them right; one at 0.8, right.
    expected = 3 / 4 * abs(0.9 - 2 / 3) + 1 / 4 * abs(0.8 - 1)
    assert by_name(values)["ece"].value == pytest.approx(expected)


def test_reliability_bins_hold_every_image_once() -> None:
    labels, probabilities, groups = case()
    *_, bins = score(labels, probabilities, groups, BINARY, "pneumonia", seed=0, draws=10)
    assert sum(n for _, _, n in bins) == 200
    assert all((0.5 <= confidence <= 1) and (0 <= share <= 1) for confidence, share, _ in bins)
    assert len(bins) <= BINS
    # Bins rebuild the calibration error they picture.
    rebuilt = sum(n * abs(confidence - share) for confidence, share, n in bins) / 200
    assert rebuilt == pytest.approx(scored()["ece"].value)


def test_confusion_has_rows_of_truth() -> None:
    labels = np.array([0, 0, 0, 1])
    positive = np.array([0.1, 0.9, 0.9, 0.9])
    _, confusion, roc, _ = score(
        labels, np.c_[1 - positive, positive], list("abcd"), BINARY, "pneumonia", seed=0, draws=10
    )
    assert confusion == [[1, 2], [0, 1]]
    assert roc[0] == (0.0, 0.0)
    assert roc[-1] == (1.0, 1.0)


def test_the_area_under_the_returned_curve_is_the_auc() -> None:
    labels, probabilities, groups = case()
    values, _, roc, _ = score(labels, probabilities, groups, BINARY, "pneumonia", seed=0, draws=10)
    false_rates, true_rates = zip(*roc, strict=True)
    assert sk.auc(false_rates, true_rates) == pytest.approx(by_name(values)["auc"].value)


def test_wilsons_interval_of_a_textbook_case() -> None:
    outcomes = np.array([True] * 81 + [False] * 182)  # Newcombe 1998, table I
    interval = wilson(outcomes)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)
    assert interval.method.startswith("Wilson")


def test_proportions_say_how_many_trials_they_have() -> None:
    labels, _, _ = case()
    got = scored()
    assert got["sensitivity"].n == int(labels.sum())
    assert got["specificity"].n == int((1 - labels).sum())
    assert got["accuracy"].n == 200


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 4)), min_size=2, max_size=40
    )
)
def test_weighted_auc_equals_scikit_learn_on_repeated_images(
    rows: list[tuple[bool, int, int]],
) -> None:
    truth = np.array([row[0] for row in rows])
    scores = np.array([row[1] / 6 for row in rows])
    weights = np.array([row[2] for row in rows])
    got = weighted_auc(truth, scores, weights[None].astype(float))[0]
    repeated = np.repeat(truth, weights)
    if len(set(repeated.tolist())) < 2:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(sk.roc_auc_score(repeated, np.repeat(scores, weights)))


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'acuracy'.*accuracy"):
        find_metric("acuracy")


def test_listing_metrics_imports_neither_scikit_learn_nor_torch() -> None:
    code = (
        "import sys; from he_compare.common.statistics.evaluation import all_metrics;"
        "assert all_metrics();"
        "print(sorted({'sklearn', 'scipy', 'torch', 'pandas'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

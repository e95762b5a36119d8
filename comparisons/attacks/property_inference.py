"""Property inference: a classifier of what the server already sees, from the labels of a few.

Nothing is decrypted. Histograms, block statistics and thumbnails of the ciphertexts go into a
logistic regression that is fitted on the few labelled ones; the property is the dataset's class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.metrics.ranking import weighted_auc
from he_compare.common.run.records import CountsAs
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, BoolArray, Float64Array, IntArray, Knowledge, PixelArray
from he_compare.comparisons.attacks.tools.descriptors import DESCRIPTORS, block_side

PART = 50
MOST_FEATURES_EACH = 256


@dataclass(frozen=True)
class Labels:
    """Guessed labels of the ciphertexts without a label, and scores by class (n, classes)."""

    positions: IntArray
    labels: IntArray
    scores: Float64Array
    classes: IntArray
    known: int


class PropertyInference(Attack):
    """Guesses the class of images from their ciphertexts."""

    name = "property_inference"
    title = "Property inference"
    rung = Knowledge.AUXILIARY_DATA
    slow = True
    aim = Aim.ANSWER
    needs = frozenset({Need.LABELS})
    reads_pictures = False
    metric = AttackMetric("AUC of the class", chance=0.5, resolution=0.1)
    # At chance the AUC of a few hundred ciphertexts scatters by 0.03 a key: fewer keys leave an
    # interval that holds both a break and a pass.
    least_keys = 12
    limits = (
        "the property is the dataset's class; other properties (age, sex, device) are not tried",
        "a linear model on fixed statistics: a network may see more, as the pipelines that train "
        "on ciphertexts show",
    )
    source = "this project"

    def counts_as(self, facts: Facts) -> CountsAs:
        """Open by design where the server computes the class itself; a cipher alone hides it."""
        by_design = facts.kind == "pipeline" and facts.claims.server_learns_class
        return "open by design" if by_design else "evidence"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Labels:
        """Fit on the labelled ciphertexts, guess the others."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        labelled = view.labelled
        if len(np.unique(labelled.labels)) < 2:
            raise AttackFailedError("the labelled images are all of one class")
        features = _features(view.ciphertexts, view)
        rest = np.setdiff1d(np.arange(len(features)), labelled.positions)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        model.fit(features[labelled.positions], labelled.labels)
        scores = model.predict_proba(features[rest])
        classes = np.asarray(model.classes_, dtype=np.int64)
        guessed = classes[scores.argmax(axis=1)]
        return Labels(rest, guessed, scores, classes, len(labelled.positions))

    def score(self, guess: Labels, truth: Truth) -> Score:
        """AUC on the ciphertexts without a label, mean over classes."""
        labels = truth.labels[guess.positions]
        recalls = [float((guess.labels[labels == c] == c).mean()) for c in np.unique(labels)]
        prevalence = float(np.bincount(labels).max() / len(labels))
        accuracy = float((guess.labels == labels).mean())
        found = [
            _auc(guess.scores[:, column], labels == label)
            for column, label in enumerate(guess.classes)
        ]
        value, error = (float(np.mean(part)) for part in zip(*found, strict=True))
        return Score(
            value,
            (
                Detail("balanced accuracy", float(np.mean(recalls))),
                Detail("accuracy", accuracy),
                Detail("accuracy of always naming the most frequent class", prevalence),
                Detail("advantage over prevalence", accuracy - prevalence),
            ),
            (),
            {"labels": guess.known, "ciphertexts": len(labels)},
            error,
            images=[truth.ids[position] for position in guess.positions],
            resampled=lambda weights: _resampled_auc(guess, labels, weights),
        )


def _resampled_auc(guess: Labels, labels: IntArray, weights: Float64Array) -> Float64Array:
    """Return the mean AUC over classes under each row of weights (draws, n)."""
    areas = [
        weighted_auc(labels == label, guess.scores[:, column], weights)
        for column, label in enumerate(guess.classes)
    ]
    return cast(Float64Array, np.mean(areas, axis=0))


def _auc(scores: Float64Array, mine: BoolArray) -> tuple[float, float]:
    """Return the AUC of a score and its standard error at chance; 0.5 unless both classes occur.

    Source: Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
    """
    from scipy.stats import rankdata

    ours, others = int(mine.sum()), int((~mine).sum())
    if not ours or not others:
        return 0.5, 0.5
    above = float(rankdata(scores)[mine].sum()) - ours * (ours + 1) / 2
    return above / (ours * others), math.sqrt((len(scores) + 1) / (12 * ours * others))


def _features(ciphertexts: PixelArray, view: View) -> Float64Array:
    shape = view.facts.shape
    side = block_side(shape, view.facts.patch)
    parts = []
    for start in range(0, len(ciphertexts), PART):
        piece = ciphertexts[start : start + PART]
        rows = [_thinned(describe(piece, shape, side)) for describe in DESCRIPTORS.values()]
        parts.append(np.concatenate(rows, axis=1))
    return np.concatenate(parts)


def _thinned(rows: Float64Array) -> Float64Array:
    """Keep evenly spaced columns where a descriptor is long."""
    columns = np.linspace(0, rows.shape[1] - 1, min(rows.shape[1], MOST_FEATURES_EACH))
    return rows[:, np.unique(columns.round().astype(int))]


ATTACK = PropertyInference()

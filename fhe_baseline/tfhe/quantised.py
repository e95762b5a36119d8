"""A float head as integers: Concrete ML's quantised logistic regression, its inputs and its scores.

The float head is trained once, by scikit-learn, as for every other pipeline; Concrete ML quantises
inputs and weights uniformly to ``bits`` bits (``LogisticRegression.from_sklearn_model``), so that
the distance between the two is the quantisation and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.tfhe.archive import configuration
from he_compare.fhe_baseline.tfhe.library import load_concrete, private_folder, temporary_files_in


@dataclass(frozen=True)
class QuantisedHead:
    """Concrete ML's model of a head and the range of the inputs it was quantised for.

    ``classes``: number of scores; two classes share one logit.
    """

    model: Any
    lowest: float
    highest: float
    classes: int
    bits: int

    def clear_scores(self, inputs: Float64Array) -> Float64Array:
        """Return scores (n, classes) of the integer model, evaluated in the clear."""
        logits = self.model.decision_function(inputs, fhe="disable")
        return scores_of(np.asarray(logits, dtype=np.float64).reshape(len(inputs), -1))

    def quantise(self, inputs: Float64Array) -> IntArray:
        """Return integers (n, width); what lies outside the range is clipped to it."""
        integers: IntArray = self.model.quantize_input(inputs)
        return integers

    def extremes(self) -> Float64Array:
        """Return inputs (n, width) at which every sum in the circuit is as large as it can be.

        A circuit compiled for these never overflows, whatever is encrypted: the sums are
        x W and (x W - zero point sum x), extreme where x is at an end of its range by the sign of
        the integer or the real weight.
        """
        rows = [np.zeros((1, self.model.sklearn_model.coef_.shape[1]), dtype=bool)]
        rows += [self.model._q_weights.T > 0, self.model.sklearn_model.coef_ > 0]
        up = np.vstack(rows)
        return np.where(np.vstack([up, ~up]), self.highest, self.lowest)

    def compile(self, folder: str) -> Any:
        """Compile the circuit, temporary files in ``folder``; return Concrete's circuit."""
        with temporary_files_in(folder):
            return self.model.compile(self.extremes(), configuration=configuration(load_concrete()))


def quantise_head(linear: LinearModel, inputs: Float64Array, bits: int) -> QuantisedHead:
    """Quantise a head for the range of the training inputs (n, width)."""
    concrete = load_concrete()
    with private_folder() as folder, temporary_files_in(folder):
        model = concrete.logistic_regression.from_sklearn_model(
            _as_sklearn(linear), inputs, n_bits=bits
        )
    return QuantisedHead(model, float(inputs.min()), float(inputs.max()), linear.classes, bits)


def _as_sklearn(linear: LinearModel) -> Any:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    weights, bias = linear.weights, linear.bias
    if linear.classes == 2:
        weights, bias = (weights[1] - weights[0])[None], (bias[1] - bias[0])[None]
    model.coef_, model.intercept_ = weights, bias
    model.classes_ = np.arange(linear.classes)
    model.n_features_in_ = linear.width
    model.n_iter_ = np.array([0], dtype=np.int32)
    return model


def scores_of(logits: Float64Array) -> Float64Array:
    """Return one score per class, (n, k); a single logit becomes +-half of it."""
    if logits.shape[1] == 1:
        return np.hstack([-logits, logits]) / 2
    return logits


def distance(head: QuantisedHead, linear: LinearModel, inputs: Float64Array) -> dict[str, Any]:
    """Return how far the quantised head is from the float head on inputs (n, width)."""
    quantised, exact = head.clear_scores(inputs), linear.scores(inputs)
    same = quantised.argmax(axis=1) == exact.argmax(axis=1)
    return {
        "measured_on": "training features",
        "n": len(inputs),
        "same_class": int(same.sum()),
        "max_abs_score_difference": float(np.abs(quantised - exact).max()),
        "mean_abs_score_difference": float(np.abs(quantised - exact).mean()),
        "max_abs_score": float(np.abs(exact).max()),
    }

"""The classifier head: logistic regression on standardised features, trained in the clear.

scikit-learn's multinomial logistic regression (L2, class-balanced). Standardisation belongs to the
client: it sends ``standardise(features)``, clipped to ``CLIP`` standard deviations, and the server
holds weights and bias for features in that form. The clip is part of the model, in training, in the
clear reference and under encryption alike; it bounds every score, so that an encrypted score can
never leave the range its modulus holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.errors import DataError, MessageError
from he_compare.common.identity import array_digest, source_digest
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import MAX_CLASSES, Float32Array, Float64Array, IntArray

CLIP = 8.0
MAX_FEATURES = 1024
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class LinearModel:
    """What the server evaluates: scores = weights x + bias.

    ``weights``: float64 (classes, width). ``bias``: float64 (classes,). Raises ValueError.
    """

    weights: Float64Array
    bias: Float64Array

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[:1]:
            raise ValueError(f"weights {self.weights.shape} and bias {self.bias.shape} do not fit")
        if not (2 <= self.classes <= MAX_CLASSES and 1 <= self.width <= MAX_FEATURES):
            raise ValueError(
                f"a head of {self.width} features and {self.classes} classes is out of range: "
                f"1 to {MAX_FEATURES} features, 2 to {MAX_CLASSES} classes"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise ValueError("weights and bias must be finite")

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.weights.shape[0]

    @property
    def width(self) -> int:
        """Number of features."""
        return self.weights.shape[1]

    def scores(self, standardised: Float64Array) -> Float64Array:
        """Return scores, float64 (n, classes), of standardised features (n, width)."""
        return standardised @ self.weights.T + self.bias

    def score_bound(self) -> float:
        """Return a bound on every score and on every partial sum of products on the way to it.

        Holds for features within ``CLIP``, also where two features share a slot as real and
        imaginary part: |x1 + i x2| |w1 - i w2| <= CLIP sqrt(2) (|w1| + |w2|).
        """
        largest = np.abs(self.weights).sum(axis=1).max()
        return float(np.sqrt(2.0) * CLIP * largest + np.abs(self.bias).max())


@dataclass(frozen=True)
class Head:
    """A linear model and the standardisation in front of it.

    ``mean``, ``deviation``: float64 (width,) of the training features.
    """

    mean: Float64Array
    deviation: Float64Array
    linear: LinearModel
    iterations: int

    def standardise(self, features: Float32Array | Float64Array) -> Float64Array:
        """Return (features - mean) / deviation clipped to +-CLIP, float64 (n, width).

        Raises DataError on features that are not finite or of another width.
        """
        values = np.asarray(features, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.linear.width:
            raise DataError(f"features of shape {values.shape}, the head takes {self.linear.width}")
        if not np.isfinite(values).all():
            raise DataError(
                "features hold NaN or infinite values", fix="check the backbone's weights"
            )
        return _standardised(values - self.mean, self.deviation)

    def scores(self, features: Float32Array | Float64Array) -> Float64Array:
        """Return scores in float64, (n, classes): the clear reference of every encrypted run."""
        return self.linear.scores(self.standardise(features))


def train_head(
    features: Float32Array | Float64Array, labels: IntArray, classes: int, inverse_l2: float
) -> Head:
    """Fit a head to features (n, width) and labels (n,) with scikit-learn.

    ``inverse_l2`` is scikit-learn's C. Two classes get one score each, +-half the logit, so that
    every head has as many scores as classes. Raises DataError where a class has no image.
    """
    values = np.array(features, dtype=np.float64)
    mean = values.mean(axis=0)
    deviation = values.std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    values -= mean
    linear, iterations = fit_linear(_standardised(values, deviation), labels, classes, inverse_l2)
    return Head(mean, deviation, linear, iterations)


def _standardised(centred: Float64Array, deviation: Float64Array) -> Float64Array:
    """Scale and clip in place: of many images, features are the most that is in memory."""
    centred /= deviation
    return np.clip(centred, -CLIP, CLIP, out=centred)


def fit_linear(
    inputs: Float64Array, labels: IntArray, classes: int, inverse_l2: float
) -> tuple[LinearModel, int]:
    """Minimise a head's objective on inputs (n, width) as they are; return it and the iterations.

    Raises DataError where a class has no image.
    """
    from sklearn.linear_model import LogisticRegression

    missing = sorted(set(range(classes)) - set(np.unique(labels).tolist()))
    if missing:
        raise DataError(
            f"no training image of class number {missing[0]}", fix="train on images of every class"
        )
    model = LogisticRegression(C=inverse_l2, class_weight="balanced", max_iter=MAX_ITERATIONS)
    model.fit(inputs, labels)
    weights, bias = model.coef_, model.intercept_
    if classes == 2:
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    return LinearModel(weights, bias), int(np.max(model.n_iter_))


def pack_head(head: Head) -> bytes:
    """Serialise a head as packed arrays."""
    return pack(
        {
            "mean": head.mean,
            "deviation": head.deviation,
            "weights": head.linear.weights,
            "bias": head.linear.bias,
            "iterations": np.array([head.iterations], dtype=np.int64),
        }
    )


def unpack_head(data: bytes) -> Head:
    """Parse what ``pack_head`` wrote. Raises MessageError."""
    vector, matrix = ("float64", 1), ("float64", 2)
    arrays, _ = unpack(
        data,
        expect={
            "mean": vector,
            "deviation": vector,
            "weights": matrix,
            "bias": vector,
            "iterations": ("int64", 1),
        },
    )
    try:
        linear = LinearModel(arrays["weights"], arrays["bias"])
        if not arrays["mean"].shape == arrays["deviation"].shape == (linear.width,):
            raise ValueError("mean or deviation is of another width than the weights")
        if not (np.isfinite(arrays["mean"]).all() and (arrays["deviation"] > 0).all()):
            raise ValueError("mean or deviation is not finite, or a deviation is not positive")
        return Head(arrays["mean"], arrays["deviation"], linear, int(arrays["iterations"][0]))
    except (ValueError, IndexError) as error:
        raise MessageError(f"not a head: {error}") from None


def stored_head(
    features: Float32Array, data: TrainingData, inverse_l2: float, context: RunContext
) -> Head:
    """Train a head on features (n, width) once per run: an artefact that pipelines share."""
    classes = len(data.classes)
    inputs: dict[str, Any] = {
        "features": array_digest(features),
        "labels": array_digest(data.train.labels),
        "classes": classes,
        "C": inverse_l2,
        "source": source_digest(__name__),
    }
    return unpack_head(
        context.artefacts.get_or_make(
            "head",
            inputs,
            lambda: pack_head(train_head(features, data.train.labels, classes, inverse_l2)),
        )
    )

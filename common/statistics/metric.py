"""What a metric is: a value, and the same value under weights, so that it can be resampled.

The point estimate comes from scikit-learn; ``resampled`` computes it for many weightings of the
images at once, which makes 2,000 bootstrap draws a matter of milliseconds. That both agree at equal
weights is a contract test of every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from he_compare.common.types import BoolArray, Float64Array, IntArray


class UndefinedMetric(ValueError):
    """A metric that has no value on these predictions; its text is the reason shown."""


@dataclass(frozen=True)
class Predictions:
    """Predictions to score.

    ``labels``: int64 (n,). ``probabilities``: float64 (n, k). ``positive``: index of the class that
    sensitivity refers to, None where none was named. ``threshold``: of two classes, the probability
    of the positive at or above which it is called; without a positive, and with more classes, the
    likeliest class is called.
    """

    labels: IntArray
    probabilities: Float64Array
    classes: tuple[str, ...]
    positive: int | None
    threshold: float = 0.5
    focus: int | None = None

    def __post_init__(self) -> None:
        n, k = len(self.labels), len(self.classes)
        if self.probabilities.shape != (n, k):
            raise ValueError(f"probabilities are {self.probabilities.shape}, expected {(n, k)}")
        if n and (int(self.labels.min()) < 0 or int(self.labels.max()) >= k):
            raise ValueError(f"labels are not in 0..{k - 1}")

    @cached_property
    def predicted(self) -> IntArray:
        """Predicted class of each image, int64 (n,)."""
        if len(self.classes) == 2 and self.positive is not None:
            called = self.probabilities[:, self.positive] >= self.threshold
            return np.where(called, self.positive, 1 - self.positive).astype(np.int64)
        return np.argmax(self.probabilities, axis=1).astype(np.int64)

    @cached_property
    def correct(self) -> BoolArray:
        """Whether the predicted class is the true one, (n,)."""
        return self.predicted == self.labels

    def about(self, label: int) -> Predictions:
        """Return the same predictions with the attention of a per-class metric on ``label``."""
        return replace(self, focus=label)

    def require_classes(self) -> None:
        """Raise UndefinedMetric unless every class occurs among the labels."""
        present = np.bincount(self.labels, minlength=len(self.classes)) > 0
        for name, there in zip(self.classes, present, strict=True):
            if not there:
                raise UndefinedMetric(f"no image of class {name!r} among the labels")

    def require_positive(self) -> int:
        """Return the positive class. Raises UndefinedMetric where there is none."""
        if self.positive is None:
            raise UndefinedMetric("no class is named positive")
        return self.positive

    @property
    def scored(self) -> int:
        """Of two classes, the one whose probability is looked at: the positive, else the second.

        For what is the same whichever of the two it is, because their probabilities add up to 1.
        """
        return 1 if self.positive is None else self.positive


Value: TypeAlias = Callable[[Predictions], float]
Resampled: TypeAlias = Callable[[Predictions, Float64Array], Float64Array]
Outcomes: TypeAlias = Callable[[Predictions], BoolArray]


@dataclass(frozen=True)
class Metric:
    """One metric, with what documentation says of it.

    ``value``: point estimate; raises UndefinedMetric. ``resampled``: the value for each row of
    weights (draws, n), NaN where a draw leaves it undefined. ``outcomes``: for a proportion, its
    trials as booleans, which gives it a Wilson interval instead of the bootstrap.
    ``trials``: which images those are, bool (n,); without it all of them. ``per_class``: computed
    once per class, with ``Predictions.focus`` set. ``needs_positive``: said of the positive class,
    and left out where none was named. ``limits``: between which every value lies, None where it has
    no limits.
    """

    name: str
    formula: str
    source: str
    value: Value
    resampled: Resampled
    outcomes: Outcomes | None = None
    trials: Outcomes | None = None
    higher_is_better: bool = True
    per_class: bool = False
    needs_positive: bool = False
    unit: str = ""
    limits: tuple[float, float] | None = None


def weighted_share(hits: BoolArray, trials: BoolArray, weights: Float64Array) -> Float64Array:
    """Return the weighted share of hits among trials by row of weights; NaN where no trial is."""
    total = weights @ trials.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Float64Array = (weights @ (hits & trials).astype(np.float64)) / total
    return shares


def predictions_of(
    labels: IntArray,
    probabilities: Float64Array,
    classes: Sequence[str],
    positive_class: str,
    threshold: float,
) -> Predictions:
    """Build predictions; '' names no class positive.

    Raises ValueError on shapes that do not fit, labels out of range or an unknown positive class.
    """
    names = tuple(classes)
    return Predictions(
        labels=np.asarray(labels, dtype=np.int64),
        probabilities=np.asarray(probabilities, dtype=np.float64),
        classes=names,
        positive=names.index(positive_class) if positive_class else None,
        threshold=threshold,
    )

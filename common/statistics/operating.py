"""A threshold fixed on validation images, and what it does to test images.

The threshold is the one with the largest sum of sensitivity and specificity on the validation
images (Youden, Cancer 3:32-35, 1950), so it does not depend on how many of them are sick. Test
images have no part in it: a threshold chosen on them would flatter the result (Leeflang et al.,
Clinical Chemistry 54:729-737, 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from he_compare.common.run.records import OperatingPoint
from he_compare.common.statistics.bootstrap import DRAWS, group_weights
from he_compare.common.statistics.evaluation import confusion, find_metric, measure
from he_compare.common.statistics.metric import UndefinedMetric, predictions_of
from he_compare.common.types import BoolArray, Float64Array, IntArray

RULE = "the largest sum of sensitivity and specificity, and of equally good thresholds the lowest"


def youden_threshold(positive: BoolArray, chances: Float64Array) -> float:
    """Return the threshold with the largest sum of sensitivity and specificity.

    ``positive``: bool (n,), truth. ``chances``: float64 (n,), probability of the positive class,
    which is called at or above the threshold. Thresholds lie midway between neighbouring
    probabilities; of equally good ones the lowest is taken. Raises UndefinedMetric where a class
    is missing or no threshold is better than chance.
    """
    sick, healthy = int(positive.sum()), int((~positive).sum())
    if not sick or not healthy:
        raise UndefinedMetric("the validation split lacks one of the two classes")
    if not np.isfinite(chances).all():
        raise UndefinedMetric("probabilities of validation images are not finite")
    values = np.unique(chances)
    middles = (values[:-1] + values[1:]) / 2
    # Between neighbouring floats there is no middle.
    candidates = np.where(middles > values[:-1], middles, values[1:])
    order = np.sort(chances[positive]), np.sort(chances[~positive])
    found = sick - np.searchsorted(order[0], candidates)
    cleared = np.searchsorted(order[1], candidates)
    # In whole numbers, so that equal sums are equal.
    gain = found * healthy + cleared * sick - sick * healthy
    if not len(gain) or gain.max() <= 0:
        raise UndefinedMetric("no threshold tells the two classes of the validation split apart")
    return float(candidates[np.argmax(gain)])


def operating_point(
    validation: tuple[IntArray, Float64Array],
    test: tuple[IntArray, Float64Array],
    groups: Sequence[str],
    classes: Sequence[str],
    positive_class: str,
    *,
    scored_by: str,
    seed: int,
    draws: int = DRAWS,
) -> OperatingPoint:
    """Fix a threshold on validation labels (m,) and probabilities (m, 2); apply it to the test's.

    ``groups``: patient groups of the n test images. Where no threshold can be fixed, or the test
    probabilities are not finite, the note says why. Raises ValueError on shapes that do not fit.
    """
    labels, chances = np.asarray(validation[0]), np.asarray(validation[1])
    place = tuple(classes).index(positive_class)
    facts = {
        "rule": RULE,
        "scored_by": scored_by,
        "validation_images": np.bincount(labels, minlength=len(classes)).tolist(),
    }
    try:
        threshold = youden_threshold(labels == place, chances[:, place])
    except UndefinedMetric as undefined:
        return OperatingPoint(threshold=None, note=str(undefined), **facts)
    predictions = predictions_of(*test, classes, positive_class, threshold)
    if not np.isfinite(predictions.probabilities).all():
        note = "probabilities of test images are not finite"
        return OperatingPoint(threshold=None, note=note, **facts)
    weights = group_weights(groups, draws, seed)
    sensitivity, specificity = (
        measure(find_metric(name), name, predictions, weights, groups)
        for name in ("sensitivity", "specificity")
    )
    return OperatingPoint(
        threshold=threshold,
        confusion=confusion(predictions),
        sensitivity=sensitivity,
        specificity=specificity,
        **facts,
    )

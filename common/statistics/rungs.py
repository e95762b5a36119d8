"""What each step from the clear reference to the executed model costs, on the same images.

A chain of models, each of which differs from the one before in one respect. The differences are
paired, with intervals over patients, and come from the same draws as all other differences of the
run; they add up to the whole way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import ClearTwinFacts, CostRung, DatasetCard
from he_compare.common.statistics.bootstrap import DRAWS
from he_compare.common.statistics.evaluation import find_metric
from he_compare.common.statistics.metric import UndefinedMetric, predictions_of
from he_compare.common.statistics.paired import paired_differences
from he_compare.common.types import Float64Array

# The last rung: the scores that came back from the server.
EXECUTED = ClearTwinFacts(name="as executed, on ciphertexts", cost="encryption")


def cost_rungs(
    twins: Sequence[ClearTwinFacts],
    arrays: dict[str, npt.NDArray[Any]],
    card: DatasetCard,
    *,
    seed: int,
    threshold: float,
    draws: int = DRAWS,
) -> list[CostRung]:
    """Return one rung per clear model and one for the executed scores; [] without clear models.

    ``arrays``: stored predictions; ``twin_probabilities`` (len(twins), n, k) in the order of
    ``twins``, ``probabilities`` (n, k) as executed.
    """
    if not twins:
        return []
    steps = [*arrays["twin_probabilities"], arrays["probabilities"]]
    rungs: list[CostRung] = []
    for facts, probabilities in zip((*twins, EXECUTED), steps, strict=True):
        here = arrays | {"probabilities": probabilities}
        rung = CostRung(
            name=facts.name,
            cost=facts.cost,
            accuracy=_value("accuracy", here, card, threshold),
            auc=_value("auc", here, card, threshold),
        )
        if rungs:
            before = arrays | {"probabilities": steps[len(rungs) - 1]}
            names = (facts.name, rungs[-1].name)
            found = paired_differences(
                *names, here, before, card, seed=seed, threshold=threshold, draws=draws
            )
            rung = rung.model_copy(update={"differences": found})
        rungs.append(rung)
    return rungs


def _value(
    metric: str, arrays: dict[str, npt.NDArray[Any]], card: DatasetCard, threshold: float
) -> float | None:
    probabilities: Float64Array = arrays["probabilities"]
    predictions = predictions_of(
        arrays["labels"], probabilities, card.classes, card.positive_class, threshold
    )
    if not len(predictions.labels) or not np.isfinite(probabilities).all():
        return None
    try:
        return find_metric(metric).value(predictions)
    except UndefinedMetric:
        return None

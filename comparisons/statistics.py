"""Two pipelines on the same images: paired differences with intervals and McNemar's test."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from common.metrics.metric import predictions_of
from common.metrics.paired import mcnemar, paired_difference
from common.records import DatasetCard, PairedDifference

METRICS = ("accuracy", "auc")


def paired_differences(
    label: str,
    reference: str,
    arrays: dict[str, npt.NDArray[Any]],
    base: dict[str, npt.NDArray[Any]],
    card: DatasetCard,
    *,
    seed: int,
    threshold: float,
    draws: int,
) -> list[PairedDifference]:
    """Return the differences in accuracy and AUC of two pipelines tested on the same images.

    ``arrays`` and ``base`` are stored predictions with the same ids in the same order.
    """
    sides = [
        predictions_of(
            side["labels"], side["probabilities"], card.classes, card.positive_class, threshold
        )
        for side in (arrays, base)
    ]
    only, other, p_value = mcnemar(*(side.correct for side in sides))
    result = []
    for metric in METRICS:
        difference, interval = paired_difference(
            arrays["labels"],
            [str(group) for group in arrays["groups"]],
            arrays["probabilities"],
            base["probabilities"],
            metric,
            classes=card.classes,
            positive_class=card.positive_class,
            seed=seed,
            draws=draws,
            threshold=threshold,
        )
        is_accuracy = metric == "accuracy"
        result.append(
            PairedDifference(
                metric=metric,
                pipeline=label,
                reference=reference,
                difference=difference,
                interval=interval,
                p_value=p_value if is_accuracy else None,
                n=len(arrays["labels"]),
                discordant=(only, other) if is_accuracy else None,
            )
        )
    return result

"""Scores of pipelines that were trained under several seeds: means over trainings, and differences.

The patients of a draw are the same for every training and every pipeline, so that differences are
paired in patients; trainings are paired by their seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import (
    DatasetCard,
    Interval,
    MeanDifference,
    MeanScores,
    MeanValue,
)
from he_compare.common.statistics.bootstrap import DRAWS, group_weights, resample
from he_compare.common.statistics.crossed_samples import interval_of_shares, stretched_interval
from he_compare.common.statistics.evaluation import (
    ONE_GROUP,
    find_metric,
    groups_of_trials,
    named_metrics,
    why_unscorable,
    wilson_by_group,
)
from he_compare.common.statistics.metric import Metric, Predictions, UndefinedMetric, predictions_of
from he_compare.common.statistics.paired import RUN_COMPARED
from he_compare.common.types import Float64Array

# How a score sheet says what is done with several trainings.
OVER_TRAININGS = (
    "patients and trainings both drawn: hierarchical bootstrap, stretched to the variance of two "
    "crossed samples and Student's t of few trainings; shares by Wilson"
)


class Repeated:
    """Predictions of one pipeline under several seeds, on the same images."""

    def __init__(
        self,
        label: str,
        by_seed: Mapping[int, Mapping[str, npt.NDArray[Any]]],
        card: DatasetCard,
        *,
        seed: int,
        threshold: float,
        draws: int = DRAWS,
    ) -> None:
        """``by_seed``: stored predictions with the same ids in the same order. ``seed``: of draws.

        Raises ValueError where there is no training.
        """
        if not by_seed:
            raise ValueError(f"no training of {label}")
        self.label = label
        self.seed = seed
        self.seeds = tuple(by_seed)
        self.groups = [str(group) for group in next(iter(by_seed.values()))["groups"]]
        self.predictions = tuple(
            predictions_of(
                one["labels"], one["probabilities"], card.classes, card.positive_class, threshold
            )
            for one in by_seed.values()
        )
        self._draws = draws
        self._resampled: dict[str, Float64Array] = {}

    @cached_property
    def weights(self) -> npt.NDArray[np.uint16]:
        """How often each image is taken, (draws, n): the same for all pipelines on the images."""
        return group_weights(self.groups, self._draws, self.seed)

    @cached_property
    def unscorable(self) -> str:
        """Why no metric has a value; '' where metrics may have one."""
        reasons = (why_unscorable(one) for one in self.predictions)
        return next((reason for reason in reasons if reason), "")

    def resampled(self, metric: Metric, name: str, seen: Sequence[Predictions]) -> Float64Array:
        """Return the values of a metric in every draw of patients, (trainings, draws)."""
        if name not in self._resampled:
            rows = [
                resample(lambda portion, one=one: metric.resampled(one, portion), self.weights)  # type: ignore[misc]
                for one in seen
            ]
            self._resampled[name] = np.stack(rows)
        return self._resampled[name]

    def scores(self) -> MeanScores:
        """Return every metric as a mean over the trainings."""
        named = [named_metrics(one) for one in self.predictions]
        return MeanScores(
            label=self.label,
            seeds=list(self.seeds),
            metrics=[
                self._mean(metric, name, [one[place][2] for one in named])
                for place, (metric, name, _) in enumerate(named[0])
            ],
        )

    def _mean(self, metric: Metric, name: str, seen: Sequence[Predictions]) -> MeanValue:
        n = len(self.groups)
        values: list[float] = []
        note, interval = self.unscorable, None
        if not note:
            try:
                values = [metric.value(one) for one in seen]
                n, interval, note = self._interval(metric, name, seen, np.array(values))
            except UndefinedMetric as undefined:
                values, note = [], str(undefined)
        return MeanValue(
            name=name,
            value=float(np.mean(values)) if values else None,
            interval=interval,
            n=n,
            unit=metric.unit,
            note=note,
            by_training=values,
        )

    def _interval(
        self, metric: Metric, name: str, seen: Sequence[Predictions], values: Float64Array
    ) -> tuple[int, Interval | None, str]:
        """Return the number of trials or images, the interval, and why there is none."""
        outcomes = metric.outcomes(seen[0]) if metric.outcomes else None
        if len(set(self.groups)) < 2:
            return len(self.groups) if outcomes is None else len(outcomes), None, ONE_GROUP
        draws = self.resampled(metric, name, seen)
        if outcomes is None:
            found = stretched_interval(values, draws, seed=self.seed, limits=metric.limits)
            return len(self.groups), *found
        shared = interval_of_shares(values, draws, len(outcomes))
        if shared is None:  # all trainings agree on all images
            shared = wilson_by_group(
                outcomes, groups_of_trials(metric, seen[0], outcomes, self.groups)
            )
        return len(outcomes), shared, "" if shared else ONE_GROUP

    def minus(self, other: Repeated, metrics: Sequence[str] = RUN_COMPARED) -> list[MeanDifference]:
        """Return the mean differences to another pipeline under the same seeds.

        Raises ValueError where the seeds or the number of images differ.
        """
        if self.seeds != other.seeds or len(self.groups) != len(other.groups):
            raise ValueError(f"{self.label} and {other.label} are of other seeds or images")
        return [self._minus(other, find_metric(name)) for name in metrics]

    def _minus(self, other: Repeated, metric: Metric) -> MeanDifference:
        apart: list[float] = []
        interval = None
        if not (self.unscorable or other.unscorable):
            try:
                pairs = zip(self.predictions, other.predictions, strict=True)
                apart = [metric.value(a) - metric.value(b) for a, b in pairs]
            except UndefinedMetric:
                apart = []
        if apart and len(set(self.groups)) > 1:
            draws = self.resampled(metric, metric.name, self.predictions) - other.resampled(
                metric, metric.name, other.predictions
            )
            limits = metric.limits
            interval, _ = stretched_interval(
                np.array(apart),
                draws,
                seed=self.seed,
                limits=limits and (limits[0] - limits[1], limits[1] - limits[0]),
            )
        return MeanDifference(
            metric=metric.name,
            pipeline=self.label,
            reference=other.label,
            difference=float(np.mean(apart)) if apart else None,
            interval=interval,
            p_value=None,
            n=len(self.groups),
            discordant=self._equally_right(other) if metric.name == "accuracy" else None,
            by_training=apart,
        )

    def _equally_right(self, other: Repeated) -> tuple[int, int] | None:
        """Return (0, 0) where both are right on the same images in every training."""
        pairs = zip(self.predictions, other.predictions, strict=True)
        return (0, 0) if all(np.array_equal(a.correct, b.correct) for a, b in pairs) else None

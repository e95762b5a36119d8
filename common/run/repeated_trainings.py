"""How often a pipeline was trained, how far its trainings lie apart, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.records import MetricValue, PairedDifference
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView

SAME_IN_EVERY_TRAINING = "the same in every training"


@dataclass(frozen=True)
class TrainingSpread:
    """Values over trainings of the same thing: their mean, lowest and highest."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the arithmetic mean."""
        return sum(self.values) / len(self.values)

    @property
    def width(self) -> float:
        """Return the highest minus the lowest."""
        return max(self.values) - min(self.values)

    def ends(self, *, signed: bool = False) -> str:
        """Say the lowest and the highest value."""
        low, high = (fixed(end, signed=signed) for end in (min(self.values), max(self.values)))
        return f"all {low}" if low == high else f"{low} to {high}"

    def words(self, *, signed: bool = False) -> str:
        """Say how many trainings there are, and the lowest and the highest value.

        Values that are all the very same show that the seed changed nothing, not that it could.
        """
        if self.width == 0:
            return SAME_IN_EVERY_TRAINING
        return f"{len(self.values)} trainings: {self.ends(signed=signed)}"


def spread_of(found: MetricValue | PairedDifference | None) -> TrainingSpread | None:
    """Return the spread of what a value is the mean of; None where it is of one training."""
    values = found.of_trainings if found is not None else ()
    return TrainingSpread(values) if len(values) > 1 else None


def seeds_of(pipeline: PipelineView, metric: str) -> TrainingSpread | None:
    """Return the spread over the seeds a pipeline was trained with; None below two."""
    if (known := spread_of(pipeline.metric(metric))) is not None:
        return known
    first = pipeline.value(metric)
    others = [one.value(metric) for one in pipeline.repeats]
    values = tuple(value for value in (first, *others) if value is not None)
    return TrainingSpread(values) if len(values) > 1 else None


def spread_beside(found: MetricValue | PairedDifference | None, *, signed: bool = False) -> str:
    """Return the words of a value's spread to stand beside it; '' for one training."""
    spread = spread_of(found)
    return spread.words(signed=signed) if spread else ""


def seeds_trained(view: RunView) -> list[int]:
    """Return the seeds of a run that has means over trainings; [] where it has none."""
    means = [one.means.seeds for one in view.pipelines if one.means]
    return list(dict.fromkeys(seed for seeds in means for seed in seeds))


def means_words(view: RunView) -> str:
    """Say what means are of, and what is of the first training alone; '' with one training."""
    seeds = seeds_trained(view)
    if not seeds:
        return ""
    return (
        f"Values are means over trainings under the seeds {', '.join(map(str, seeds))}, each with "
        "keys of its own, on the same images; intervals hold patients and trainings. Confusion, "
        "curves, thresholds, steps of cost, latency and attacks are of the first training, seed "
        f"{seeds[0]}."
    )

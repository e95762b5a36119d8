"""Scores of a run, recomputed from stored predictions alone: scores.json."""

from __future__ import annotations

from pydantic import Field

from he_compare.common.run.records.record_base import (
    SCHEMA_VERSION,
    Interval,
    MeanValue,
    MetricValue,
    Record,
)


class PairedDifference(Record):
    """Difference of two pipelines on the same images."""

    metric: str = Field(description="accuracy, balanced_accuracy or auc")
    pipeline: str = Field(description="Label")
    reference: str = Field(description="Label of the reference")
    difference: float | None = Field(description="pipeline - reference")
    interval: Interval | None = Field(description="Paired bootstrap by group")
    p_value: float | None = Field(description="Of an exact paired test (accuracy only)")
    p_method: str = Field(
        default="",
        description="The test by name; '' in older records: McNemar's, images taken as independent",
    )
    n: int = Field(description="Images in both")
    discordant: tuple[int, int] | None = Field(
        default=None, description="Right only in the pipeline, right only in the reference"
    )

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The differences of several trainings of which this is the mean; () where it is of one."""
        return ()


class MeanDifference(PairedDifference):
    """The mean difference over trainings: each training minus the other's under the same seed."""

    by_training: list[float] = Field(description="The difference under each seed, in their order")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The difference under each seed, in their order."""
        return tuple(self.by_training)


class CostRung(Record):
    """One model on the way from the clear reference to the executed one, and what it costs."""

    name: str = Field(description="The model in words; the last one is what was executed")
    cost: str = Field(description="What the step from the model before costs; '' for the first")
    accuracy: float | None = Field(description="Accuracy; none where it is not defined")
    auc: float | None = Field(description="AUC as the run reports it; none where not defined")
    differences: list[PairedDifference] = Field(
        default_factory=list,
        description="To the model before, on the same images: accuracy and AUC; none for the first",
    )


class OperatingPoint(Record):
    """How test images are called at a threshold that was fixed on validation images alone."""

    threshold: float | None = Field(
        description="Probability of the positive class at or above which it is called; none: it "
        "could not be fixed, see note"
    )
    rule: str = Field(description="How the threshold was fixed")
    scored_by: str = Field(description="What scored the validation images")
    validation_images: list[int] = Field(description="Validation images, by class")
    confusion: list[list[int]] = Field(
        default_factory=list, description="Test images: rows truth, columns prediction"
    )
    sensitivity: MetricValue | None = Field(default=None, description="On the test images")
    specificity: MetricValue | None = Field(default=None, description="On the test images")
    note: str = Field(default="", description="Why there is no threshold")


class CellScores(Record):
    """All metrics of one accuracy cell."""

    identity: str = Field(description="Record the predictions belong to")
    label: str = Field(description="Pipeline label")
    metrics: list[MetricValue] = Field(description="Every metric with its interval")
    confusion: list[list[int]] = Field(description="Rows truth, columns prediction")
    roc: list[tuple[float, float]] = Field(
        default_factory=list,
        description="Binary only: share of the other class and share of the positive class that "
        "are called positive; of the second class where none is positive",
    )
    reliability: list[tuple[float, float, int]] = Field(
        default_factory=list, description="(mean confidence, observed share, n) by bin"
    )
    rungs: list[CostRung] = Field(
        default_factory=list,
        description="From the clear reference to what was executed, one step at a time; none where "
        "the pipeline names no models between them",
    )
    at_validated_threshold: OperatingPoint | None = Field(
        default=None,
        description="At a threshold fixed on validation images; none where no class is positive "
        "or the validation split was not scored",
    )


class MeanScores(Record):
    """All metrics of one pipeline as means over its trainings."""

    label: str = Field(description="Pipeline label")
    seeds: list[int] = Field(description="Seeds of the trainings, the first of the run first")
    metrics: list[MeanValue] = Field(description="Every metric with an interval for both samples")


class ScoreSheet(Record):
    """Scores of a run, recomputed from stored predictions alone."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this schema")
    reference: str = Field(description="Label of the reference of paired differences")
    threshold: float = Field(
        description="Probability at or above which the positive class of two is predicted; where "
        "none is positive, and with more classes, the likeliest class is predicted"
    )
    proportions: str = Field(
        default="",
        description="How intervals of proportions were made; '' in older records: Wilson, images "
        "taken as independent",
    )
    cells: list[CellScores] = Field(description="One per scored accuracy cell")
    repeats: list[CellScores] = Field(
        default_factory=list, description="Of accuracy cells of further seeds: trained once more"
    )
    differences: list[PairedDifference] = Field(
        description="Against the twin of each pipeline, and against the reference"
    )
    means: list[MeanScores] = Field(
        default_factory=list, description="Of pipelines that were trained under several seeds"
    )
    mean_differences: list[MeanDifference] = Field(
        default_factory=list,
        description="As ``differences``, where both pipelines have several seeds in common",
    )
    over_trainings: str = Field(
        default="",
        description="How intervals of means were made; '' without means and in older records",
    )
    against_twins: bool = Field(
        default=False, description="False in older records: against the reference only"
    )

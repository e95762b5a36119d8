"""What a clinic would read in a run: counts, sensitivity, specificity, predictive values, fitness.

The one reader of it for first page, report and terminal. The threshold was fixed on the validation
split when the run was scored; a run without such scores is read at the threshold of its score sheet
and says so. Predictive values depend on how common the disease is among those examined, which no
test set with chosen class shares tells: they are computed for two stated prevalences by Bayes'
theorem (Altman and Bland, BMJ 309:102, 1994).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from he_compare.common.run.fitness import Fitness, fitness_of
from he_compare.common.run.records import CellScores, Interval, MetricValue, OperatingPoint
from he_compare.common.run.view import PipelineView, RunView

# Assumed, not measured: what a clinic meets differs, and balanced test sets hide it.
PREVALENCES = (
    (0.01, "people without complaints are screened"),
    (0.10, "a doctor suspects the disease"),
)
NO_THRESHOLD = "no threshold was fixed on validation images in this run"
LIKELIEST = "no class is positive: the likeliest class is called"
AS_EXECUTED = "as executed"


@dataclass(frozen=True)
class PredictiveValues:
    """What a call is worth at one prevalence.

    ``positive``: share of those called positive who have the disease. ``negative``: share of those
    called negative who have not. None where nobody is called so. Intervals (low, high) combine the
    lower and the upper limits of sensitivity and specificity, which makes them wide, not narrow.
    """

    prevalence: float
    when: str
    positive: float | None
    negative: float | None
    positive_interval: tuple[float, float] | None
    negative_interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClinicalReading:
    """One pipeline as a clinic would read it.

    ``positive``, ``negative``: names of the two classes, '' where no class is positive; then
    ``threshold``, ``sensitivity``, ``specificity`` are None and ``predictive`` is empty.
    ``validated``: True where the threshold was fixed on validation images. ``threshold_words``:
    "fixed on ..." or "not fixed: ...", without its value. ``confusion``: test images, rows truth
    and columns prediction. ``counts``: the errors in one sentence without a full stop.
    ``recalls``: by class, in the order of the classes, where the likeliest class (of two with a
    positive: at the sheet's threshold) is called. ``fit``: whether a clinic could use it, the same
    for all pipelines of a run.
    """

    positive: str
    negative: str
    validated: bool
    threshold: float | None
    threshold_words: str
    confusion: tuple[tuple[int, ...], ...]
    counts: str
    sensitivity: MetricValue | None
    specificity: MetricValue | None
    predictive: tuple[PredictiveValues, ...]
    recalls: tuple[tuple[str, MetricValue], ...]
    fit: Fitness

    @property
    def worst(self) -> tuple[str, MetricValue] | None:
        """The class that is recognised least, with its recall."""
        known = [one for one in self.recalls if one[1].value is not None]
        return min(known, key=lambda one: one[1].value or 0.0) if known else None


def clinical_reading(view: RunView, pipeline: PipelineView) -> ClinicalReading | None:
    """Return what a clinic would read of a pipeline; None where it was not scored."""
    cell = pipeline.scores
    if view.scores is None or cell is None or not cell.confusion:
        return None
    if not view.positive:
        return _by_class(view, pipeline, cell)
    point = cell.at_validated_threshold
    if point is not None and point.threshold is not None:
        return _of_two(view, pipeline, point, validated=True, words=threshold_words(point))
    unasked = OperatingPoint(
        threshold=view.scores.threshold,
        rule="",
        scored_by="",
        validation_images=[],
        confusion=cell.confusion,
        sensitivity=pipeline.first_metric("sensitivity"),
        specificity=pipeline.first_metric("specificity"),
    )
    why = point.note if point else NO_THRESHOLD
    return _of_two(view, pipeline, unasked, validated=False, words=f"not fixed: {why}")


def threshold_words(point: OperatingPoint) -> str:
    """Say how a threshold was fixed and on what, without its value."""
    return f"fixed on {sum(point.validation_images):,} validation images: {point.rule}"


def _of_two(
    view: RunView, pipeline: PipelineView, point: OperatingPoint, *, validated: bool, words: str
) -> ClinicalReading:
    classes = view.manifest.dataset.card.classes
    positive = classes.index(view.positive)
    sick, healthy = point.confusion[positive], point.confusion[1 - positive]
    name, other = classes[positive], classes[1 - positive]
    counts = (
        f"Of {sum(healthy):,} {other} images {healthy[positive]:,} were called {name}; "
        f"of {sum(sick):,} {name} images {sick[1 - positive]:,} were missed"
    )
    return ClinicalReading(
        positive=name,
        negative=other,
        validated=validated,
        threshold=point.threshold,
        threshold_words=words,
        confusion=_rows(point.confusion),
        counts=counts,
        sensitivity=point.sensitivity,
        specificity=point.specificity,
        predictive=predictive_values(point.sensitivity, point.specificity),
        recalls=_recalls(view, pipeline),
        fit=fitness_of(view),
    )


def _by_class(view: RunView, pipeline: PipelineView, cell: CellScores) -> ClinicalReading:
    """Read a run without a positive class: recalls, and the class that is recognised least."""
    reading = ClinicalReading(
        positive="",
        negative="",
        validated=False,
        threshold=None,
        threshold_words=LIKELIEST,
        confusion=_rows(cell.confusion),
        counts="",
        sensitivity=None,
        specificity=None,
        predictive=(),
        recalls=_recalls(view, pipeline),
        fit=fitness_of(view),
    )
    if reading.worst is None:
        return reading
    name = reading.worst[0]
    place = view.manifest.dataset.card.classes.index(name)
    row = cell.confusion[place]
    right = f"{row[place]:,} of its {sum(row):,} images were called right"
    counts = f"The class recognised least is {name}: {right}"
    return replace(reading, counts=counts)


def _rows(confusion: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in confusion)


def _recalls(view: RunView, pipeline: PipelineView) -> tuple[tuple[str, MetricValue], ...]:
    classes = view.manifest.dataset.card.classes
    found = [(name, pipeline.first_metric(f"recall[{name}]")) for name in classes]
    return tuple((name, metric) for name, metric in found if metric is not None)


def predictive_values(
    sensitivity: MetricValue | None, specificity: MetricValue | None
) -> tuple[PredictiveValues, ...]:
    """Return predictive values at the stated prevalences; none where a share is not known."""
    if sensitivity is None or specificity is None:
        return ()
    if sensitivity.value is None or specificity.value is None:
        return ()
    best = (sensitivity.value, specificity.value)
    ends = _ends(sensitivity.interval, specificity.interval)
    return tuple(
        PredictiveValues(
            prevalence=prevalence,
            when=when,
            positive=positive_predictive_value(*best, prevalence),
            negative=negative_predictive_value(*best, prevalence),
            positive_interval=_between(ends, positive_predictive_value, prevalence),
            negative_interval=_between(ends, negative_predictive_value, prevalence),
        )
        for prevalence, when in PREVALENCES
    )


def positive_predictive_value(
    sensitivity: float, specificity: float, prevalence: float
) -> float | None:
    """Return the share of those called positive who are; None where nobody is called so."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return true / (true + false) if true + false > 0 else None


def negative_predictive_value(
    sensitivity: float, specificity: float, prevalence: float
) -> float | None:
    """Return the share of those called negative who are; None where nobody is called so."""
    return positive_predictive_value(specificity, sensitivity, 1 - prevalence)


Ends = tuple[tuple[float, float], tuple[float, float]]


def _ends(sensitivity: Interval | None, specificity: Interval | None) -> Ends | None:
    """Return (sensitivity, specificity) with both at their lower, and both at their upper ends."""
    if sensitivity is None or specificity is None:
        return None
    return (sensitivity.low, specificity.low), (sensitivity.high, specificity.high)


def _between(
    ends: Ends | None, value: Callable[[float, float, float], float | None], prevalence: float
) -> tuple[float, float] | None:
    """Return the values at both ends: a predictive value rises with both shares."""
    if ends is None:
        return None
    low, high = value(*ends[0], prevalence), value(*ends[1], prevalence)
    return None if low is None or high is None else (low, high)

"""Findings on accuracy: equal answers, the price against the twin, probabilities that mislead."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import spread_beside, spread_of
from he_compare.common.run.spelling import bracket, fixed, scientific
from he_compare.common.run.view import RunView
from he_compare.reports.answer.price import metric_name
from he_compare.reports.cards import card
from he_compare.reports.document.nodes import FindingCard, Severity
from he_compare.reports.findings.on_security import shown_by
from he_compare.reports.naming import record_ids, short_title

# A loss whose interval stays above this is called small; the margin is printed with the finding.
ACCURACY_MARGIN = 0.05
# Mean gap between stated confidence and observed share above which probabilities mislead.
ECE_LIMIT = 0.10


def executed_agreement(view: RunView) -> Iterator[FindingCard]:
    """Compare executed predictions with those of the clear model."""
    for pipeline in view.pipelines:
        record = pipeline.measured
        if record is None or record.agreement is None:
            continue
        found = record.agreement
        yield card(
            "pass" if found.holds and found.compared else "fail",
            f"{short_title(view, pipeline)}: {found.agree} of {found.compared} predictions on "
            f"protected data equal those of the {found.reference}; largest score "
            f"difference {scientific(found.max_abs_score_difference)}{found.noise_words}.",
            record_ids([record]),
            "Shows that protection does not change the answer; shows nothing about what it hides.",
            reproduce=shown_by(record),
        )


ONE_TRAINING_ONLY = "How far repeated trainings differ is not in these intervals."
WITH_TRAININGS = "These intervals hold patients and trainings."


def price_in_accuracy(view: RunView) -> Iterator[FindingCard]:
    """Judge each protected pipeline's loss by the intervals of its differences to its twin."""
    for pipeline in view.pipelines:
        twin = view.twin_of(pipeline)
        if not pipeline.protected or twin is None:
            continue
        found = [pipeline.difference(metric) for metric in leading_metrics(view)]
        known = [one for one in found if one and one.interval and one.difference is not None]
        if not known:
            continue
        severity, words = judged_loss(known)
        told = ", ".join(
            f"{metric_name(one.metric)} {fixed(one.difference or 0.0, signed=True)} "
            f"{bracket(one.interval, signed=True)}{_spread(one)}"
            for one in known
        )
        yield card(
            severity,
            f"{short_title(view, pipeline)} minus its twin {short_title(view, twin)}, on the same "
            f"{known[0].n} images: {told}: {words}.",
            record_ids(pipeline.cells[:1]),
            f"The margin of {ACCURACY_MARGIN} is this tool's choice, not a clinical one. "
            + (WITH_TRAININGS if any(map(spread_of, known)) else ONE_TRAINING_ONLY),
            reproduce="compare score RUN",
        )


def _spread(one: PairedDifference) -> str:
    words = spread_beside(one, signed=True)
    return f" ({words})" if words else ""


def judged_loss(known: list[PairedDifference]) -> tuple[Severity, str]:
    """Judge differences with intervals: a loss that is shown comes before one that is small."""
    intervals = [(metric_name(one.metric), one.interval) for one in known if one.interval]
    shown = [name for name, interval in intervals if interval.high < 0]
    if shown:
        return "warn", f"a loss of {' and '.join(shown)} is shown"
    wide = [name for name, interval in intervals if interval.low < -ACCURACY_MARGIN]
    if wide:
        open_ = " and ".join(wide)
        return "unknown", f"a loss of {open_} above {ACCURACY_MARGIN} is neither shown nor excluded"
    return "pass", f"no loss is shown, and one above {ACCURACY_MARGIN} is excluded at 95%"


def calibration(view: RunView) -> Iterator[FindingCard]:
    """Warn of probabilities that do not mean what they say; controls are left out."""
    for pipeline in view.pipelines:
        metric = pipeline.metric("ece")
        if is_control_pipeline(pipeline):
            continue
        if metric is None or metric.value is None or metric.value <= ECE_LIMIT:
            continue
        yield card(
            "warn",
            f"{short_title(view, pipeline)}: stated confidence and observed share differ by "
            f"{fixed(metric.value)} {bracket(metric.interval)} on average, above {ECE_LIMIT:.2f}.",
            record_ids(pipeline.cells[:1]),
            "Its probabilities must not be read as risks without recalibration.",
            reproduce="compare score RUN",
        )

"""Which protection to choose where a server must not see images, and who does the work."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import secrecy_of
from he_compare.common.run.records import RunRecord
from he_compare.common.run.spelling import megabytes, milliseconds
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Side, Stage
from he_compare.reports.answer.price import differences_known, loss_shown, price_words
from he_compare.reports.answer.scrambling_words import HOW_TO_AUDIT, spelled
from he_compare.reports.answer.sides import Sides, with_results
from he_compare.reports.document.nodes import Bold, Content, Inline, inline
from he_compare.reports.naming import short_title

IF_A_SERVER = "If a server must not see images or scores"
LOST = ("broken", "partly")


@dataclass(frozen=True)
class Recommendation:
    """What the rules choose among encrypted pipelines.

    ``chosen``: None where nothing can be. ``equal``: others that the rules cannot tell from it.
    """

    chosen: PipelineView | None
    equal: tuple[PipelineView, ...] = ()


def choice_of(view: RunView, sides: Sides) -> Recommendation:
    """Choose among what was measured and not broken, by the rules of the package."""
    kept = [one for one in with_results(sides.encrypted) if secrecy_of(view, one).mark not in LOST]
    if not kept:
        return Recommendation(None)
    good = [one for one in kept if not loss_shown(view, one)] or kept
    good = [one for one in good if not _training_bytes(one)] or good
    if not any(differences_known(view, one) for one in good):
        good = _most_accurate(view, good)
    timed = [(latency.total, one) for one in good if (latency := latency_of(one))]
    if not timed:
        ranked = sorted(good, key=lambda one: -(one.value(leading_metrics(view)[0]) or 0.0))
        return Recommendation(ranked[0], tuple(ranked[1:]))
    first, chosen = min(timed, key=lambda one: one[0].p50)
    equal = [
        one
        for spread, one in timed
        if one is not chosen
        and not (first.interval and spread.interval and first.interval.high < spread.interval.low)
    ]
    return Recommendation(chosen, tuple(equal))


def _most_accurate(view: RunView, pipelines: list[PipelineView]) -> list[PipelineView]:
    """Return those of the highest value of what leads: all that is known without their twins."""
    name = leading_metrics(view)[0]
    best = max((one.value(name) or 0.0 for one in pipelines), default=0.0)
    return [one for one in pipelines if (one.value(name) or 0.0) == best]


def choice_words(view: RunView, sides: Sides, choice: Recommendation) -> Inline:
    """Return the paragraph on the choice, its price and its work."""
    if choice.chosen is None:
        return _nothing_to_choose(view, sides)
    name = short_title(view, choice.chosen)
    if choice.equal:
        count = len(choice.equal)
        other = short_title(view, choice.equal[0]) if count == 1 else f"{spelled(count)} others"
        name += f" (or {other})"
    parts: list[Content] = []
    if secrecy_of(view, choice.chosen).mark == "held":
        parts += [Bold(f"{IF_A_SERVER}, choose {name}."), " "]
    else:
        parts += [Bold(f"{IF_A_SERVER}, {name} is the candidate; its secrecy was not tested.")]
        parts += [f" {_why_untested(view, choice.chosen)} "]
    if choice.equal:
        parts.append("Neither loss nor wait tells them apart here. ")
        parts.append(price_words(view, choice.chosen, short_title(view, choice.chosen)))
    else:
        parts.append(price_words(view, choice.chosen))
    parts.append(work_words(view, choice.chosen))
    parts.append(_alone_words(view, sides, choice.chosen))
    parts.append(_trained_words(view, sides, choice.chosen))
    return inline(*[part for part in parts if part])


def _why_untested(view: RunView, pipeline: PipelineView) -> str:
    if not view.outcomes:
        return f"No attack was run: {HOW_TO_AUDIT}."
    if not outcomes_of(view, pipeline):
        return f"No attack was run on it: {HOW_TO_AUDIT}."
    return f"{secrecy_of(view, pipeline).words[:1].upper()}{secrecy_of(view, pipeline).words[1:]}."


def _nothing_to_choose(view: RunView, sides: Sides) -> Inline:
    if not sides.encrypted:
        head = "This run has no encrypted set-up, so it cannot say what encryption costs."
        if not sides.scrambled:
            head = "This run has no protected set-up, so it cannot say what protection costs."
        words = "Add --pipeline fhe-head to the command."
    elif not with_results(sides.encrypted):
        head = "Encryption gave no result."
        told = [f"{short_title(view, one)}: {one.trouble}" for one in sides.encrypted[:2]]
        words = "; ".join(told) + "."
    else:
        head = "No encryption of this run kept everything secret: none can be chosen."
        told = [
            f"{short_title(view, one)}: {secrecy_of(view, one).words.partition(': ')[2]}"
            for one in with_results(sides.encrypted)[:3]
        ]
        words = "; ".join(told) + "."
    return inline(Bold(head), f" {words} {_without_words(view, sides)}".rstrip())


def work_words(view: RunView, pipeline: PipelineView) -> str:
    """Say who computes what and who trained the last layer, as far as it was recorded."""
    record, work = pipeline.measured, pipeline.planned.work
    own = _network_seconds(pipeline)
    if work is None and own is None:
        return " Who computes what was not recorded."
    told = " The hospital runs the image network itself"
    if own is None and work is not None:
        told = f" The hospital {work.hospital}"
    told += f" ({milliseconds(own)} ms)" if own is not None else ""
    weights = weights_words(view, record) if record else ""
    verb = "trains and evaluates" if work and "trains" in work.server else "evaluates"
    told += f"; the server {verb} only the last layer{weights}."
    if work and work.head_trained_by:
        told += f" That layer was trained by {work.head_trained_by}."
    return told


def weights_words(view: RunView, record: RunRecord) -> str:
    """Say how many numbers the last layer has, where that is known; two classes need one set."""
    width = record.training.get("features")
    if not isinstance(width, int):
        width = view.manifest.backbone.feature_width if record.cell.pipeline == "fhe-head" else 0
    if not width:
        return ""
    classes = len(view.manifest.dataset.card.classes)
    if classes == 2:
        return f", {width:,} weights and a bias"
    return f", {width:,} weights and a bias for each of {classes} classes"


def _network_seconds(pipeline: PipelineView) -> float | None:
    latency = latency_of(pipeline)
    stages = latency.stages if latency else ()
    return next(
        (
            one.spread.p50
            for one in stages
            if one.stage is Stage.FEATURES and one.side is Side.CLIENT
        ),
        None,
    )


def _alone_words(view: RunView, sides: Sides, chosen: PipelineView) -> str:
    """Say that the hospital could do it alone, and what that takes."""
    taken = _taken_alone(view, sides)
    cost = f": {taken}" if taken else ""
    if chosen.planned.work and chosen.planned.work.head_owner.startswith("the hospital"):
        return f" In this run it is the hospital's own layer, which needs no server{cost}."
    return f" If nobody else owns that layer, no server is needed{cost}."


def _without_words(view: RunView, sides: Sides) -> str:
    """Say what the hospital alone takes; '' where the run has no such set-up."""
    taken = _taken_alone(view, sides)
    return f"Without any server, {taken}." if taken else ""


def _taken_alone(view: RunView, sides: Sides) -> str:
    for one in sides.alone:
        if latency := latency_of(one):
            return f"{short_title(view, one)} takes {milliseconds(latency.total.p50)} ms per image"
    return ""


def _trained_words(view: RunView, sides: Sides, chosen: PipelineView) -> str:
    """Name what also trains on ciphertexts, where that is another pipeline than the chosen one."""
    for one in with_results(sides.encrypted):
        if one is not chosen and (sent := _training_bytes(one)):
            size = megabytes(sent)
            name = short_title(view, one)
            return f" Only {name} also trains that layer on ciphertexts ({size} MB sent once)."
    return ""


def _training_bytes(pipeline: PipelineView) -> int:
    sent = pipeline.measured.traffic if pipeline.measured else None
    return sent.training_upload_bytes if sent else 0

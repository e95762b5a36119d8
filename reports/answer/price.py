"""What a protection costs against the same model without it: answers, time, bytes, accuracy."""

from __future__ import annotations

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import spread_beside, spread_of
from he_compare.common.run.spelling import bracket, fixed, milliseconds, significant
from he_compare.common.run.timing import latency_of
from he_compare.common.run.twin_words import no_twin_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.naming import short_title

METRIC_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}


def metric_name(name: str) -> str:
    """Return a metric's name within a sentence."""
    return METRIC_NAMES.get(name, name.replace("_", " "))


def loss_shown(view: RunView, pipeline: PipelineView) -> bool:
    """Say whether a leading metric lies below the twin's with its whole interval."""
    found = [pipeline.difference(metric) for metric in leading_metrics(view)]
    return any(one and one.interval and one.interval.high < 0 for one in found)


def differences_known(view: RunView, pipeline: PipelineView) -> bool:
    """Say whether a difference to the twin is stored in a leading metric."""
    return any(pipeline.difference(metric) for metric in leading_metrics(view))


def price_words(view: RunView, pipeline: PipelineView, subject: str = "It") -> str:
    """Return the price in one or two sentences; what is not known is said to be unknown.

    ``subject``: what the pipeline is called in the first.
    """
    twin = view.twin_of(pipeline)
    if twin is None:
        missing = no_twin_words(view, pipeline)
        return f"Its price is unknown ({missing}).{_alone_words(pipeline)}"
    name = f"its unprotected twin, {short_title(view, twin)}"
    same, n = equal_answers(view, pipeline)
    gained = _extra(pipeline, twin)
    if n and same == n:
        kind = "gave the answer of" if _binary(view) else "was right on the same images as"
        spread = spread_of(pipeline.difference("accuracy"))
        every = f" in each of {len(spread.values)} trainings" if spread else ""
        first = f"{subject} {kind} {name}, on {n} of {n} images{every}"
        return f"{first}, for {gained}." if gained else f"{first}."
    shown = _differences(view, pipeline)
    missing = sentence(no_twin_words(view, pipeline).replace("`", "“", 1).replace("`", "”", 1))
    if not shown:
        return f"Against {name}: {gained}. {missing}." if gained else f"{missing}."
    first = f"Against {name}: {shown}"
    return f"{first}, for {gained}." if gained else f"{first}."


def equal_answers(view: RunView, pipeline: PipelineView) -> tuple[int, int]:
    """Return on how many images pipeline and twin are equally right, and of how many; (0, 0): none.

    With two classes, equally right is the same answer.
    """
    found = pipeline.difference("accuracy")
    if found is None or found.discordant is None:
        return 0, 0
    return found.n - sum(found.discordant), found.n


def sentence(text: str) -> str:
    """Return words with a capital at the start."""
    return text[:1].upper() + text[1:]


def _differences(view: RunView, pipeline: PipelineView) -> str:
    """Say which leading metrics differ for sure, and that no difference was shown for the rest."""
    found = [pipeline.difference(metric) for metric in leading_metrics(view)]
    known = [one for one in found if one is not None and one.difference is not None]
    if not known:
        return ""
    clear = [_gap_words(one) for one in known if not _holds_zero(one)]
    unclear = [_gap_words(one) for one in known if _holds_zero(one)]
    parts = [f"{' and '.join(clear)}"] if clear else []
    parts += [f"no difference shown in {' or '.join(unclear)}"] if unclear else []
    return ", ".join(parts)


def _holds_zero(found: PairedDifference) -> bool:
    return found.interval is None or found.interval.low <= 0 <= found.interval.high


def _gap_words(found: PairedDifference) -> str:
    assert found.difference is not None
    limits = bracket(found.interval, signed=True) or "no interval"
    shown = f"{metric_name(found.metric)} {fixed(found.difference, signed=True)}"
    spread = spread_beside(found, signed=True)
    return f"{shown} {limits}{spread and f' ({spread})'}"


def _extra(pipeline: PipelineView, twin: PipelineView) -> str:
    """Say how many milliseconds more an image takes, and how many times the bytes."""
    parts = []
    mine, theirs = latency_of(pipeline), latency_of(twin)
    if mine and theirs:
        gap = mine.total.p50 - theirs.total.p50
        word = "more" if gap >= 0 else "less"
        pair = f"{milliseconds(mine.total.p50)} against {milliseconds(theirs.total.p50)} ms"
        parts.append(f"{milliseconds(abs(gap))} ms {word} per image (medians: {pair})")
    sent, base = pipeline.bytes_per_image, twin.bytes_per_image
    if sent and base and sum(base) > 0:
        parts.append(f"{significant(sum(sent) / sum(base), 2)} times the bytes")
    return " and ".join(parts)


def _alone_words(pipeline: PipelineView) -> str:
    latency = latency_of(pipeline)
    return f" One image takes {milliseconds(latency.total.p50)} ms." if latency else ""


def _binary(view: RunView) -> bool:
    return len(view.manifest.dataset.card.classes) == 2

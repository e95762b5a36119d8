"""The verdict in plain words: sentences that rules make from records, no adjective, no ranking.

Rules, in order: what an unprotected pipeline costs; for each ground a claim can stand on, the
pipeline with the highest accuracy and, where intervals show another to be quicker, the one with the
shortest wait, among those that no attack broke (where all were broken, that is said before any is
named), each with its price, what attacks found and the record it rests on; what the hospital pays
without a server; what gave no result; what attacks broke, or that none was run. A difference whose
interval holds zero is called "no difference shown", never "equal"; a pipeline that no attack broke
is never called "secure".
"""

from __future__ import annotations

from he_compare.common.run.outcomes import (
    how_many,
    resisted,
    standing,
    strongest,
    unread,
    won_beyond,
    worst_of,
)
from he_compare.common.run.records import AttackOutcome, Verdict
from he_compare.common.run.severity import GRAVITY, WON
from he_compare.common.run.spelling import bracket, duration, fixed, probability, significant, size
from he_compare.common.run.timing import fit_seconds, latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Bold, Content, Inline, inline
from he_compare.reports.naming import record_ids, short_id, short_title

GROUNDS = (
    ("reduction to a hardness assumption", "the claim must rest on a hardness assumption"),
    ("heuristic", "a heuristic claim is enough"),
)
WHEN_A_SERVER = (
    "Whoever has the images, the network and the head compares the other rows with this one; for "
    "when a server is used all the same, see “Hospital alone”."
)
NO_STRONGEST_ATTACK = (
    "No attack was run on this run's pipelines: no claim was tested, and the column “Strongest "
    "attack” is not a pass."
)


def verdict_words(view: RunView) -> list[Inline]:
    """Return the verdict's paragraphs."""
    first: list[Content] = [_scope(view), _reference(view)]
    first += [inline(f" {_missing(view)}")] if _missing(view) else []
    choices = [_choice(view, ground, when) for ground, when in GROUNDS]
    alone = without_a_server(view)
    return [
        inline(*first),
        *[words for words in choices if words],
        *([alone] if alone else []),
        _attacked(view),
    ]


def without_a_server(view: RunView) -> Inline:
    """Say what the same work costs at the hospital alone; empty where no pipeline does that."""
    found = [one for one in view.pipelines if one.no_server and one.measured]
    if not found:
        return ()
    parts: list[Inline] = [inline("Without any server: ")]
    for position, pipeline in enumerate(found):
        name = Bold(short_title(view, pipeline))
        parts.append(inline("; " if position else "", name, f": {_price(view, pipeline)}"))
        parts.append(inline(_training(pipeline)))
        parts.append(inline(" (record ", record_ids(pipeline.cells[:1]), ")"))
    words = ". Nothing leaves the hospital, so that there is nothing to attack. " + WHEN_A_SERVER
    return inline(*parts, words)


def _attacked(view: RunView) -> Inline:
    """Say which pipelines an executed attack broke, and which it did not within the budget."""
    if not view.outcomes:
        return inline(NO_STRONGEST_ATTACK)
    groups: dict[Verdict, list[str]] = {}
    for pipeline in view.pipelines:
        verdict, by = strongest(view, pipeline)
        if pipeline.protected:
            groups.setdefault(verdict, []).append(f"{short_title(view, pipeline)} ({by})")
    parts: list[Content] = ["Attacks that were run: "]
    for verdict, names in sorted(groups.items(), key=lambda item: GRAVITY.index(item[0])):
        parts += [Bold(verdict), f": {', '.join(names)}; "]
    parts.append("“resists” holds only for the stated budget and for what is claimed.")
    return inline(*parts)


def _scope(view: RunView) -> str:
    card = view.manifest.dataset.card
    words = f"Every pipeline got the same {view.n_test} test images of “{card.title}”. "
    if view.manifest.backbone.untrained:
        words += "The backbone is untrained, so no accuracy below says anything about DeiT. "
    if card.synthetic:
        words += "The images are synthetic, so no accuracy below says anything about patients. "
    return words


def _reference(view: RunView) -> Inline:
    reference = view.reference
    if reference is None:
        return inline("The run has no scores, so accuracies and differences are missing.")
    words: list[Content] = [
        Bold(short_title(view, reference)),
        " is the reference for all differences",
    ]
    accuracy = reference.metric("accuracy")
    if accuracy is not None and accuracy.value is not None:
        limits = bracket(accuracy.interval)
        words.append(f": accuracy {fixed(accuracy.value)} {limits}, n = {accuracy.n}")
    latency = latency_of(reference)
    if latency is not None:
        words.append(f", one image in {duration(latency.total.p50)} (p50, n = {latency.total.n})")
    moved = reference.bytes_per_image
    if moved is not None:
        words.append(f", {size(sum(moved))} transferred per image")
    return inline(*words, ".")


def _missing(view: RunView) -> str:
    lost = [short_title(view, pipeline) for pipeline in view.pipelines if pipeline.measured is None]
    if not lost:
        return ""
    return f"{len(lost)} of {len(view.pipelines)} pipelines gave no result: {'; '.join(lost)}."


def _choice(view: RunView, ground: str, when: str) -> Inline:
    """Say which pipelines of one ground to choose, and at which price; empty where none ran."""
    group = [
        pipeline
        for pipeline in view.pipelines
        if pipeline.measured and pipeline.claims and pipeline.claims.claim_type == ground
    ]
    if not group:
        return ()
    kept = [pipeline for pipeline in group if standing(view, pipeline) != "broken"]
    named = [("highest accuracy", max(kept or group, key=_accuracy))]
    timed = [pipeline for pipeline in kept or group if latency_of(pipeline)]
    quickest = min(timed, key=_wait) if timed else None
    if quickest is not None and _shown_quicker(quickest, named[0][1]):
        named.append(("shortest wait", quickest))
    among = f" of {len(group)} such pipelines" if len(group) > 1 else ""
    if 0 < len(kept) < len(group):
        among = f" of the {len(kept)} of {len(group)} such pipelines that no attack broke"
    parts: list[Inline] = [inline("If ", when, ", choose ")]
    if not kept:
        words = (
            f": attacks broke {len(group)} of {len(group)} such pipelines. Only if no adversary "
        )
        parts = [inline("If ", when, words, "can have what is named here, choose ")]
    for position, (why, pipeline) in enumerate(named):
        parts.append(inline("; or " if position else "", Bold(short_title(view, pipeline))))
        if among:
            parts.append(inline(f" ({why}{among})"))
        price = inline(
            ": ", _price(view, pipeline), _training(pipeline), _adversary(view, pipeline)
        )
        parts.append(inline(price, " (record ", record_ids(pipeline.cells[:1]), ")"))
    return inline(*parts, ".", _hidden(view, group))


def _hidden(view: RunView, group: list[PipelineView]) -> str:
    """Say what each pipeline states to hide, where that is not the same for all of a group."""
    names: dict[str, list[str]] = {}
    for one in group:
        if one.claims:
            names.setdefault(one.claims.protects, []).append(short_title(view, one))
    if len(names) < 2:
        return ""
    told = [f"{', '.join(titles)}: {protects}" for protects, titles in names.items()]
    return f" They do not claim to hide the same. {'; '.join(told)}."


def _training(pipeline: PipelineView) -> str:
    seconds = fit_seconds(pipeline)
    return "" if seconds is None else f", trained in {duration(seconds)}"


def _adversary(view: RunView, pipeline: PipelineView) -> Inline:
    """Say what attacks found: the worst outcome with the adversary it needs; empty if none ran."""
    worst = worst_of(view, pipeline)
    if worst is None:
        return ()
    beyond = won_beyond(view, pipeline)
    if worst in beyond:
        return inline("; no attack on what it claims ran", _beyond(beyond))
    if worst.verdict in WON:
        how = "broken" if worst.verdict == "broken" else "partly broken"
        words = f"; {how} by an adversary with {worst.rung.value}: {_headline(worst)} ("
        return inline(words, short_id(worst.identity), ")")
    if worst.verdict == "resists within budget":
        ran = how_many(len(resisted(view, pipeline)))
        words = f"; resists {ran} on what it claims, within their budget"
        if unknown := unread(view, pipeline):
            words += f"; {how_many(len(unknown))} could not read it"
        return inline(words, _beyond(beyond))
    return inline(f"; no reliable attack result ({worst.verdict})")


def _beyond(won: list[AttackOutcome]) -> Inline:
    """Say which attacks won what the pipeline does not claim to keep; empty where none did."""
    if not won:
        return ()
    parts: list[Content] = [f"; succeeded beyond its claims ({len(won)}): "]
    for position, one in enumerate(won):
        parts += [", " if position else "", one.title or one.attack, " (", short_id(one.identity)]
        parts.append(")")
    return inline(*parts)


def _headline(outcome: AttackOutcome) -> str:
    return (outcome.headline or outcome.title or outcome.attack).rstrip(".")


def _accuracy(pipeline: PipelineView) -> float:
    metric = pipeline.metric("accuracy")
    return metric.value if metric is not None and metric.value is not None else -1.0


def _wait(pipeline: PipelineView) -> float:
    latency = latency_of(pipeline)
    return latency.total.p50 if latency else float("inf")


def _shown_quicker(one: PipelineView, other: PipelineView) -> bool:
    """Return whether the interval of one's median lies below that of the other's; no if unknown."""
    found = [latency_of(one), latency_of(other)]
    mine, theirs = (latency.total.interval if latency else None for latency in found)
    return mine is not None and theirs is not None and mine.high < theirs.low


def _price(view: RunView, pipeline: PipelineView) -> str:
    parts = [_difference(pipeline), _auc_shown(pipeline)]
    latency = latency_of(pipeline)
    if latency is not None:
        wait = f"{duration(latency.total.p50)} per image (p50, n = {latency.total.n})"
        parts.append(wait + _times(view, latency.total.p50))
    moved = pipeline.bytes_per_image
    if moved is not None:
        parts.append(f"{size(sum(moved))} transferred per image")
    return ", ".join(part for part in parts if part)


def _times(view: RunView, seconds: float) -> str:
    latency = latency_of(view.reference) if view.reference else None
    if latency is None or latency.total.p50 <= 0:
        return ""
    return f", {significant(seconds / latency.total.p50, 2)} times the reference"


def _difference(pipeline: PipelineView) -> str:
    found = pipeline.difference("accuracy")
    if found is None or found.difference is None:
        return "accuracy difference unknown"
    gap = fixed(found.difference, signed=True)
    words = f"accuracy differs by {gap} {bracket(found.interval, signed=True)} from the reference"
    words += f" (n = {found.n}"
    if found.p_value is not None:
        words += f", paired test p {_equals(probability(found.p_value))}"
    if found.interval is not None and found.interval.low <= 0 <= found.interval.high:
        words += ", no difference shown"
    return words + ")"


def _auc_shown(pipeline: PipelineView) -> str:
    """Return the difference in AUC where its interval shows one, so that none is kept back."""
    found = pipeline.difference("auc")
    if found is None or found.difference is None or found.interval is None:
        return ""
    if found.interval.low <= 0 <= found.interval.high:
        return ""
    gap = fixed(found.difference, signed=True)
    return f"AUC differs by {gap} {bracket(found.interval, signed=True)}"


def _equals(value: str) -> str:
    return value if value.startswith("<") else f"= {value}"

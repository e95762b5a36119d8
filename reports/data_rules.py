"""Deviations of the backbone, the dataset and public images, each found by a rule."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.copies_words import (
    copies_sentence,
    images,
    near_sentence,
    tested_sentence,
)
from he_compare.common.run.outcomes import name_attacks
from he_compare.common.run.records import AttackOutcome, CopiesFacts, DatasetSummary
from he_compare.common.run.spelling import fixed
from he_compare.common.run.store import COPIES_TABLE
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.statistics.evaluation import wilson_half_width
from he_compare.reports.cards import Rule, card
from he_compare.reports.document.nodes import FindingCard, inline
from he_compare.reports.naming import outcome_ids, record_ids, short_title

WIDEST_HALF_INTERVAL = 0.05
NEAR_DOMAINS = {
    "in-domain": "an in-domain reference",
    "domain not known": "of which it is not known whether they are of the collection under test",
}
_MANIFEST = inline("manifest.json")


def _backbone(view: RunView) -> Iterator[FindingCard]:
    backbone = view.manifest.backbone
    if backbone.untrained:
        yield card(
            "fail",
            f"The backbone {backbone.name} is untrained: its weights are random.",
            _MANIFEST,
            "Accuracy says nothing about DeiT. Timings, bytes and agreement are not affected.",
        )
    elif backbone.weights in ("shipped", "package"):
        yield card(
            "warn",
            f"The backbone's weights come with the package, not from timm: {backbone.provenance}",
            _MANIFEST,
            "Accuracies are not those of the published DeiT.",
        )
    if shared := set(backbone.pretrained_on) & set(view.manifest.dataset.card.collections):
        yield card(
            "warn",
            f"In-domain pretraining: the weights were trained on {', '.join(sorted(shared))}, the "
            "collection under test.",
            _MANIFEST,
            "Accuracies are higher than with weights that never saw this collection.",
        )
    elif not backbone.untrained and not (
        backbone.pretrained_on and view.manifest.dataset.card.collections
    ):
        yield card(
            "unknown",
            "It is not recorded whether the weights were learnt from the collection under test.",
            _MANIFEST,
            "If they were, accuracies are higher than with weights that never saw it.",
        )


def _references(view: RunView) -> Iterator[FindingCard]:
    """Public images of the collection under test, or of one that is not known."""
    matched: dict[str, list[PipelineView]] = {}
    for pipeline in view.pipelines:
        for record in pipeline.cells[:1]:
            name = record.training.get("matching_reference")
            domain = record.training.get("matching_reference_domain")
            if domain in NEAR_DOMAINS:
                matched.setdefault(f"{name}, {NEAR_DOMAINS[domain]}", []).append(pipeline)
    for words, pipelines in matched.items():
        yield card(
            "warn",
            f"{', '.join(short_title(view, one) for one in pipelines)}: matched to public images, "
            f"{words}.",
            record_ids([one.cells[0] for one in pipelines]),
            "A server with images of another collection may match less, and train to a lower "
            "accuracy.",
        )
    by_reference: dict[str, list[AttackOutcome]] = {}
    for outcome in view.outcomes:
        used = outcome.reference
        if used and used.domain in NEAR_DOMAINS and outcome.metric is not None:
            words = f"{used.name}, {NEAR_DOMAINS[used.domain]}"
            by_reference.setdefault(words, []).append(outcome)
    for words, outcomes in by_reference.items():
        attacked = [one for one in outcomes if one.target_kind != "control"]
        if attacked:
            yield card(
                "warn",
                f"{name_attacks(attacked)}: public images {words}.",
                outcome_ids(attacked),
                "An attacker without such images gets less; see the row with foreign images.",
            )


def _solved(view: RunView) -> Iterator[FindingCard]:
    """Servers that read the pictures before they trained on them."""
    read = [
        pipeline
        for pipeline in view.pipelines
        if pipeline.claims
        and pipeline.claims.claim_type != "none"
        and any(one.training.get("embedding_start") == "solved" for one in pipeline.cells[:1])
    ]
    if read:
        yield card(
            "warn",
            f"{', '.join(short_title(view, one) for one in read)}: the server solved the "
            "scrambling from the ciphertexts alone, without a key, and trained on the pictures "
            "that it read.",
            record_ids([one.cells[0] for one in read]),
            "What is learnt without loss is what the server reads: the same step is an attack that "
            "shows every training image.",
        )


def _dataset(view: RunView) -> Iterator[FindingCard]:
    dataset = view.manifest.dataset
    if dataset.card.synthetic:
        yield card(
            "fail",
            "The images are synthetic.",
            _MANIFEST,
            "No number here says anything about patients.",
        )
    if not dataset.subset_is_default:
        yield card(
            "warn",
            f"The run used the subset “{dataset.subset}”, not the published one.",
            _MANIFEST,
            "Prevalence and difficulty may differ from the published split.",
        )
    acted = [split for split in dataset.limits if _left_out(dataset, split)]
    if acted:
        shown = ", ".join(f"{split} to {dataset.limits[split]:,} images" for split in acted)
        yield card(
            "warn", f"Counts were limited: {shown}.", _MANIFEST, "Only these images were used."
        )


def _left_out(dataset: DatasetSummary, split: str) -> bool:
    """Say whether a limit left images of a split out: one that did not act changed nothing."""
    if split not in dataset.splits:
        return False
    used = dataset.splits[split].n
    if dataset.before_limits:
        return dataset.before_limits.get(split, used) > used
    # Older records say it in a note only.
    return any(note.startswith(f"{split}: {used} of ") for note in dataset.notes)


def _copies(view: RunView) -> Iterator[FindingCard]:
    facts = view.manifest.dataset.copies
    if facts is None:
        return
    if not facts.compared:
        yield card(
            "unknown",
            f"{_sentence(copies_sentence(facts))}.",
            _MANIFEST,
            "Whether test images are among those that were learnt from is unknown.",
        )
    elif facts.count:
        told = [copies_sentence(facts), tested_sentence(facts)]
        leaks = facts.policy != "drop" and facts.test_images > 0
        yield card(
            "fail" if leaks else "warn",
            ". ".join(_sentence(text) for text in told if text) + ".",
            inline(COPIES_TABLE),
            _meaning_of(facts),
        )
    if facts.conflicting:
        yield card(
            "warn",
            f"{images(facts.conflicting, 'group')} of equal images with different labels.",
            _MANIFEST,
            "At most one label of each is right.",
        )
    if facts.near.test_images:
        yield card(
            "warn",
            f"{_sentence(near_sentence(facts.near))}.",
            inline(COPIES_TABLE),
            "Near copies stay in: they may be copies that were compressed, mirrored or cropped, or "
            "other pictures of the same patient. Accuracy may be too high for images of others.",
        )
    elif facts.compared and facts.near.not_compared:
        yield card(
            "unknown",
            f"{_sentence(near_sentence(facts.near))}.",
            _MANIFEST,
            "Whether test images are almost equal to some that were learnt from is unknown.",
        )


def _meaning_of(facts: CopiesFacts) -> str:
    """Say what copies that were left out or kept mean for the accuracies."""
    if facts.policy == "drop":
        return (
            "The models learnt from fewer images than the splits as given hold. Accuracies "
            "published for these splits may count the leak in."
        )
    if facts.test_images:
        return (
            "On these test images accuracy is that of images seen before: it must not be read as "
            "accuracy on unseen ones. `compare diff` with a run under --copies drop says what the "
            "leak is worth."
        )
    return "The validation images were not all unseen when the best epoch was chosen on them."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small_sample(view: RunView) -> Iterator[FindingCard]:
    if view.n_test > 0 and (half := wilson_half_width(view.n_test)) > WIDEST_HALF_INTERVAL:
        yield card(
            "warn",
            f"The test set has {view.n_test} images: a 95% interval of a proportion near one half "
            f"reaches ±{fixed(half)}.",
            _MANIFEST,
            "Read each accuracy with its interval; paired differences have intervals of their own.",
        )


DATA_RULES: tuple[Rule, ...] = (_backbone, _references, _solved, _dataset, _copies, _small_sample)

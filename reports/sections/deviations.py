"""Deviations from a full, clean, published run; what was not run; how to repeat it.

Each deviation is found by a rule. What was not run stands once, by its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from he_compare.common.run.copies_words import (
    copies_sentence,
    images,
    near_sentence,
    tested_sentence,
)
from he_compare.common.run.load import WHAT_IT_SHOWS, loaded_cells, loaded_words
from he_compare.common.run.outcomes import by_reason, name_attacks
from he_compare.common.run.records import AttackOutcome, CopiesFacts, DatasetSummary, RunRecord
from he_compare.common.run.replaced_servers import (
    cells_of_replaced_servers,
    replaced_servers_words,
)
from he_compare.common.run.server_places import server_place_words
from he_compare.common.run.spelling import fixed, scientific
from he_compare.common.run.store import COPIES_TABLE
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.run.work_places import (
    disturbed_records,
    latency_machines_words,
    timed_records,
    untold_machines_words,
)
from he_compare.common.statistics.evaluation import wilson_half_width
from he_compare.common.types import FheMode, Status
from he_compare.reports.cards import Rule, card, found_by, numbered
from he_compare.reports.document.nodes import (
    Column,
    FindingCard,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.host_rules import host_findings
from he_compare.reports.naming import record_ids, short_id, short_title
from he_compare.reports.repeat import repeat_blocks
from he_compare.reports.section import ReportSection

ENOUGH_AGREEMENT = 50
WIDEST_HALF_INTERVAL = 0.05
NEAR_DOMAINS = {
    "in-domain": "an in-domain reference",
    "domain not known": "of which it is not known whether they are of the collection under test",
}
MANIFEST = inline("manifest.json")


def _insecure(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        if pipeline.protected and pipeline.claims and pipeline.claims.insecure:
            yield card(
                "fail",
                f"{short_title(view, pipeline)} must not protect real data: "
                + "; ".join(pipeline.claims.insecure),
                record_ids(pipeline.cells),
                "Its timings and accuracy are valid; its claim is not.",
            )


def _backbone(view: RunView) -> Iterator[FindingCard]:
    backbone = view.manifest.backbone
    if backbone.untrained:
        yield card(
            "fail",
            f"The backbone {backbone.name} is untrained: its weights are random.",
            MANIFEST,
            "Accuracy says nothing about DeiT. Timings, bytes and agreement are not affected.",
        )
    elif backbone.weights in ("shipped", "package"):
        yield card(
            "warn",
            f"The backbone's weights come with the package, not from timm: {backbone.provenance}",
            MANIFEST,
            "Accuracies are not those of the published DeiT.",
        )
    if shared := set(backbone.pretrained_on) & set(view.manifest.dataset.card.collections):
        yield card(
            "warn",
            f"In-domain pretraining: the weights were trained on {', '.join(sorted(shared))}, the "
            "collection under test.",
            MANIFEST,
            "Accuracies are higher than with weights that never saw this collection.",
        )
    elif not backbone.untrained and not (
        backbone.pretrained_on and view.manifest.dataset.card.collections
    ):
        yield card(
            "unknown",
            "It is not recorded whether the weights were learnt from the collection under test.",
            MANIFEST,
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
                _outcome_ids(attacked),
                "An attacker without such images gets less; see the row with foreign images.",
            )


def _dataset(view: RunView) -> Iterator[FindingCard]:
    dataset = view.manifest.dataset
    if dataset.card.synthetic:
        yield card(
            "fail",
            "The images are synthetic.",
            MANIFEST,
            "No number here says anything about patients.",
        )
    if not dataset.subset_is_default:
        yield card(
            "warn",
            f"The run used the subset “{dataset.subset}”, not the published one.",
            MANIFEST,
            "Prevalence and difficulty may differ from the published split.",
        )
    acted = [split for split in dataset.limits if _left_out(dataset, split)]
    if acted:
        shown = ", ".join(f"{split} to {dataset.limits[split]:,} images" for split in acted)
        yield card(
            "warn", f"Counts were limited: {shown}.", MANIFEST, "Only these images were used."
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
            MANIFEST,
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
            MANIFEST,
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
            MANIFEST,
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
            MANIFEST,
            "Read each accuracy with its interval; paired differences have intervals of their own.",
        )


def _unfinished(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        if pipeline.trouble:
            bad = [record for record in pipeline.cells if record.status is not Status.OK]
            yield card(
                "fail" if not pipeline.measured else "warn",
                f"{short_title(view, pipeline)}: {pipeline.trouble}",
                record_ids(bad) if bad else MANIFEST,
                "The cell has no numbers; its row is kept in every table.",
            )


def _not_scored(view: RunView) -> Iterator[FindingCard]:
    if view.scores is None:
        yield card(
            "warn",
            "The run has no scores.",
            inline("scores.json is missing"),
            "Accuracy, intervals and differences are absent; `compare score` computes them.",
        )


def _not_executed(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        modes = {record.fhe_mode for record in pipeline.cells} & {FheMode.SIMULATE, FheMode.CLEAR}
        if modes:
            names = ", ".join(sorted(mode.value for mode in modes))
            yield card(
                "warn",
                f"{short_title(view, pipeline)} has cells in FHE mode {names}, not executed.",
                record_ids([one for one in pipeline.cells if one.fhe_mode in modes]),
                "Timings of such a cell are not those of encryption.",
            )


def _agreement(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        found = pipeline.measured.agreement if pipeline.measured else None
        if found is None or (found.agree == found.compared >= ENOUGH_AGREEMENT):
            continue
        yield card(
            "warn" if found.agree == found.compared else "fail",
            f"{short_title(view, pipeline)}: {found.agree} of {found.compared} executed "
            f"predictions equal those of the {found.reference}; largest score difference "
            f"{scientific(found.max_abs_score_difference)}.",
            record_ids(pipeline.cells[:1]),
            f"Fewer than {ENOUGH_AGREEMENT} compared images or any disagreement limit how far the "
            "clear model represents the encrypted one.",
        )


def _shared_process(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        shared = [one for one in pipeline.cells if one.server_pid_separate is False]
        if shared:
            yield card(
                "fail",
                f"The server half of {short_title(view, pipeline)} ran in the client's process.",
                record_ids(shared),
                "The trust boundary was not enforced by the operating system.",
            )


def _replaced_servers(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        if cells := cells_of_replaced_servers(pipeline):
            yield card(
                "warn",
                f"{short_title(view, pipeline)}: {replaced_servers_words(cells)}.",
                record_ids(cells),
                "A message that ended a process got no answer. A new process loaded the same "
                "public material; its start may be in the times of these cells.",
            )


def _machine(view: RunView) -> Iterator[FindingCard]:
    if loaded := loaded_words(view):
        yield card("warn", loaded, record_ids(loaded_cells(view)), WHAT_IT_SHOWS)
    yield from _latency_machines(view)
    if len(view.environments) > 1:
        yield card(
            "warn",
            f"Cells ran in {len(view.environments)} environments.",
            record_ids(view.records),
            "Timings of different environments are not comparable.",
        )
    dirty = [one for one in view.records if one.environment and one.environment.source_dirty]
    if dirty:
        yield card(
            "warn",
            f"{len(dirty)} of {len(view.records)} cells ran from a checkout with uncommitted "
            "changes.",
            record_ids(dirty),
            "The commit alone does not reproduce them.",
        )


def _latency_machines(view: RunView) -> Iterator[FindingCard]:
    timed = timed_records(view)
    if words := latency_machines_words(timed):
        told = "Their times are pooled and compared. Differences between machines are in them."
        yield card("warn", words, record_ids(timed), told)
    if words := untold_machines_words(timed):
        yield card("unknown", words, record_ids(timed), "It may be one machine, or several.")
    if disturbed := disturbed_records(timed):
        yield card(
            "warn",
            f"{len(disturbed)} of {len(timed)} latency cells had a worker of the run end or start "
            "on their machine meanwhile, each time that they were tried.",
            record_ids(disturbed),
            "Loading libraries and preparing the data beside them makes their times longer.",
        )


def _warnings(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        for warning, records in _warnings_of(pipeline).items():
            yield card(
                "warn",
                f"{short_title(view, pipeline)}: {warning}",
                record_ids(records),
                "Recorded while the cell ran.",
            )


def _warnings_of(pipeline: PipelineView) -> dict[str, list[RunRecord]]:
    found: dict[str, list[RunRecord]] = {}
    for record in pipeline.cells:
        for warning in record.warnings:
            found.setdefault(warning, []).append(record)
    return found


def _attacks(view: RunView) -> Iterator[FindingCard]:
    if not view.outcomes:
        yield card(
            "unknown",
            "No attack was run on this run's pipelines.",
            inline("no attack record in the run folder"),
            "Whether a claim holds is unknown; unknown is not a pass.",
        )
    for reason, outcomes in by_reason(view, "unreliable").items():
        for title in dict.fromkeys(one.title for one in outcomes):
            mine = [one for one in outcomes if one.title == title]
            yield card(
                "unknown",
                f"{name_attacks(mine)}: unreliable",
                _outcome_ids(mine),
                f"{reason}; not a pass.",
            )


def _outcome_ids(outcomes: Sequence[AttackOutcome]) -> Inline:
    """Return the identity of the first outcome, and how many more there are."""
    rest = f" + {len(outcomes) - 1}" if len(outcomes) > 1 else ""
    return inline(short_id(outcomes[0].identity), rest)


RULES: tuple[Rule, ...] = (
    _insecure,
    _backbone,
    _references,
    _dataset,
    _copies,
    _small_sample,
    _unfinished,
    _not_scored,
    _not_executed,
    _agreement,
    _shared_process,
    _replaced_servers,
    _machine,
    host_findings,
    _warnings,
    _attacks,
)
WORDS = (
    "Found by rules in the records. fail: do not use the numbers for the purpose named; warn: read "
    "them with this in mind; unknown: not measured."
)
NOT_RUN = "“Not run” is not a pass: nothing is known of it."


class Deviations(ReportSection):
    """Each departure from a full, clean, published run, what was not run, and how to repeat it."""

    order = 800
    title = "Deviations, not run, repeat"

    def sections(self, view: RunView) -> list[Section]:
        """Return the three; the last is always there."""
        found = numbered("D", found_by(RULES, view))
        words = Paragraph(inline(WORDS if found else "The rules found no deviation."))
        where = server_place_words(view)
        places = [Paragraph(inline(where))] if where else []
        return [
            Section(self.title, 1, "deviations", (words, *found, *places)),
            *_not_run(view),
            Section("Repeat this run", 2, "reproduce", repeat_blocks(view)),
        ]


def _not_run(view: RunView) -> list[Section]:
    """Return what was not run, one row a reason."""
    rows = [
        Row(
            (
                inline(f"{reason[:1].upper()}{reason[1:]}" or "No reason recorded"),
                inline(_attacks_named(outcomes)),
                inline(str(len(outcomes))),
            )
        )
        for reason, outcomes in by_reason(view, "not run").items()
    ]
    if not rows:
        return []
    columns = (
        Column("Reason", weight=2.4),
        Column("Attacks", weight=3.4),
        Column("Outcomes missing", "right", "n", 0.8),
    )
    return [Section("Not run", 2, "not-run", (Table(NOT_RUN, columns, tuple(rows)),))]


def _attacks_named(outcomes: Sequence[AttackOutcome]) -> str:
    """Name the attacks, each once: the targets are in attacks.jsonl."""
    return "; ".join(dict.fromkeys(one.title for one in outcomes))


SECTION = Deviations()

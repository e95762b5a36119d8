"""The images, the network, and who holds what: what a reader must know before any number."""

from __future__ import annotations

from he_compare.common.run.copies_words import (
    copies_sentence,
    near_sentence,
    tested_sentence,
)
from he_compare.common.run.records import DatasetSummary, SplitSummary
from he_compare.common.run.spelling import MISSING, fixed
from he_compare.common.run.view import RunView
from he_compare.reports.confusion import MOST_CLASSES_SHOWN
from he_compare.reports.document.nodes import (
    Block,
    Bullets,
    Column,
    Inline,
    KeyValues,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.holders import HeldWhere, draw_holders
from he_compare.reports.holdings import holdings_of
from he_compare.reports.section import ReportSection

# Of many classes so many are named.
FIRST_NAMED = 5
SPLITS = ("train", "val", "test")
HOLDERS = (
    "The server is a process of its own and gets nothing but public material and what is on the "
    "wire. The head is the last layer: whoever owns it can classify features alone."
)


class Compared(ReportSection):
    """The data card with its limits, the splits, the backbone's origin, and who holds what."""

    order = 300
    title = "Data, network, and who holds what"

    def sections(self, view: RunView) -> list[Section]:
        """Return the three in this order."""
        return [
            Section(self.title, 1, "compared", _dataset(view.manifest.dataset)),
            Section("Where the network comes from", 2, "backbone", _backbone(view)),
            *_holders(view),
        ]


def _dataset(dataset: DatasetSummary) -> tuple[Block, ...]:
    card = dataset.card
    kind = "Computer-generated images. " if card.synthetic else ""
    size = f"{dataset.image_size} × {dataset.image_size} pixels"
    native = f" (stored: {card.native_size})" if card.native_size else ""
    positive = f"; “{card.positive_class}” is the positive one" if card.positive_class else ""
    facts = KeyValues(
        (
            ("Images", inline(f"{card.title}. {kind}{card.description}")),
            ("Source, licence", inline(f"{card.source}. {card.licence}")),
            ("Classes", inline(_named(card.classes) + positive)),
            ("Size and choice", inline(f"{size}{native}; subset “{dataset.subset}”")),
            ("Limits", inline(" ".join(_sentence(text) for text in card.caveats) or "none stated")),
        )
    )
    remarks = tuple(inline(_sentence(text)) for text in _remarks(dataset))
    return (
        facts,
        _splits(dataset),
        Paragraph(inline(" ".join(_overlap(dataset)))),
        *((Bullets(remarks),) if remarks else ()),
    )


def _sentence(text: str) -> str:
    """Return text as a sentence: a capital first, a full stop last."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _remarks(dataset: DatasetSummary) -> list[str]:
    """Return the notes of the dataset that the words on overlap do not say already."""
    copies = dataset.copies
    said = (
        {copies_sentence(copies), tested_sentence(copies), near_sentence(copies.near)}
        if copies
        else ()
    )
    # Notes of older runs count over all images read, the sentences over those used.
    begun = ("no image equals", "no test image looks")
    return [one for one in dataset.notes if one not in said and not one.startswith(begun)]


def _overlap(dataset: DatasetSummary) -> list[str]:
    """Say what the splits share: patients as far as they are known, copies, near copies."""
    if not dataset.patients_known:
        words = ["Every image counts as a patient of its own: intervals cannot heed patients."]
    else:
        words = ["Intervals and the bootstrap heed patient groups: all images of one go together."]
    copies = dataset.copies
    if copies is None:
        return [*words, "Whether images occur in two splits was not recorded."]
    told = (copies_sentence(copies), tested_sentence(copies), near_sentence(copies.near))
    return [*words, *[_sentence(text) for text in told if text]]


def _splits(dataset: DatasetSummary) -> Table:
    names = [name for name in SPLITS if name in dataset.splits]
    names += sorted(set(dataset.splits) - set(names))
    positive = dataset.card.positive_class
    of_one = (f"share of {positive}",) if positive else ()
    return Table(
        "Images of each split as used",
        (
            Column("Split"),
            Column("Images", "right", "n"),
            Column("Patient groups", "right", "n"),
            Column("Images per class", weight=3.5),
            *(Column("Prevalence", "right", unit, 1.4) for unit in of_one),
        ),
        tuple(Row(_split_cells(name, dataset.splits[name])[: 4 + len(of_one)]) for name in names),
    )


def _split_cells(name: str, split: SplitSummary) -> tuple[Inline, ...]:
    counts = ", ".join(f"{label}: {count}" for label, count in split.per_class.items())
    if len(split.per_class) > MOST_CLASSES_SHOWN:
        counts = _range_of(split.per_class)
    return (
        inline(name),
        inline(f"{split.n:,}"),
        inline(f"{split.groups:,}"),
        inline(counts),
        inline(MISSING if split.prevalence is None else fixed(split.prevalence)),
    )


def _named(classes: list[str]) -> str:
    """Name classes, the first few of many."""
    if len(classes) <= MOST_CLASSES_SHOWN:
        return ", ".join(classes)
    return f"{len(classes)}: {', '.join(classes[:FIRST_NAMED])}, …; all: manifest.json"


def _range_of(per_class: dict[str, int]) -> str:
    """Say between which numbers of images many classes lie, and name the smallest."""
    least, most = min(per_class.values()), max(per_class.values())
    smallest = [label for label, count in per_class.items() if count == least]
    if least == most:
        return f"{len(per_class)} classes of {least}"
    named = ", ".join(smallest[:FIRST_NAMED]) + (", …" if len(smallest) > FIRST_NAMED else "")
    return f"{len(per_class)} classes of {least} to {most}; smallest ({len(smallest)}): {named}"


def _backbone(view: RunView) -> tuple[Block, ...]:
    backbone = view.manifest.backbone
    origin = (
        "random weights, untrained: accuracy says nothing about DeiT"
        if backbone.untrained
        else backbone.provenance
    )
    model = (
        f"{backbone.name}, {backbone.parameters:,} parameters, {backbone.feature_width:,} features "
        "per image"
    )
    facts = (
        ("Model", inline(model)),
        ("Weights", inline(_sentence(origin), f" Licence: {backbone.licence or 'not stated'}.")),
        ("Learnt from these images?", inline(_learnt(view))),
        *((("Public images", inline(_public(view))),) if _public(view) else ()),
    )
    return (KeyValues(facts),)


def _learnt(view: RunView) -> str:
    """Say whether the weights have seen the collection under test."""
    backbone, collections = view.manifest.backbone, view.manifest.dataset.card.collections
    if backbone.untrained:
        return "No: the weights are random."
    shared = sorted(set(backbone.pretrained_on) & set(collections))
    if shared:
        return (
            f"Yes: from {', '.join(shared)}. Accuracies are higher than with weights that never "
            "saw this collection, for every pipeline alike."
        )
    if not backbone.pretrained_on or not collections:
        return "Not known: the weights or the images do not say which collection they are of."
    return f"No: from {', '.join(backbone.pretrained_on)}, not from {', '.join(collections)}."


def _public(view: RunView) -> str:
    """Say where the public images of attacks and of the matching come from; '' where none were."""
    used: dict[str, str] = {}
    for outcome in view.outcomes:
        if outcome.reference is not None:
            used[outcome.reference.name] = outcome.reference.domain
    for pipeline in view.pipelines:
        training = pipeline.measured.training if pipeline.measured else {}
        name = training.get("matching_reference")
        if isinstance(name, str):
            used.setdefault(name, str(training.get("matching_reference_domain", "not recorded")))
    meanings = {
        "in-domain": "from this collection's own images",
        "foreign": "other images",
        "domain not known": "collection not known",
        "not recorded": "collection not recorded",
    }
    told = [f"{name}: {meanings.get(domain, domain)}" for name, domain in used.items()]
    return _sentence("; ".join(told)) if told else ""


def _holders(view: RunView) -> list[Section]:
    holdings = holdings_of(view)
    figure = drawn(
        lambda: draw_holders(holdings),
        "holders",
        "Who holds what. Orange: a secret key is held there. Server: what it computes, and whose "
        "the last layer (head) is.",
        "; ".join(_spoken(one) for one in holdings) or "no set-up",
    )
    if not figure:
        return []
    words = Paragraph(inline(" ".join((HOLDERS, *_unrecorded(view)))))
    return [Section("Who holds what", 2, "holders", (words, *figure))]


def _unrecorded(view: RunView) -> tuple[str, ...]:
    """Say what an older run did not record of who does the work."""
    known = all(one.planned.work for one in view.pipelines)
    return () if known else ("This run did not record what each side computes.",)


def _spoken(one: HeldWhere) -> str:
    server = f"server: {' '.join(one.server)} {one.head}" if one.server else "no server"
    return f"{one.names}: hospital: {' '.join(one.hospital)} sends: {one.up}; {server}"


SECTION = Compared()

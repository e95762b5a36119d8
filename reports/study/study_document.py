"""From a study folder to one document, and from there to files beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from he_compare.common.run.spelling import MISSING, fixed, moment
from he_compare.common.run.view import RunView
from he_compare.common.study.study_folder import RUNS, StudyFolder
from he_compare.common.study.study_names import kind_name, short_run
from he_compare.common.study.study_rules import ACCURACY, AUC, DIFFERENCE_KINDS
from he_compare.common.study.study_view import StudyView, read_study
from he_compare.reports.banners import banners
from he_compare.reports.build import REPORT_HOME, written_files
from he_compare.reports.document.nodes import (
    Attachment,
    Block,
    Callout,
    Code,
    CodeBlock,
    Column,
    Document,
    Figure,
    Inline,
    KeyValues,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.study_differences import draw_study_differences
from he_compare.reports.render import FORMATS, check_formats
from he_compare.reports.study.published_table import published_table
from he_compare.reports.study.study_answer import answer_paragraphs
from he_compare.reports.study.study_attack_tables import attack_tables
from he_compare.reports.study.study_deviations import deviation_blocks
from he_compare.reports.study.study_layout import parts_beside
from he_compare.reports.study.study_score_tables import price_table, score_tables
from he_compare.reports.study.study_tables import overview, what_holds
from he_compare.reports.study.study_titles import protections, run_link

RULE = (
    "A difference is held against the margin that the study file names: the loss that is of no "
    "weight. Of its 95% interval, “equal within the margin” means that all of it lies inside, “no "
    "loss above the margin” that it begins above minus the margin, “a loss above the margin” that "
    "it ends below that, “a loss, above the margin or not” that it ends below 0, and “not settled” "
    "that it holds both 0 and minus the margin. Where no answer of n differs, the bootstrap’s "
    "interval is [0, 0] however few they are; for accuracy ±(1 − 0.025^(1/n)) stands in its place, "
    "the exact limit on what n images can have missed, for balanced accuracy its like over classes "
    "(30 images: ±0.116). An AUC that is equal on these images has no such limit: its loss is "
    "excluded only where one of accuracy is. Nothing holds against a twin that is not shown to be "
    "above chance: 1 by the number of classes for accuracy, balanced or not, and 0.5 for AUC. What "
    "holds on all data sets holds on each of them, which needs no correction for their number."
)
STATES = (
    "Four answers are told apart, because only the third is evidence. “Not applicable”: what the "
    "attacks undo is not there. “Nothing here reads this”: no attack of the suite reads such "
    "messages, so nothing is known. “Resists what ran”: attacks ran and did not win, which is no "
    "proof. “Not promised”: it was won, and the protection never claimed to keep it."
)


def build_study_document(study: StudyView) -> Document:
    """Lay a study out as a document."""
    return Document(
        title=study.record.title,
        subtitle=_subtitle(study),
        date=study.record.created_at,
        banners=_banners(study),
        sections=tuple(_sections(study)),
        attachments=(_study_attachment(study),),
    )


def write_study_report(path: Path, formats: Sequence[str], out: Path | None = None) -> list[Path]:
    """Write the report of a study into ``FOLDER/report`` or ``out``; return the files to open.

    Formats that are there already are written as well: no report beside the new one is an old one.
    Outside the folder of the study nothing leads to its runs.

    Raises UsageError where there is no study or a file cannot be written, UnavailableError where a
    renderer's library is missing.
    """
    check_formats(formats)
    folder = StudyFolder(path)
    home = out if out is not None else path / REPORT_HOME
    beside = home.resolve() == (path / REPORT_HOME).resolve()
    document = build_study_document(read_study(folder, runs_beside=beside))
    there = [one for one in FORMATS if (home / f"{REPORT_HOME}.{one}").is_file()]
    with folder.claimed():
        return written_files(document, [*formats, *there], home)


def _sections(study: StudyView) -> list[Section]:
    has_protections = bool(protections(study))
    found = [
        Section("Answer", 1, "answer", (*answer_paragraphs(study), *overview(study))),
    ]
    blocks: tuple[Block, ...]
    if has_protections:
        blocks = (Paragraph(inline(RULE)), what_holds(study), *_figures(study))
        found.append(Section("What holds on all data sets", 1, "holds", blocks))
        blocks = (Paragraph(inline(STATES)), *attack_tables(study))
        found.append(Section("What attackers got", 1, "attackers", blocks))
    beside = tuple(published_table(study))
    found.append(Section("Published figures, and ours", 1, "published", beside))
    found.append(Section("Deviations", 1, "deviations", tuple(deviation_blocks(study))))
    found.append(Section("Data sets and runs", 1, "runs", _runs(study)))
    if study.read:
        scores = tuple(score_tables(study))
        found.append(Section("Accuracy and AUC", 1, "scores", scores, appendix=True))
        found.append(Section("Price", 1, "price", (price_table(study),), appendix=True))
    return [section for section in found if section.blocks]


def _figures(study: StudyView) -> list[Figure]:
    """Return a figure for each kind and each part of the data sets."""
    labels, parts, figures = protections(study), parts_beside(study), []
    for kind in (ACCURACY, AUC):
        for number, part in enumerate(parts, start=1):
            suffix = f" (part {number} of {len(parts)})" if len(parts) > 1 else ""
            figures += drawn(
                lambda kind=kind, part=part: draw_study_differences(study, labels, kind, part),  # type: ignore[misc]
                f"study-{kind}-{number}",
                f"What each protection changed in {kind_name(study, kind)} against the same model "
                f"without it{suffix}. Dots: means; lines: 95% intervals; strokes: trainings; "
                f"shade: the margin of {fixed(study.record.margins[kind], 2)}. Filled: a loss is "
                "shown.",
                f"Differences in {kind_name(study, kind)} of {len(labels)} protections on "
                f"{', '.join(one.title for one in part)}; the numbers are in the tables.",
            )
    return figures


def _runs(study: StudyView) -> tuple[Block, ...]:
    record = study.record
    margins = ", ".join(
        f"{fixed(record.margins[kind], 3)} of {kind_name(study, kind)}" for kind in DIFFERENCE_KINDS
    )
    facts = KeyValues(
        (
            ("Study", inline(Code(record.digest[:16]), f", from {record.file}")),
            ("Seeds", inline(", ".join(map(str, record.seeds)))),
            ("Margins", inline(margins)),
            ("Begun", inline(moment(record.created_at))),
            *_settings(study),
        )
    )
    columns = (
        Column("Data set", weight=1.4),
        Column("Images", "right", "train, validation, test", 1.2),
        Column("Classes", "right", "n", 0.7),
        Column("Pipelines", "right", "n", 0.8),
        Column("Run", weight=1.2),
        Column("State", weight=1.6),
    )
    rows = tuple(Row(_run_cells(study, number)) for number in range(len(study.sets)))
    note = inline(
        "Each run is an ordinary run folder, which report, verify, diff and audit read by "
        "themselves."
    )
    commands = "\n".join(f"compare verify STUDY/{RUNS}/{one.row.name}" for one, _ in study.read)
    words = Paragraph(inline("Each run is verified by itself; STUDY is the folder of this study:"))
    table = Table("Data sets of the study and their runs", columns, rows, note)
    return (facts, table, words, CodeBlock(commands)) if commands else (facts, table)


def _settings(study: StudyView) -> list[tuple[str, Inline]]:
    """Return what the runs had in common, and where they differ, by data set."""
    asked: tuple[tuple[str, Callable[[RunView], str]], ...] = (
        ("Profile", lambda view: short_run(view) or f"{view.manifest.profile} run"),
        ("Image size", lambda view: f"{view.manifest.dataset.image_size} px"),
        ("Epochs", lambda view: f"at most {view.manifest.settings.get('epochs', MISSING)}"),
        ("Network", lambda view: view.manifest.backbone.name),
        ("Budget of attacks", lambda view: str(view.manifest.settings.get("audit", MISSING))),
        ("Patients", _patients),
        ("Machine", _machines),
    )
    found = []
    for name, told in asked:
        by_words: dict[str, list[str]] = {}
        for one, view in study.read:
            by_words.setdefault(told(view), []).append(one.title)
        words = [
            what if len(by_words) == 1 else f"{what} ({', '.join(titles)})"
            for what, titles in by_words.items()
        ]
        if words:
            found.append((name, inline("; ".join(words))))
    return found


def _patients(view: RunView) -> str:
    known = view.manifest.dataset.patients_known
    return "known" if known else "not known: every image counts as a patient of its own"


def _machines(view: RunView) -> str:
    """Return the machines of a run with their threads."""
    told = [
        f"{one.cpu}, {one.logical_cores} cores, threads {view.threads_on(one)}"
        for one in view.environments
    ]
    return " and ".join(dict.fromkeys(told)) or "not recorded"


def _run_cells(study: StudyView, number: int) -> tuple[Inline, ...]:
    one = study.sets[number]
    if one.view is None:
        return inline(one.title), *[inline("—")] * 4, inline(one.why)
    dataset = one.view.manifest.dataset
    counts = [dataset.splits[name].n for name in ("train", "val", "test") if name in dataset.splits]
    return (
        inline(one.title),
        inline(", ".join(f"{count:,}" for count in counts)),
        inline(str(len(dataset.card.classes))),
        inline(str(len(one.view.pipelines))),
        inline(run_link(one, f"{RUNS}/{one.row.name}")),
        inline("done" if one.row.ended else one.row.problem or "not at its end"),
    )


def _subtitle(study: StudyView) -> Inline:
    record = study.record
    images = ", ".join(f"{one.title} {view.n_test:,}" for one, view in study.read) or "none"
    short = sorted({words for _, view in study.read if (words := short_run(view))})
    kind = "".join(f"{words}; " for words in short)
    seeds = len(record.seeds)
    trainings = f"{seeds} trainings each" if seeds > 1 else "one training each"
    return inline(
        f"{kind}{len(study.read)} of {len(study.sets)} data sets (test images: {images}), "
        f"{len(study.labels)} pipelines, {trainings}, he-compare {record.tool_version}, "
        f"begun {moment(record.created_at)}"
    )


def _banners(study: StudyView) -> tuple[Callout, ...]:
    """Return the banners of the runs, each once with its data sets."""
    found: dict[str, tuple[Callout, list[str]]] = {}
    for one, view in study.read:
        for banner in banners(view):
            found.setdefault(banner.title, (banner, []))[1].append(one.title)
    return tuple(
        Callout(first.kind, title, inline(f"{', '.join(titles)}: ", first.content))
        for title, (first, titles) in found.items()
    )


def _study_attachment(study: StudyView) -> Attachment:
    """What the study asked for; the records of each run travel in its own report."""
    data = json.dumps(study.record.model_dump(mode="json"), ensure_ascii=False).encode()
    return Attachment("study.json", "What the study asked for", "application/json", data)

"""The tables of a study for papers: booktabs, intervals, and a comment that names the study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.identity import file_digest
from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.protection import secrecy_of
from he_compare.common.run.records import Interval
from he_compare.common.run.spelling import MINUS, fixed
from he_compare.common.run.store import SCORES, RunFolder
from he_compare.common.run.timing import latency_of
from he_compare.common.study.equal_answers import equal_words, is_degenerate
from he_compare.common.study.study_names import kind_name, margin_changes, sampled_words
from he_compare.common.study.study_rules import (
    ACCURACY,
    AUC,
    DIFFERENCE_KINDS,
    across_sets,
    attack_state,
    is_protection,
    limits_of,
    twin_difference,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.comparisons.exporting.latex import NO_NUMBER, PARAGRAPH, latex_float
from he_compare.comparisons.exporting.latex_text import latex_escaped

MOST_TABLE_SETS = 4


def write_study_latex(study: StudyView, out: Path) -> Path:
    """Write a file to be input. Raises UsageError where it cannot be written, or is no .tex."""
    if out.suffix != ".tex":
        raise UsageError(f"{out} is no file of LaTeX", fix="name a file that ends in .tex")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, study_latex(study).encode())
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror}", fix="name another file with --out"
        ) from None
    return out


def study_latex(study: StudyView) -> str:
    """Return scores in accuracy and AUC, differences in them, and what attackers got with the
    price."""
    lines = list(_comments(study))
    for number, part in enumerate(_parts(study), start=1):
        suffix = f"-{number}" if len(study.sets) > MOST_TABLE_SETS else ""
        for kind in DIFFERENCE_KINDS:
            lines += [*_scores(study, part, kind, suffix), ""]
            lines += [*_differences(study, part, kind, suffix), ""]
        lines += [*_attacks(study, part, suffix), ""]
    return "\n".join(lines)


def _parts(study: StudyView) -> list[tuple[StudiedSet, ...]]:
    return [
        study.sets[start : start + MOST_TABLE_SETS]
        for start in range(0, len(study.sets), MOST_TABLE_SETS)
    ]


def _comments(study: StudyView) -> Iterator[str]:
    """Yield what the tables are made of: nothing in it can end the comment."""
    record = study.record
    yield "% Made by `compare study export --latex`; needs booktabs, array and textcomp."
    yield f"% study {record.digest}"
    yield f"% {record.title!a}, he-compare {record.tool_version!a}"
    yield f"% seeds {', '.join(map(str, record.seeds))}"
    yield f"% margins {', '.join(f'{kind} {record.margins[kind]:g}' for kind in DIFFERENCE_KINDS)}"
    for one in study.sets:
        if one.view is None:
            yield f"% {one.row.name}: {one.why!a}"
            continue
        scores = RunFolder(one.view.path).path / SCORES
        digest = file_digest(scores) if scores.is_file() else "none"
        yield f"% {one.row.name}: plan {one.view.manifest.plan}, scores {digest}"


def _scores(study: StudyView, part: Sequence[StudiedSet], kind: str, suffix: str) -> Iterator[str]:
    """Yield the table of scores: protections, their twins and all else that was measured."""
    rows = [
        (latex_escaped(label), *(_score(one, label, kind) for one in part))
        for label in study.labels
        if any(_score(one, label, kind) != NO_NUMBER for one in part)
    ]
    images = [f"{one.title} {one.view.n_test:,}" for one in part if one.view is not None]
    over = latex_escaped(sampled_words(study))
    caption = (
        f"{_capital(kind_name(study, kind))} with 95\\,\\% intervals over {over}"
        f"{_balanced(part, kind)}. Test images: {latex_escaped(', '.join(images))}."
    )
    heads = ["Set-up", *(latex_escaped(one.title) for one in part)]
    columns = f"{PARAGRAPH}{{0.26\\linewidth}}" + "c" * len(part)
    return latex_float(f"study-{kind}-scores{suffix}", caption, columns, heads, rows)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _score(one: StudiedSet, label: str, kind: str) -> str:
    pipeline = one.pipeline(label)
    if one.view is None or pipeline is None:
        return NO_NUMBER
    names = dict(zip(DIFFERENCE_KINDS, leading_metrics(one.view), strict=True))
    metric = pipeline.metric(names[kind])
    if metric is None or metric.value is None:
        return NO_NUMBER
    interval = metric.interval
    told = f" [{fixed(interval.low)}, {fixed(interval.high)}]" if interval else ""
    return f"{fixed(metric.value)}{told}"


def _differences(
    study: StudyView, part: Sequence[StudiedSet], kind: str, suffix: str
) -> Iterator[str]:
    labels = [one for one in study.labels if _has_difference(part, one, kind)]
    rows = [
        (latex_escaped(label), *(_difference(one, label, kind) for one in part)) for label in labels
    ]
    over = latex_escaped(sampled_words(study))
    changed = " The margin was changed after the study had begun."
    caption = (
        f"Difference in {kind_name(study, kind)} to the same model without the protection, with "
        f"95\\,\\% intervals over {over}{_balanced(part, kind)}. "
        "Exact limits where all answers are equal."
        f"{changed if margin_changes(study.record.accepted) else ''}"
    )
    heads = ["Protection", *(latex_escaped(one.title) for one in part)]
    columns = f"{PARAGRAPH}{{0.26\\linewidth}}" + "c" * len(part)
    return latex_float(f"study-{kind}{suffix}", caption, columns, heads, rows)


def _balanced(part: Sequence[StudiedSet], kind: str) -> str:
    """Say on which data sets accuracy is balanced."""
    if kind == AUC:
        return ""
    uneven = [
        one.title for one in part if one.view and leading_titles(one.view)[0].startswith("Balanced")
    ]
    return f"; balanced accuracy on {latex_escaped(', '.join(uneven))}" if uneven else ""


def _has_difference(part: Sequence[StudiedSet], label: str, kind: str) -> bool:
    return any(_difference(one, label, kind) != NO_NUMBER for one in part)


def _difference(one: StudiedSet, label: str, kind: str) -> str:
    pipeline = one.pipeline(label)
    if one.view is None or pipeline is None:
        return NO_NUMBER
    found = twin_difference(one.view, pipeline, kind)
    if found is None or found.difference is None:
        return NO_NUMBER
    told = f"{_number(found.difference)}{_limits(limits_of(one.view, pipeline, kind))}"
    if kind == AUC and is_degenerate(found):
        return f"{told} (equal on these images)"
    equal = equal_words(one.view, pipeline) if kind == ACCURACY and is_degenerate(found) else ""
    return f"{told} ({latex_escaped(equal)})" if equal else told


def _number(value: float) -> str:
    """Return a number in mathematics, where a minus is one."""
    return f"${fixed(value, signed=True).replace(MINUS, '-')}$"


def _limits(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f" [{_number(interval.low)}, {_number(interval.high)}]"


def _attacks(study: StudyView, part: Sequence[StudiedSet], suffix: str) -> Iterator[str]:
    labels = [label for label in study.labels if is_protection(study, label)]
    rows = [
        (
            latex_escaped(label),
            *(latex_escaped(_attack(one, label)) for one in part),
            _wait(study, label),
        )
        for label in labels
        if across_sets(study, label).differences
    ]
    caption = "What attackers got of the images, and the median time of one image in milliseconds."
    heads = ["Protection", *(latex_escaped(one.title) for one in part), "ms"]
    share = 0.6 / max(1, len(part))
    cell = f"{PARAGRAPH}{{{share:.2f}\\linewidth}}"
    columns = f"{PARAGRAPH}{{0.24\\linewidth}}" + cell * len(part) + "r"
    return latex_float(f"study-attacks{suffix}", caption, columns, heads, rows)


def _attack(one: StudiedSet, label: str) -> str:
    pipeline = one.pipeline(label)
    if one.view is None or pipeline is None:
        return "no result"
    return attack_state(secrecy_of(one.view, pipeline)).value


def _wait(study: StudyView, label: str) -> str:
    found = [latency_of(pipeline) for _, _, pipeline in study.places(label)]
    waits = [one.total.p50 * 1e3 for one in found if one is not None]
    if not waits:
        return NO_NUMBER
    low, high = f"{min(waits):.1f}", f"{max(waits):.1f}"
    return low if low == high else f"{low}--{high}"

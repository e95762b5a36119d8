"""The first tables of a study: protections by data sets, and what holds on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.spelling import (
    MISSING,
    bracket,
    fixed,
    kilobytes,
    megabytes,
    milliseconds,
)
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.study.equal_answers import EXACT_LIMITS, equal_words, is_degenerate
from he_compare.common.study.study_names import kind_name, leading_word, sampled_words
from he_compare.common.study.study_rules import (
    ACCURACY,
    DIFFERENCE_KINDS,
    NO_HARM,
    SHOWN_LOSS,
    AcrossSets,
    AttackState,
    DifferenceState,
    across_sets,
    limits_of,
    twin_difference,
    twin_state,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.document.nodes import (
    Bold,
    Break,
    Column,
    Content,
    Inline,
    Row,
    Table,
    inline,
)
from he_compare.reports.study.study_layout import (
    caption_of_part,
    labels_by_side,
    parts_beside,
    rows_under_titles,
    why_none,
)
from he_compare.reports.study.study_titles import (
    by_side,
    protections,
    run_link,
    titles_of_sets,
    where_it_leads,
)

# Of all data sets, beside the first of them.
AT_THE_SIDE = (
    Column("Attackers got", weight=1.6),
    Column("One image", "right", "ms", 0.9),
    Column("Up + down", "right", "kB", 1.0),
    Column("Sent once", "right", "MB", 0.9),
)
EQUAL_HERE = "equal on these images"


def overview(study: StudyView) -> list[Table]:
    """Return the first page's table: the loss on every data set, what attackers got, the price."""
    labels = protections(study)
    shown = [*labels, *by_side(study).get("unprotected", ())]
    tables, parts = [], parts_beside(study)
    for number, part in enumerate(parts, start=1):
        columns = [Column("Protection", weight=2.0)]
        columns += [Column(one.title, "right", _minus_twin(one), 1.5) for one in part]
        columns += AT_THE_SIDE if number == 1 else ()
        groups = [
            (title, [Row(_overview_cells(study, label, part, side=number == 1)) for label in mine])
            for title, mine in labels_by_side(study, shown)
        ]
        tables.append(
            Table(
                caption_of_part("Protections on the data sets of the study", number, len(parts)),
                tuple(columns),
                rows_under_titles(groups),
                inline(_overview_note(study)),
            )
        )
    return tables if labels else []


def _minus_twin(one: StudiedSet) -> str:
    """Name the metric of a column: accuracy where it leads on this data set, else balanced."""
    return f"{leading_word(one.view, ACCURACY)} minus twin" if one.view else ""


def _overview_note(study: StudyView) -> str:
    exact = ""
    if _has_equal(study):
        exact = (
            "Where all answers are equal, a bootstrap’s interval is [0, 0] however few images "
            "there are: the exact limits stand there. "
        )
    return (
        f"95% intervals over {sampled_words(study)}. Bold: a loss is shown. {exact}"
        "“Twin”: the score of the same model without the protection; in brackets: a score itself, "
        f"of what is not protected. Margin: {fixed(study.record.margins[ACCURACY], 2)}. "
        f"{where_it_leads(study, 'Each number')}Milliseconds and bytes: lowest and highest over "
        "the data sets. Sent once: keys, weights, and what the server gets to train on."
    )


def _has_equal(study: StudyView) -> bool:
    return any(equal_words(view, pipeline) for _, view in study.read for pipeline in view.pipelines)


def _overview_cells(
    study: StudyView, label: str, part: Sequence[StudiedSet], *, side: bool
) -> tuple[Inline, ...]:
    protects = label in protections(study)
    cells = (
        inline(label),
        *(
            _difference_cell(study, one, label) if protects else _own_cell(one, label)
            for one in part
        ),
    )
    if not side:
        return cells
    return (
        *cells,
        inline(attacks_in_words(study, across_sets(study, label))),
        inline(_range(_waits(study, label), milliseconds)),
        inline(_range(_bytes(study, label), kilobytes)),
        inline(_range(_once(study, label), megabytes)),
    )


def _difference_cell(study: StudyView, one: StudiedSet, label: str) -> Inline:
    """Return a difference with its limits and the twin's score; or why there is none.

    The number is a link to its run.
    """
    pipeline = one.pipeline(label)
    if one.view is None or pipeline is None:
        return inline(why_none(one, label))
    found = twin_difference(one.view, pipeline, ACCURACY)
    if found is None or found.difference is None:
        own = "no twin" if pipeline.state == "ok" else pipeline.state
        return inline(run_link(one, own))
    state = twin_state(one.view, pipeline, ACCURACY, study.record.margins)
    value, *beside = difference_words(one.view, pipeline, ACCURACY)
    parts: list[Content] = [run_link(one, value)]
    for number, words in enumerate(beside):
        parts += [Break(), Bold(words) if state in SHOWN_LOSS and number == 0 else words]
    twin = one.view.twin_of(pipeline)
    score = twin.value(leading_metrics(one.view)[0]) if twin else None
    if score is not None:
        chance = ", not above chance" if state is DifferenceState.UNLEARNT else ""
        parts += [Break(), f"twin {fixed(score)}{chance}"]
    return inline(*parts)


def _own_cell(one: StudiedSet, label: str) -> Inline:
    """Return the score of what is not protected, in brackets, with its interval."""
    pipeline = one.pipeline(label)
    if one.view is None or pipeline is None:
        return inline(why_none(one, label))
    metric = pipeline.metric(leading_metrics(one.view)[0])
    if metric is None or metric.value is None:
        return inline(run_link(one, MISSING if pipeline.state == "ok" else pipeline.state))
    limits = bracket(metric.interval)
    return inline(run_link(one, f"({fixed(metric.value)})"), *([Break(), limits] if limits else ()))


def difference_words(view: RunView, pipeline: PipelineView, kind: str) -> list[str]:
    """Return a difference to the twin, then its limits and what else stands beside it; [] for none.

    Where all answers are equal their number is told. An AUC that is equal has no limits.
    """
    found = twin_difference(view, pipeline, kind)
    if found is None or found.difference is None:
        return []
    limits = limits_of(view, pipeline, kind)
    told = [fixed(found.difference, signed=True), bracket(limits, signed=True)]
    if kind == ACCURACY:
        exact = limits is not None and limits.method == EXACT_LIMITS
        told.append(equal_words(view, pipeline) if exact else "")
    elif is_degenerate(found):
        told.append(EQUAL_HERE)
    return [*filter(None, told)]


def attacks_in_words(study: StudyView, found: AcrossSets) -> str:
    """Say what attackers got over the data sets: once where it is the same, else by data set."""
    states = list(dict.fromkeys(found.attacks.values()))
    if not states:
        return MISSING
    if len(states) == 1:
        return states[0].value
    told = []
    for state in sorted(states, key=list(AttackState).index):
        where = [name for name, one in found.attacks.items() if one is state]
        told.append(f"{state.value}: {titles_of_sets(study, where)}")
    return "; ".join(told)


def _waits(study: StudyView, label: str) -> list[float]:
    found = [latency_of(pipeline) for _, _, pipeline in study.places(label)]
    return [one.total.p50 for one in found if one is not None]


def _bytes(study: StudyView, label: str) -> list[float]:
    found = [pipeline.bytes_per_image for _, _, pipeline in study.places(label)]
    return [sum(one) for one in found if one is not None]


def _once(study: StudyView, label: str) -> list[float]:
    found = [sent_once(pipeline) for _, _, pipeline in study.places(label)]
    return [one for one in found if one is not None]


def _range(values: Sequence[float], spell: Callable[[float], str]) -> str:
    if not values:
        return MISSING
    low, high = spell(min(values)), spell(max(values))
    return low if low == high else f"{low} to {high}"


def what_holds(study: StudyView) -> Table:
    """Return what is shown on all data sets, and where it is not."""
    columns = (
        Column("Protection", weight=1.8),
        *(
            Column(
                f"No loss of {kind_name(study, kind)}",
                unit=f"margin {fixed(study.record.margins[kind], 2)}",
                weight=2.4,
            )
            for kind in DIFFERENCE_KINDS
        ),
        Column("Secrecy of the images", weight=1.8),
    )
    labels = protections(study)
    groups = [
        (title, [Row(_holds_cells(study, label)) for label in mine])
        for title, mine in labels_by_side(study, labels)
    ]
    return Table(
        "What holds on all data sets, and what does not",
        columns,
        rows_under_titles(groups),
        inline(
            "A bold “holds” needs a result of every data set of the study that asks for it: each "
            "interval begins above minus the margin. No more than that is claimed where a margin "
            "is wide."
        ),
    )


def _holds_cells(study: StudyView, label: str) -> tuple[Inline, ...]:
    found = across_sets(study, label)
    return (
        inline(label),
        *(_holds(study, found, kind) for kind in DIFFERENCE_KINDS),
        inline(attacks_in_words(study, found)),
    )


def _holds(study: StudyView, found: AcrossSets, kind: str) -> Inline:
    states = found.states(kind)
    if found.holds_where_run(kind):
        equal = set(states.values()) == {DifferenceState.EQUAL}
        everywhere = titles_of_sets(study, list(states))
        words = f" on {everywhere}{': equal within it' if equal else ''}"
        if found.without:
            return inline(f"holds{words}; no result on {titles_of_sets(study, found.without)}")
        return inline(Bold("holds"), words)
    parts: list[Content] = []
    kept = [name for name, one in states.items() if one in NO_HARM]
    if kept:
        parts.append(f"holds on {titles_of_sets(study, kept)}")
    for state in DifferenceState:
        where = [name for name, one in states.items() if one is state]
        if where and state not in NO_HARM:
            words = f"{state.value} on {titles_of_sets(study, where)}"
            parts.append("; " if parts else "")
            parts.append(Bold(words) if state in SHOWN_LOSS else words)
    if parts and found.without:
        parts.append(f"; no result on {titles_of_sets(study, found.without)}")
    return inline(*parts) if parts else inline(MISSING)


def sent_once(pipeline: PipelineView) -> float | None:
    """Return the bytes that go to or from the server once: keys, weights, and what trains there."""
    traffic = pipeline.measured.traffic if pipeline.measured else None
    if traffic is None:
        return None
    trained = traffic.training_upload_bytes + traffic.training_download_bytes
    return float(traffic.public_material_bytes + trained)

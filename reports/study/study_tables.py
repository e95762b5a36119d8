"""The tables of a study: protections by data sets, what holds on all, scores, price, attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import integrity_of, leaked_decryptions_of, secrecy_of
from he_compare.common.run.repeated_trainings import spread_beside, spread_of
from he_compare.common.run.spelling import (
    MISSING,
    bracket,
    duration,
    fixed,
    kilobytes,
    megabytes,
    milliseconds,
)
from he_compare.common.run.timing import cold_seconds, latency_of
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
    attack_state,
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
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.study.study_answer import TAKEN, Question, budgets_of, standing_over
from he_compare.reports.study.study_titles import (
    SIDE_TITLES,
    by_side,
    protections,
    run_link,
    titles_of_sets,
)

MOST_SETS_BESIDE = 4
ONE_TRAINING = "one training"
# Of all data sets, beside the first of them.
AT_THE_SIDE = (
    Column("Attackers got", weight=1.6),
    Column("One image", "right", "ms", 0.9),
    Column("Up + down", "right", "kB", 1.0),
    Column("Sent once", "right", "MB", 0.9),
)
EQUAL_HERE = "equal on these images"


def parts_beside(study: StudyView) -> list[tuple[StudiedSet, ...]]:
    """Cut the data sets into parts that stand beside each other on a page."""
    count = len(study.sets)
    parts = -(-count // MOST_SETS_BESIDE)
    return [study.sets[n * count // parts : (n + 1) * count // parts] for n in range(parts)]


def _numbered(caption: str, number: int, parts: int) -> str:
    return f"{caption} (part {number} of {parts})" if parts > 1 else caption


def _rows(parts: Sequence[tuple[str, list[Row]]]) -> tuple[Row | SpanRow, ...]:
    """Return rows under the head of each kind of protection, where there are several kinds."""
    found: list[Row | SpanRow] = []
    heads = len(parts) > 1
    for title, rows in parts:
        if heads:
            found.append(SpanRow(inline(title)))
        found += rows
    return tuple(found)


def _by_side(study: StudyView, labels: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return some labels under the title of their side."""
    sides = by_side(study)
    found = [(title, sides.get(name, [])) for name, title in SIDE_TITLES.items()]
    kept = [(title, [one for one in mine if one in labels]) for title, mine in found]
    return [(title, mine) for title, mine in kept if mine]


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
            for title, mine in _by_side(study, shown)
        ]
        tables.append(
            Table(
                _numbered("Protections on the data sets of the study", number, len(parts)),
                tuple(columns),
                _rows(groups),
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
        f"of what is not protected. Margin: {fixed(study.record.margins[ACCURACY], 2)}. Each "
        "number leads to the report of its run. Milliseconds and bytes: lowest and highest over "
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
        return inline(_why_none(one, label))
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
        return inline(_why_none(one, label))
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


def _why_none(one: StudiedSet, label: str) -> str:
    if label not in one.row.pipelines:
        return "not asked for"
    return "unavailable" if one.row.unavailable else "no result"


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


def sent_once(pipeline: PipelineView) -> float | None:
    """Return the bytes that go to or from the server once: keys, weights, and what trains there."""
    traffic = pipeline.measured.traffic if pipeline.measured else None
    if traffic is None:
        return None
    trained = traffic.training_upload_bytes + traffic.training_download_bytes
    return float(traffic.public_material_bytes + trained)


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
        for title, mine in _by_side(study, labels)
    ]
    return Table(
        "What holds on all data sets, and what does not",
        columns,
        _rows(groups),
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


def score_tables(study: StudyView) -> list[Table]:
    """Return accuracy and AUC of everything on each data set, a table for each."""
    return [_scores(study, one, view) for one, view in study.read]


def _scores(study: StudyView, one: StudiedSet, view: RunView) -> Table:
    accuracy, auc = leading_titles(view)
    columns = (
        Column("Set-up", weight=2.2),
        Column(accuracy, "right", "95% interval", 1.4),
        Column("Minus twin", "right", "95% interval", 1.5),
        Column(auc, "right", "95% interval", 1.4),
        Column("Minus twin", "right", "95% interval", 1.5),
    )
    groups = [
        (title, [Row(_score_cells(one, view, label)) for label in mine])
        for title, mine in _by_side(study, one.row.pipelines)
    ]
    seeds = _seeds_of(view)
    words = (
        "In every cell: the mean, its interval, and the lowest and highest training. “The same in "
        "every training”: there the seed changes nothing, so that the trainings are one; how much "
        "another training would change is not shown."
    )
    return Table(
        f"{one.title}: {view.n_test:,} test images, {seeds}",
        columns,
        _rows(groups),
        inline(words) if seeds != ONE_TRAINING else (),
    )


def _seeds_of(view: RunView) -> str:
    trained = [spread_of(one.metric("auc")) for one in view.pipelines]
    most = max((len(spread.values) for spread in trained if spread), default=1)
    return f"{most} trainings" if most > 1 else ONE_TRAINING


def _score_cells(one: StudiedSet, view: RunView, label: str) -> tuple[Inline, ...]:
    pipeline = one.pipeline(label)
    if pipeline is None:
        return inline(label), *[inline(MISSING)] * 4
    cells: list[Inline] = [inline(run_link(one, label))]
    for kind, name in zip(DIFFERENCE_KINDS, leading_metrics(view), strict=True):
        metric, minus = pipeline.metric(name), pipeline.difference(name)
        if metric is None or metric.value is None:
            cells.append(inline(pipeline.state if pipeline.state != "ok" else MISSING))
        else:
            cells.append(
                _lines(fixed(metric.value), bracket(metric.interval), spread_beside(metric))
            )
        told = difference_words(view, pipeline, kind)
        if told:
            cells.append(_lines(*told, spread_beside(minus, signed=True)))
        else:
            cells.append(inline(MISSING))
    return tuple(cells)


def _lines(*words: str) -> Inline:
    parts: list[Content] = []
    for one in filter(None, words):
        parts += [Break()] if parts else []
        parts.append(one)
    return inline(*parts)


def price_table(study: StudyView) -> Table:
    """Return what each set-up takes: time of one image, bytes, and the work done once."""
    columns = (
        Column("Set-up", weight=2.2),
        Column("Data set", weight=1.2),
        Column("One image, p50", "right", "ms"),
        Column("Up", "right", "kB per image"),
        Column("Down", "right", "kB per image"),
        Column("Sent once", "right", "MB"),
        Column("Before the first image", "right", "once", 1.2),
    )
    rows: list[Row | SpanRow] = []
    for _, labels in _by_side(study, study.labels):
        for label in labels:
            rows += _price_rows(study, label)
    return Table(
        "Price of each set-up",
        columns,
        tuple(rows),
        inline(
            "Times compare only between data sets that ran on one machine. Sent once: keys, "
            "weights, and what the server gets to train on. What is done once holds "
            "keys, training and deploying; parts that were made before are counted as made."
        ),
    )


def _price_rows(study: StudyView, label: str) -> Iterator[Row]:
    for number, (one, _, pipeline) in enumerate(study.places(label)):
        latency, moved = latency_of(pipeline), pipeline.bytes_per_image
        once, sent = cold_seconds(pipeline), sent_once(pipeline)
        yield Row(
            (
                inline("" if number else label),
                inline(run_link(one, one.title)),
                inline(milliseconds(latency.total.p50) if latency else MISSING),
                inline(kilobytes(moved[0]) if moved else MISSING),
                inline(kilobytes(moved[1]) if moved else MISSING),
                inline(megabytes(sent) if sent is not None else MISSING),
                inline(duration(once) if once is not None else MISSING),
            )
        )


def attack_tables(study: StudyView) -> list[Table]:
    """Return what attackers got from each protection on each data set."""
    labels = protections(study)
    tables, parts = [], parts_beside(study)
    for number, part in enumerate(parts, start=1):
        groups = [
            (
                title,
                [
                    Row((inline(label), *(_attack_cell(one, label) for one in part)))
                    for label in mine
                ],
            )
            for title, mine in _by_side(study, labels)
        ]
        columns = (
            Column("Protection", weight=1.8),
            *(Column(one.title, weight=1.6) for one in part),
        )
        caption = _numbered("What attackers got of the images", number, len(parts))
        note = inline("Each answer leads to the report of its run, where the attacks are.")
        tables.append(Table(caption, columns, _rows(groups), note))
    return [*tables, _beyond_secrecy(study, labels)] if labels else []


def _beyond_secrecy(study: StudyView, labels: Sequence[str]) -> Table:
    """Return whose replies can be changed, what a decoded reply gives, and how much was tried."""
    columns = (
        Column("Protection", weight=1.8),
        Column("Is a changed reply noticed?", weight=2.0),
        Column("Decoded replies", weight=2.0),
        Column("Attacks", "right", "results", 0.7),
        Column("Not run", "right", "n", 0.7),
        Column("Inconclusive", "right", "n", 0.8),
    )
    groups = [
        (title, [Row(_beyond_cells(study, label)) for label in mine])
        for title, mine in _by_side(study, labels)
    ]
    budgets = " and ".join(budgets_of(study)) or "not recorded"
    return Table(
        "Beyond secrecy: replies, and how much was tried",
        columns,
        _rows(groups),
        inline(
            f"The worst answer over the data sets. Budget of the attacks: {budgets}. What was not "
            "run, and what is inconclusive, is no pass."
        ),
    )


def _beyond_cells(study: StudyView, label: str) -> tuple[Inline, ...]:
    questions: tuple[Question, ...] = (integrity_of, leaked_decryptions_of)
    answers = [standing_over(study, label, one) for one in questions]
    verdicts = [
        outcome.verdict
        for _, view, pipeline in study.places(label)
        for outcome in outcomes_of(view, pipeline)
    ]
    missing = verdicts.count("not run")
    return (
        inline(label),
        *(inline(one.words if one else MISSING) for one in answers),
        inline(f"{len(verdicts) - missing}"),
        inline(f"{missing}"),
        inline(f"{verdicts.count('unreliable')}"),
    )


def _attack_cell(one: StudiedSet, label: str) -> Inline:
    pipeline: PipelineView | None = one.pipeline(label)
    if one.view is None or pipeline is None:
        return inline(_why_none(one, label))
    standing = secrecy_of(one.view, pipeline)
    state = attack_state(standing)
    if state in TAKEN:
        return inline(run_link(one, standing.words))
    unsure = sum(each.verdict == "unreliable" for each in outcomes_of(one.view, pipeline))
    told = f"{unsure} test{'s' * (unsure > 1)} inconclusive" if unsure else ""
    shown = state is AttackState.RESISTS and told
    return inline(run_link(one, f"{state.value}; {told}" if shown else state.value))

"""The first page of a study: what attackers got, what protection costs, what is not settled.

Every sentence is made by a rule from intervals and outcomes; the rules are those of
``common.study.study_rules``. A claim about all data sets is made only where it holds on each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import (
    ProtectionMark,
    ProtectionStanding,
    integrity_of,
    leaked_decryptions_of,
    secrecy_of,
    worst_standing,
)
from he_compare.common.run.spelling import bracket, fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.study.study_names import kind_name, leading_word
from he_compare.common.study.study_rules import (
    DIFFERENCE_KINDS,
    SHOWN_LOSS,
    AcrossSets,
    AttackState,
    DifferenceState,
    across_sets,
    twin_difference,
)
from he_compare.common.study.study_view import StudyView
from he_compare.reports.answer.scrambling_words import spelled
from he_compare.reports.document.nodes import Block, Bold, Content, Paragraph, inline
from he_compare.reports.study.study_titles import (
    all_sets,
    by_side,
    few_named,
    protections,
    titles_of_sets,
)

UNPROVEN = "That is no proof: no hardness assumption stands behind it."
RESTS_ON = "rests on "
TAKEN = (AttackState.BROKEN, AttackState.PARTLY)
# What a question beyond secrecy came to where whoever asks it can win.
OPEN_TO_CHANGE: tuple[ProtectionMark, ...] = (
    *("broken", "partly", "not protected", "not promised", "open by design"),
)
GIVES_KEYS: tuple[ProtectionMark, ...] = ("broken", "partly", "not promised")
Question = Callable[[RunView, PipelineView], ProtectionStanding]


def answer_paragraphs(study: StudyView) -> list[Block]:
    """Return the sentences above the table; a paragraph without ground is left out."""
    found = {label: across_sets(study, label) for label in protections(study)}
    sides = by_side(study)
    scrambled = [found[one] for one in sides.get("scrambled", ()) if one in found]
    encrypted = [found[one] for one in sides.get("encrypted", ()) if one in found]
    parts = [
        _secrecy(study, scrambled, "Scrambling", UNPROVEN),
        _secrecy(study, encrypted, "Encryption", _ground(study, encrypted)),
        _beyond_secrecy(study, list(found.values())),
        _what_ran(study, list(found.values())),
        _costs(study, list(found.values())),
        _unlearnt(study, list(found.values())),
        _unsettled(study, list(found.values())),
        _not_there(study),
    ]
    return [Paragraph(inline(*part)) for part in parts if part]


def _secrecy(study: StudyView, found: Sequence[AcrossSets], what: str, rest: str) -> list[Content]:
    """Say what attackers got from one kind of protection, on which data sets."""
    if not found:
        return []
    everywhere = [one for one in found if one.everywhere(*TAKEN)]
    held = [one for one in found if one.everywhere(AttackState.RESISTS)]
    parts: list[Content] = []
    if len(everywhere) == len(found):
        parts.append(Bold(f"{what} did not protect the images on any data set."))
        parts.append(f" Attacks won against {_where_labels(study, found)}.")
        return parts
    if len(held) == len(found):
        parts.append(Bold(f"{what} was not broken by what was run, on {_sets(study)}."))
        return [*parts, f" {rest}" if rest else ""]
    broken = [one for one in found if set(one.attacks.values()) & set(TAKEN)]
    head = "was not tested to an answer on every data set."
    if broken:
        head = "did not protect the images everywhere."
    elif held:
        head = "was not broken by what was run, and not all of it was tested."
    parts.append(Bold(f"{what} {head}"))
    if everywhere:
        parts.append(f" Attacks won against {_where_labels(study, everywhere)}.")
    some = [one for one in broken if one not in everywhere]
    for one in some[:3]:
        where = [name for name, state in one.attacks.items() if state in TAKEN]
        parts.append(f" {one.label} was broken on {titles_of_sets(study, where)}.")
    if len(some) > 3:
        parts.append(f" {spelled(len(some) - 3).capitalize()} more were broken on some data sets.")
    if held:
        parts.append(f" Resisted what ran: {_where_labels(study, held)}. {rest}".rstrip())
    for state in (AttackState.UNREAD, AttackState.NOT_PROMISED, AttackState.NOT_APPLICABLE):
        mine = [one for one in found if one.everywhere(state)]
        if mine:
            parts.append(f" {state.value[:1].upper()}{state.value[1:]}: {_labels(mine)}.")
    untested = [one for one in found if _untested(one) and one not in broken]
    if untested:
        parts.append(
            f" Not tested, or inconclusive, on some data set: {_labels(untested)}; that is no pass."
        )
    return parts


def _untested(one: AcrossSets) -> bool:
    unknown = {AttackState.NOT_TESTED, AttackState.INCONCLUSIVE}
    return bool(set(one.attacks.values()) & unknown)


def _ground(study: StudyView, found: Sequence[AcrossSets]) -> str:
    """Say what secrecy rests on where attacks only failed."""
    words = set()
    for one in found:
        for _, view, pipeline in study.places(one.label):
            rest = secrecy_of(view, pipeline).words.partition("; ")[2]
            if rest.startswith(RESTS_ON):
                words.add(rest.partition(";")[0].removeprefix(RESTS_ON))
    told = " or ".join(sorted(words))
    return f"That is no proof: its secrecy {RESTS_ON}{told}." if words else ""


def standing_over(study: StudyView, label: str, question: Question) -> ProtectionStanding | None:
    """Return the worst answer to a question over the data sets; None where none was measured."""
    standings = [question(view, pipeline) for _, view, pipeline in study.places(label)]
    return worst_standing(standings) if standings else None


def _beyond_secrecy(study: StudyView, found: Sequence[AcrossSets]) -> list[Content]:
    """Say whose replies can be changed, and whose decoded replies give the key."""
    parts: list[Content] = []
    for question, marks, head in (
        (integrity_of, OPEN_TO_CHANGE, "Replies are not authenticated."),
        (leaked_decryptions_of, GIVES_KEYS, "A decoded reply gives the key."),
    ):
        by_words: dict[str, list[str]] = {}
        for one in found:
            standing = standing_over(study, one.label, question)
            if standing is not None and standing.mark in marks:
                by_words.setdefault(standing.words, []).append(one.label)
        if by_words:
            told = "; ".join(f"{few_named(labels)}: {what}" for what, labels in by_words.items())
            parts += [" " if parts else "", Bold(head), f" {told}."]
    return parts


def _what_ran(study: StudyView, found: Sequence[AcrossSets]) -> list[Content]:
    """Name the budget of the attacks, and how many were not run or came to no answer."""
    outcomes = [
        outcome
        for one in found
        for _, view, pipeline in study.places(one.label)
        for outcome in outcomes_of(view, pipeline)
    ]
    if not outcomes:
        return []
    budgets = budgets_of(study)
    under = f" under the {' and the '.join(budgets)} budget" if budgets else ""
    missing = sum(one.verdict == "not run" for one in outcomes)
    unsure = sum(one.verdict == "unreliable" for one in outcomes)
    told = f"Attacks ran{under}: {len(outcomes) - missing} results"
    told += f", {missing} not run" if missing else ""
    told += f", {unsure} test{'s' * (unsure > 1)} inconclusive" if unsure else ""
    rest = " What was not run or is inconclusive is no pass." if missing or unsure else ""
    return [f"{told}.{rest}"]


def budgets_of(study: StudyView) -> list[str]:
    """Return the names of the budgets under which attacks of the runs ran, as records tell them."""
    names = {
        str(outcome.budget["name"])
        for _, view in study.read
        for outcome in view.outcomes
        if outcome.budget.get("name")
    }
    return sorted(names)


def _costs(study: StudyView, found: Sequence[AcrossSets]) -> list[Content]:
    """Say which protections cost no accuracy anywhere, and which do where."""
    if not found:
        return []
    margins = study.record.margins
    limits = " and ".join(
        f"{fixed(margins[kind], 2)} of {kind_name(study, kind)}" for kind in DIFFERENCE_KINDS
    )
    kept = [one for one in found if all(one.holds_where_run(kind) for kind in DIFFERENCE_KINDS)]
    free, partly = (
        [one for one in kept if bool(one.without) is lacks_some] for lacks_some in (False, True)
    )
    parts: list[Content] = []
    if free:
        parts.append(Bold(f"No loss above {limits}: {_where_labels(study, free)}."))
    if partly:
        parts.append(
            f"{' ' if parts else ''}No loss above {limits} where there is a result: "
            f"{_where_labels(study, partly)}. Other data sets gave none."
        )
    if not kept:
        words = f"No protection is shown to lose less than {limits} on {_sets(study)}."
        parts.append(Bold(words))
    lost = [one for one in found if _lost(one)]
    if lost:
        parts.append(f" A loss is shown for {_losses(study, lost)}.")
    return parts


def _lost(one: AcrossSets) -> list[str]:
    """Return the names of data sets on which a loss is shown, in either kind."""
    return [
        name
        for name, states in one.differences.items()
        if any(state in SHOWN_LOSS for state in states.values())
    ]


def _losses(study: StudyView, found: Sequence[AcrossSets]) -> str:
    """Name each protection with the data sets it loses on, and its largest loss."""
    told = []
    for one in found[:4]:
        where = _lost(one)
        worst = _worst(study, one, where)
        told.append(f"{one.label} on {titles_of_sets(study, where)}{worst}")
    more = f", and {spelled(len(found) - 4)} more (see the table)" if len(found) > 4 else ""
    return "; ".join(told) + more


def _worst(study: StudyView, one: AcrossSets, where: Sequence[str]) -> str:
    """Return the largest loss that is shown among some data sets, with its interval."""
    losses = []
    for place in study.sets:
        pipeline = place.pipeline(one.label)
        if place.row.name not in where or place.view is None or pipeline is None:
            continue
        for kind in DIFFERENCE_KINDS:
            found = twin_difference(place.view, pipeline, kind)
            shown = one.differences[place.row.name][kind] in SHOWN_LOSS
            if shown and found is not None and found.difference is not None:
                word = leading_word(place.view, kind)
                losses.append((found.difference, found.interval, word, place.title))
    if not losses:
        return ""
    value, interval, word, title = min(losses, key=lambda loss: loss[0])
    limits = bracket(interval, signed=True)
    on = f", {title}" if len(where) > 1 else ""
    return f" ({word} {fixed(value, signed=True)} {limits}{on})"


def _unlearnt(study: StudyView, found: Sequence[AcrossSets]) -> list[Content]:
    """Name the data sets on which a twin is not shown to be above chance: nothing holds there."""
    told = []
    for one in found:
        where = {
            name
            for kind in DIFFERENCE_KINDS
            for name, state in one.states(kind).items()
            if state is DifferenceState.UNLEARNT
        }
        if where:
            names = [each.row.name for each in study.sets if each.row.name in where]
            told.append(f"{one.label} on {titles_of_sets(study, names)}")
    if not told:
        return []
    words = (
        f" {'; '.join(told[:4])}{' and more (see the table)' if len(told) > 4 else ''}: the "
        "unprotected twin is not shown to be above chance there, so that nothing is shown to be "
        "kept."
    )
    return [Bold("A twin is not shown to have learnt anything."), words]


def _unsettled(study: StudyView, found: Sequence[AcrossSets]) -> list[Content]:
    """Name what these data and seeds do not settle."""
    open_ = [
        one
        for one in found
        if not _lost(one)
        and any(DifferenceState.OPEN in one.states(kind).values() for kind in DIFFERENCE_KINDS)
    ]
    if not open_:
        return []
    words = (
        f" {_labels(open_)}: on some data set the interval holds both no loss and one above the "
        "margin. More test images or more seeds would narrow it."
    )
    return [Bold("Not settled."), words]


def _not_there(study: StudyView) -> list[Content]:
    """Say which data sets gave nothing, and which are not finished."""
    missing = [one for one in study.sets if one.view is None]
    unfinished = [one for one in study.sets if one.view is not None and not one.row.ended]
    parts: list[Content] = []
    if missing:
        told = "; ".join(f"{one.title}: {one.why}" for one in missing)
        parts += [Bold("No result of some data sets."), f" {told}. Nothing here is about them."]
    if unfinished:
        titles = few_named(one.title for one in unfinished)
        parts += [
            " " if parts else "",
            Bold("Not finished."),
            f" {titles}: what is shown is what has ended so far.",
        ]
    return parts


def _labels(found: Sequence[AcrossSets]) -> str:
    return few_named(one.label for one in found)


def _where_labels(study: StudyView, found: Sequence[AcrossSets]) -> str:
    """Name protections with the data sets that ask for them, those of the same ones together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        together.setdefault(tuple(one.attacks), []).append(one.label)
    return "; ".join(
        f"{few_named(labels)}, on {titles_of_sets(study, names)}"
        for names, labels in together.items()
    )


def _sets(study: StudyView) -> str:
    return "the one data set" if len(study.read) == 1 else all_sets(study)

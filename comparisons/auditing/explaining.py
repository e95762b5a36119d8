"""One cell of an audit in full: found by name, told with claim, evidence, limits and command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest
from he_compare.common.run.outcomes import command_for
from he_compare.common.run.records import AttackOutcome, MetricValue, ReferenceFacts
from he_compare.common.run.severity import (
    A_CONTROL,
    NECESSARY,
    NOT_PROMISED,
    aside,
    beyond_claims,
    only_necessary,
)
from he_compare.comparisons.auditing.outcome_draft import number
from he_compare.comparisons.terminal import continued, fold_text, labelled

INDENT = 11
ORIGIN_OF_KEYS = {
    "operating system": "of the operating system: scores differ within the interval from one audit "
    "to the next",
    "seeded": "derived from --key-seed: for debugging only",
}
MESSAGES = {
    "crossed in the run": "key 1: as they crossed the wire in the run; other keys: encrypted anew",
    "deployed again": "of a pipeline that the audit deployed again: not the traffic of the run",
    "deployed for the audit": "of a pipeline that was deployed for the audit only",
    "cipher alone": "of the cipher alone, without a pipeline",
}


def find_cell(outcomes: Sequence[AttackOutcome], cell: str) -> AttackOutcome:
    """Find a cell by ``TARGET/ATTACK`` or the start of its identity.

    ``TARGET/ATTACK@REFERENCE`` names one of several sets of public images. Raises UnknownNameError
    with the nearest names.
    """
    known = {f"{o.target}/{o.row}": o for o in outcomes}
    rows = {o.row: o for o in outcomes if f"{o.target}/{o.attack}" == cell}
    if len(rows) == 1:
        return next(iter(rows.values()))
    if cell in known:
        return known[cell]
    starting = [o for o in outcomes if cell and o.identity.startswith(cell)]
    if len(starting) == 1:
        return starting[0]
    raise UnknownNameError(
        f"no cell {cell!r} in this audit", fix=nearest(cell, _likely(outcomes, cell))
    )


def only(
    outcomes: Sequence[AttackOutcome], targets: Sequence[str], attacks: Sequence[str]
) -> list[AttackOutcome]:
    """Return the outcomes of these targets and attacks; of all where none is named.

    Raises UnknownNameError with the nearest names.
    """
    known = [list(dict.fromkeys(o.target for o in outcomes)), sorted({o.attack for o in outcomes})]
    for what, wanted, names in zip(("target", "attack"), (targets, attacks), known, strict=True):
        for name in wanted:
            if name not in names:
                raise UnknownNameError(
                    f"no {what} {name!r} in this audit", fix=nearest(name, names)
                )
    return [
        one
        for one in outcomes
        if (not targets or one.target in targets) and (not attacks or one.attack in attacks)
    ]


def _likely(outcomes: Sequence[AttackOutcome], cell: str) -> list[str]:
    """Return the cells that may be meant: those of a target or of an attack that exists."""
    target, _, attack = cell.rpartition("/")
    of_target = [o for o in outcomes if o.target == target]
    of_attack = [o for o in outcomes if attack in (o.row, o.attack)]
    return sorted({f"{o.target}/{o.row}" for o in of_target or of_attack or outcomes})


def explain_outcome(outcome: AttackOutcome, columns: int | None = None) -> str:
    """Describe one cell in full, in lines of at most ``columns``; None: no limit."""
    title = f"{outcome.title} on {outcome.target}: {_verdict(outcome)}"
    lines = [*fold_text(title, columns), ""]
    for name, text in _facts(outcome):
        lines += labelled(name, text, columns, INDENT)
    return "\n".join([*lines, *_command(outcome, columns)])


def _verdict(outcome: AttackOutcome) -> str:
    """Return the verdict; first of all, say where what was won had never been promised."""
    if beyond_claims(outcome):
        return f"{aside(outcome)}; {'won' if outcome.verdict == 'broken' else 'won in part'}"
    if outcome.counts_as == "control":
        return f"{outcome.verdict} ({A_CONTROL})"
    if only_necessary(outcome):
        return f"{outcome.verdict} ({NECESSARY}, no evidence of resistance)"
    return outcome.verdict


def _facts(outcome: AttackOutcome) -> Iterator[tuple[str, str]]:
    """Yield what is known of an outcome as a name and a sentence."""
    yield "claim", _claim(outcome)
    yield "adversary", ", ".join(rung.value for rung in outcome.knowledge)
    if outcome.reference is not None:
        yield "public", _reference(outcome.reference)
        yield from (("", note) for note in outcome.reference.notes)
    if outcome.headline:
        yield "evidence", outcome.headline
    if outcome.reason:
        yield "reason", outcome.reason
    if outcome.advantage is not None:
        yield "advantage", f"{outcome.advantage:.3f}{_interval(outcome)}"
    if outcome.floor is not None and outcome.floor_from:
        yield "floor", _floor(outcome, outcome.floor)
    if outcome.control_keys:
        keys = outcome.control_keys
        yield (
            "",
            f"floor and ceiling are estimates from {keys} control keys, unless known exactly",
        )
    for name, value in outcome.controls.items():
        yield "control", f"{name}: {number(value)}"
    yield from (("detail", _detail(detail)) for detail in outcome.details)
    yield from (("unreliable", reason) for reason in outcome.unreliable)
    yield from (("limit", limit) for limit in outcome.limits)
    if outcome.spent:
        spent = ", ".join(f"{value} {name}" for name, value in outcome.spent.items())
        yield "spent", f"{spent}; {outcome.seconds:.2f} s"
    if outcome.budget:
        yield "budget", ", ".join(f"{name} {value}" for name, value in outcome.budget.items())
    if outcome.messages:
        yield "messages", MESSAGES[outcome.messages]
    if outcome.keys:
        yield "keys", ORIGIN_OF_KEYS[outcome.keys]
    yield from (("file", name) for name in outcome.artefacts)
    yield "source", outcome.source


def _command(outcome: AttackOutcome, columns: int | None) -> list[str]:
    """Return the command under its own title where it is folded: it can be copied and run."""
    command = command_for(outcome)
    name = ("reproduce" if command == outcome.reproduce else "to run it").ljust(INDENT)
    lines = continued(command, None if columns is None else columns - INDENT)
    if len(lines) == 1:
        return [(name + lines[0]).rstrip()]
    return [name.rstrip(), *continued(command, columns)]


def _floor(outcome: AttackOutcome, floor: float) -> str:
    others = ", ".join(
        f"{name} {number(value)}"
        for name, value in outcome.floors.items()
        if name != outcome.floor_from
    )
    return f"{number(floor)}: {outcome.floor_from}" + (f" (and {others})" if others else "")


def _reference(reference: ReferenceFacts) -> str:
    count = "" if reference.images is None else f"{reference.images} images, "
    return (
        f"{reference.name} ({reference.domain} reference): {count}{reference.provenance}; "
        f"SHA-256 {reference.digest[:12]}"
    )


def _claim(outcome: AttackOutcome) -> str:
    if not outcome.claim:
        return "none"
    return outcome.claim if outcome.promised else f"{NOT_PROMISED}: {outcome.claim}"


def _interval(outcome: AttackOutcome) -> str:
    interval = outcome.advantage_interval
    if interval is None:
        return ""
    return f" [{interval.low:.3f}, {interval.high:.3f}] ({interval.level:.0%}, {interval.method})"


def _detail(detail: MetricValue) -> str:
    if detail.value is None:
        return f"{detail.name}: none {detail.note}".rstrip()
    return f"{detail.name}: {number(detail.value)} {detail.unit} {detail.note}".rstrip()

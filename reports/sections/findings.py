"""Findings: a count by severity, then each with evidence, limits and the command that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.records import CostRung, PairedDifference, RunRecord
from he_compare.common.run.spelling import bracket, fixed, scientific, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.cards import SEVERITIES, Rule, card, found_by, gravest_first, numbered
from he_compare.reports.document.nodes import (
    Block,
    Column,
    FindingCard,
    Inline,
    Paragraph,
    Row,
    Severity,
    Table,
    inline,
)
from he_compare.reports.naming import SHORT_ID, record_ids, short_title
from he_compare.reports.section import ReportSection

# A loss whose interval stays above this is called small; the margin is printed with the finding.
ACCURACY_MARGIN = 0.05
# Mean gap between stated confidence and observed share above which probabilities mislead.
ECE_LIMIT = 0.10
# Relative difference of encrypted and clear training above which noise is not negligible.
TWIN_LIMIT = 1e-2
HARDNESS = "reduction to a hardness assumption"


def _show(record: RunRecord) -> str:
    return f"compare show RUN {record.identity[:SHORT_ID]}"


def _names(view: RunView, pipelines: list[PipelineView]) -> str:
    return "; ".join(short_title(view, pipeline) for pipeline in pipelines)


def _first_records(pipelines: list[PipelineView]) -> Inline:
    """Return the identity of the accuracy cell of each pipeline."""
    parts = [record_ids(pipeline.cells[:1]) for pipeline in pipelines]
    return inline(*[inline(", " if index else "", part) for index, part in enumerate(parts)])


def separate_processes(view: RunView) -> Iterator[FindingCard]:
    """Say whether every server half ran in a process of its own."""
    measured = [one for one in view.pipelines if one.measured and not one.no_server]
    states: tuple[tuple[Severity, bool | None, str], ...] = (
        ("fail", False, "The server half ran in the client's process"),
        ("unknown", None, "It was not recorded whether the server half ran in its own process"),
        ("pass", True, "The server half ran in a separate process, started with public material"),
    )
    for severity, state, words in states:
        found = [
            pipeline
            for pipeline in measured
            if (_worst_separation([one.server_pid_separate for one in pipeline.cells]) is state)
        ]
        if found:
            yield card(
                severity,
                f"{words}: {len(found)} of {len(measured)} pipelines{_that_have_one(view)} "
                f"({_names(view, found)}).",
                _first_records(found),
                "The operating system of one machine separates the memory; its administrator sees "
                "both.",
                reproduce="compare show RUN --json",
            )


def _that_have_one(view: RunView) -> str:
    return " with a server" if any(one.no_server for one in view.pipelines) else ""


def _worst_separation(states: list[bool | None]) -> bool | None:
    if False in states:
        return False
    return True if True in states else None


def executed_agreement(view: RunView) -> Iterator[FindingCard]:
    """Compare executed predictions with those of the clear model."""
    for pipeline in view.pipelines:
        record = pipeline.measured
        if record is None or record.agreement is None:
            continue
        found = record.agreement
        same = found.agree == found.compared
        yield card(
            "pass" if same and found.compared else "fail",
            f"{short_title(view, pipeline)}: {found.agree} of {found.compared} predictions on "
            f"protected data equal those of the {found.reference}; largest score "
            f"difference {scientific(found.max_abs_score_difference)}.",
            record_ids([record]),
            "Shows that protection does not change the answer; shows nothing about what it hides.",
            reproduce=_show(record),
        )


def enforced_parameters(view: RunView) -> Iterator[FindingCard]:
    """Ask of every claim that rests on a hardness assumption who enforces its parameters."""
    for pipeline in view.pipelines:
        claims = pipeline.claims
        if claims is None or claims.claim_type != HARDNESS:
            continue
        severity: Severity = "unknown"
        words = "it is not stated who enforces its parameters"
        if claims.insecure:
            severity, words = "fail", "; ".join(claims.insecure)
        elif claims.enforced_by:
            severity, words = "pass", f"parameters are enforced: {claims.enforced_by}"
        yield card(
            severity,
            f"{short_title(view, pipeline)}, {claims.scheme}: {words}.",
            record_ids(pipeline.cells[:1]),
            f"Holds if {claims.assumption or 'its assumption'} is hard, the server follows the "
            "protocol and the library is correct; the library was not audited here.",
            reproduce=_show(pipeline.cells[0]),
        )


def repetitions(view: RunView) -> Iterator[FindingCard]:
    """Say whether the server can tell that an image was sent before."""
    protected = [pipeline for pipeline in view.pipelines if pipeline.protected]
    states: tuple[tuple[Severity, bool | None, str], ...] = (
        ("warn", True, "Equal images give equal ciphertexts, so the server sees repetitions"),
        ("unknown", None, "It is not stated whether equal images give equal ciphertexts"),
        ("pass", False, "Equal images give different ciphertexts"),
    )
    for severity, state, words in states:
        found = [one for one in protected if one.claims and one.claims.deterministic is state]
        if found:
            yield card(
                severity,
                f"{words}: {_names(view, found)}.",
                _first_records(found),
                "As the pipelines state it. The server always sees the number and time of "
                "requests.",
                reproduce=_show(found[0].cells[0]),
            )


def price_in_accuracy(view: RunView) -> Iterator[FindingCard]:
    """Judge each protected pipeline's loss by the interval of its paired difference."""
    for pipeline in view.pipelines:
        found = pipeline.difference("accuracy")
        if not pipeline.protected or found is None or found.difference is None:
            continue
        if found.interval is None:
            continue
        severity, words = _judged(found)
        gap = fixed(found.difference, signed=True)
        limits = bracket(found.interval, signed=True)
        yield card(
            severity,
            f"{short_title(view, pipeline)}: accuracy {gap} {limits} against the reference on the "
            f"same {found.n} images: {words}.",
            record_ids(pipeline.cells[:1]),
            f"The margin of {ACCURACY_MARGIN} is this tool's choice, not a clinical one.",
            reproduce="compare score RUN",
        )


def _judged(found: PairedDifference) -> tuple[Severity, str]:
    assert found.interval is not None
    if found.interval.low >= -ACCURACY_MARGIN:
        return "pass", f"a loss above {ACCURACY_MARGIN} is excluded at 95%"
    if found.interval.high < 0:
        return "warn", "a loss is shown"
    return "unknown", f"the interval contains both 0 and a loss above {ACCURACY_MARGIN}"


def calibration(view: RunView) -> Iterator[FindingCard]:
    """Warn of probabilities that do not mean what they say."""
    for pipeline in view.pipelines:
        metric = pipeline.metric("ece")
        if metric is None or metric.value is None or metric.value <= ECE_LIMIT:
            continue
        yield card(
            "warn",
            f"{short_title(view, pipeline)}: stated confidence and observed share differ by "
            f"{fixed(metric.value)} {bracket(metric.interval)} on average, above {ECE_LIMIT:.2f}.",
            record_ids(pipeline.cells[:1]),
            "Its probabilities must not be read as risks without recalibration.",
            reproduce="compare score RUN",
        )


def encrypted_training(view: RunView) -> Iterator[FindingCard]:
    """Compare a training under encryption with the same steps in the clear."""
    for one in encrypted_trainings(view):
        assert one.pipeline.measured is not None
        last = one.stretches[-1]
        words = f"differ by {scientific(last.difference)} (relative)"
        rounds = one.refresh_rounds
        way = f"{rounds} refreshes by the client" if rounds else "one upload"
        optimum = ""
        if one.optimum is not None:
            optimum = f"; loss {fixed(last.loss, 4)}, exact optimum {fixed(one.optimum, 4)}"
        yield card(
            "pass" if last.difference <= TWIN_LIMIT else "warn",
            f"{short_title(view, one.pipeline)}: weights trained on ciphertexts ({way}) and by the "
            f"same steps in the clear {words}{optimum}.",
            record_ids([one.pipeline.measured]),
            f"Above {TWIN_LIMIT} the noise of the encryption would count. Shows nothing about "
            "whether the weights may be released.",
            reproduce=_show(one.pipeline.measured),
        )


def logits_outside(view: RunView) -> Iterator[FindingCard]:
    """Warn of a training whose logits left the interval of the polynomial sigmoid."""
    for one in encrypted_trainings(view):
        assert one.pipeline.measured is not None
        if not one.outside:
            continue
        largest = [x.largest_logit for x in one.stretches if x.largest_logit is not None]
        most = f", the largest {significant(max(largest))}" if largest else ""
        yield card(
            "warn",
            f"{short_title(view, one.pipeline)}: {one.outside:,} logits of the training left the "
            f"interval of the polynomial sigmoid{most}.",
            record_ids([one.pipeline.measured]),
            "Outside its interval the polynomial is no sigmoid, and far outside it explodes. The "
            "logits are those of the clear twin, over all rows and steps; the loss at the end says "
            "whether the training converged all the same.",
            reproduce=_show(one.pipeline.measured),
        )


def price_of_encrypted_training(view: RunView) -> Iterator[FindingCard]:
    """Say what each step from the clear head to the executed scores costs in AUC."""
    for one in encrypted_trainings(view):
        scores, record = one.pipeline.scores, one.pipeline.measured
        assert record is not None
        steps = [(rung, _auc(rung)) for rung in (scores.rungs if scores else [])]
        known = [(rung.cost, found) for rung, found in steps if found is not None]
        if not known:
            continue
        told = ", ".join(
            f"{cost} {fixed(found.difference or 0.0, 4, signed=True)} "
            f"{bracket(found.interval, 4, signed=True)}".rstrip()
            for cost, found in known
        )
        severity, shown = _judged_steps(known)
        yield card(
            severity,
            f"{short_title(view, one.pipeline)}, change in AUC from the clear head on: {told}: "
            f"{shown}.",
            record_ids([record]),
            "Each change is paired, on the same images. An interval that reaches 0 does not show "
            f"that a step costs nothing; the margin of {ACCURACY_MARGIN} is this tool's choice.",
            reproduce="compare score RUN",
        )


def _judged_steps(steps: list[tuple[str, PairedDifference]]) -> tuple[Severity, str]:
    intervals = [(cost, found.interval) for cost, found in steps]
    losses = [cost for cost, interval in intervals if interval and interval.high < 0]
    if losses:
        return "warn", f"a loss is shown for {', '.join(losses)}"
    wide = [cost for cost, one in intervals if one is None or one.low < -ACCURACY_MARGIN]
    if wide:
        return "unknown", f"a loss above {ACCURACY_MARGIN} is not excluded for {', '.join(wide)}"
    return "pass", "no single step is shown to lose anything"


def _auc(rung: CostRung) -> PairedDifference | None:
    found = (one for one in rung.differences if one.metric == "auc")
    return next((one for one in found if one.difference is not None), None)


RULES: tuple[Rule, ...] = (
    separate_processes,
    executed_agreement,
    enforced_parameters,
    repetitions,
    price_in_accuracy,
    calibration,
    encrypted_training,
    logits_outside,
    price_of_encrypted_training,
)


WORDS = (
    "Generated by rules from the records. pass: the claim was observed, within the limits named; "
    "warn: it has a cost or a caveat; fail: it was observed not to hold; unknown: tested, "
    "inconclusive. RUN is the folder of this run."
)


class Findings(ReportSection):
    """What the records show for and against the claims of the pipelines."""

    order = 1250
    title = "Findings from the records"
    anchor = "findings"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the findings, the gravest first; none where no rule had anything to look at."""
        cards = numbered("F", gravest_first(found_by(RULES, view)))
        return [Paragraph(inline(WORDS)), _counts(cards), *cards] if cards else []


def _counts(cards: Sequence[FindingCard]) -> Table:
    columns = tuple(Column(severity, "right", "findings") for severity in SEVERITIES)
    counts = [sum(one.severity == severity for one in cards) for severity in SEVERITIES]
    return Table("Findings by severity", columns, (Row(tuple(inline(str(n)) for n in counts)),))


SECTION = Findings()

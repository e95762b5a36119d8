"""Findings on training under encryption: noise, logits out of bounds, what each step costs."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.records import CostRung, PairedDifference
from he_compare.common.run.spelling import bracket, fixed, scientific, significant
from he_compare.common.run.view import RunView
from he_compare.reports.cards import card
from he_compare.reports.document.nodes import FindingCard, Severity
from he_compare.reports.findings.on_accuracy import ACCURACY_MARGIN
from he_compare.reports.findings.on_security import shown_by
from he_compare.reports.naming import record_ids, short_title

# Relative difference of encrypted and clear training above which noise is not negligible.
TWIN_LIMIT = 1e-2


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
            best = fixed(one.optimum, 4)
            optimum = f"; loss {fixed(last.loss, 4)}, optimum on the same components {best}"
        yield card(
            "pass" if last.difference <= TWIN_LIMIT else "warn",
            f"{short_title(view, one.pipeline)}: weights trained on ciphertexts ({way}) and by the "
            f"same steps in the clear {words}{optimum}.",
            record_ids([one.pipeline.measured]),
            f"Above {TWIN_LIMIT} the noise of the encryption would count. Shows nothing about "
            "whether the weights may be released.",
            reproduce=shown_by(one.pipeline.measured),
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
            reproduce=shown_by(one.pipeline.measured),
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

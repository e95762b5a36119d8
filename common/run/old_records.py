"""Fields that older records do not have, read off what said the same.

Records are made with these fields and sentences are made from them; this is the only place where a
sentence is read back, or a pipeline known by its name. It knows both as they were when the fields
did not exist.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.types import NotRun

# Where one of these is in a stored outcome, it was written with all of them.
ADDED = frozenset({"controls_failed", "not_run", "promised"})
PLAIN, FINETUNE = "plaintext", "finetune"
CONTROL, NOT_CLAIMED = "control ", "not claimed: "
NO_PICTURES = "its messages are no pictures that this attack could read"
NOT_RUN = (
    (NotRun.BUDGET, "budget too small: "),
    (NotRun.ERROR, "failed: "),
    (NotRun.AUDIT_TIME, " of the whole audit were used up"),
    (NotRun.TIME_LIMIT, "over its limit of "),
)


def with_outcome_facts(values: Any) -> Any:
    """Return the values of a stored outcome with the fields that it lacks; others as they are."""
    if not isinstance(values, dict) or not ADDED.isdisjoint(values):
        return values
    claim, reason = str(values.get("claim", "")), str(values.get("reason", ""))
    found = dict(values)
    found["controls_failed"] = _controls_failed(values.get("unreliable", []))
    found["promised"] = not claim.startswith(NOT_CLAIMED)
    found["claim"] = claim.removeprefix(NOT_CLAIMED)
    if values.get("verdict") == "not run":
        found["not_run"] = _why_not_run(reason)
    if values.get("verdict") == "not applicable" and reason == NO_PICTURES:
        found["verdict"] = "unreadable"
    return found


def with_reference_rank(values: Any) -> Any:
    """Return the values of a stored plan's pipeline with its rank as a reference.

    Where the rank was not stored, the plain pipeline alone was ever a reference.
    """
    if not isinstance(values, dict) or "reference_rank" in values:
        return values
    if values.get("name") != PLAIN:
        return values
    return values | {"reference_rank": 0 if values["resolved"].get("model") == FINETUNE else 1}


def _controls_failed(unreliable: Any) -> list[str]:
    """Name the controls in sentences of the form ``control NAME: what it did``."""
    told = [str(reason) for reason in unreliable if str(reason).startswith(CONTROL)]
    return [sentence.removeprefix(CONTROL).partition(":")[0] for sentence in told]


def _why_not_run(reason: str) -> NotRun:
    return next((kind for kind, words in NOT_RUN if words in reason), NotRun.REFUSED)

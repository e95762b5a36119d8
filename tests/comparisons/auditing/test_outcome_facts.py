"""Facts of an outcome are fields; sentences are read only in records written before the fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from he_compare.common.run.records import AttackOutcome
from he_compare.common.types import Knowledge, NotRun

FIELDS = ("controls_failed", "not_run", "promised")


def outcome(**values: Any) -> AttackOutcome:
    return AttackOutcome(
        identity="i",
        attack="probe",
        target="np",
        rung=Knowledge.ACTIVE,
        knowledge=[Knowledge.ACTIVE],
        **{"verdict": "not run"} | values,
    )


def as_written_before(**values: Any) -> AttackOutcome:
    """Read an outcome as it was stored when it had none of the fields."""
    stored = json.loads(outcome(**values).model_dump_json())
    return AttackOutcome.model_validate_json(
        json.dumps({name: value for name, value in stored.items() if name not in FIELDS})
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("budget too small: it needs 60 s a key, the quick budget has 20", NotRun.BUDGET),
        ("the 300 s of the whole audit were used up (see `compare audit run`)", NotRun.AUDIT_TIME),
        ("Jigsaw: over its limit of 20 s", NotRun.TIME_LIMIT),
        ("failed: ValueError: budget", NotRun.ERROR),
        ("6 test images are too few: 12 are needed", NotRun.REFUSED),
    ],
)
def test_why_an_older_outcome_did_not_run_is_read_off_its_reason(reason: str, kind: NotRun) -> None:
    found = as_written_before(reason=reason)
    assert (found.verdict, found.not_run, found.reason) == ("not run", kind, reason)


def test_the_controls_that_failed_in_an_older_outcome_are_named() -> None:
    sentences = [
        "control identity: the attack gets only 0.50 of what there is on unprotected images",
        "control aes_ctr: the attack wins where nothing can be won",
        "too small a budget to conclude",
    ]
    found = as_written_before(verdict="unreliable", unreliable=sentences)
    assert found.controls_failed == ["identity", "aes_ctr"] and found.unreliable == sentences


def test_what_an_older_target_never_promised_is_a_field_and_no_longer_part_of_the_claim() -> None:
    found = as_written_before(verdict="broken", claim="not claimed: integrity")
    assert (found.promised, found.claim) == (False, "integrity")
    assert as_written_before(verdict="broken", claim="integrity").promised


def test_messages_that_no_attack_could_read_were_called_not_applicable() -> None:
    reason = "its messages are no pictures that this attack could read"
    assert as_written_before(verdict="not applicable", reason=reason).verdict == "unreadable"
    other = as_written_before(verdict="not applicable", reason="no blocks")
    assert other.verdict == "not applicable"


def test_no_sentence_is_read_in_a_record_that_has_the_fields() -> None:
    made = outcome(
        verdict="unreliable",
        claim="not claimed: x",
        reason="failed: x",
        unreliable=["control noise: x"],
    )
    read = AttackOutcome.model_validate_json(made.model_dump_json())
    assert read == made
    assert (read.controls_failed, read.not_run, read.promised) == ([], None, True)

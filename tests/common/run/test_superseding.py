"""Which outcomes stand after a folder was audited again."""

from __future__ import annotations

from typing import Any

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.superseding import standing_outcomes
from he_compare.common.types import Knowledge


def outcome(identity: str, verdict: str = "not run", **changes: Any) -> AttackOutcome:
    facts: dict[str, Any] = {
        "identity": identity,
        "attack": "probe",
        "target": "np",
        "rung": Knowledge.CIPHERTEXT_ONLY,
        "knowledge": [],
        "verdict": verdict,
    }
    return AttackOutcome.model_validate(facts | changes)


def standing(*written: AttackOutcome) -> list[str]:
    return [one.identity for one in standing_outcomes(written)]


def test_what_was_not_run_gives_way_to_what_ran_after_the_source_changed() -> None:
    assert standing(outcome("old"), outcome("new", "broken")) == ["new"]
    assert standing(outcome("old"), outcome("new")) == ["new"]


def test_another_attack_target_or_kind_of_target_takes_nothing_away() -> None:
    others = [
        outcome("a", "broken", attack="jigsaw"),
        outcome("b", "broken", target="vit_block"),
        outcome("c", "broken", target_kind="control"),
    ]
    assert standing(outcome("old"), *others) == ["old", "a", "b", "c"]


def test_a_result_stands_beside_a_later_result_and_a_later_failure() -> None:
    assert standing(outcome("one", "broken"), outcome("two", "partial"), outcome("three")) == [
        "one",
        "two",
        "three",
    ]


def test_a_control_beside_an_earlier_target_takes_over_and_one_by_itself_stays() -> None:
    facts = {"target": "noise", "target_kind": "control"}
    written = [
        outcome("itself", "resists within budget", **facts, place=7),
        outcome("later", "resists within budget", **facts, beside="np", place=4),
        outcome("earlier", "resists within budget", **facts, beside="vit_block", place=1),
    ]
    assert standing(*written) == ["earlier", "itself"]


def test_outcomes_come_in_the_order_of_the_audit_and_older_ones_first() -> None:
    places = {"a": 3, "b": 0, "c": 1, "d": 2, "e": 0}
    written = [outcome(name, "broken", attack=name, place=place) for name, place in places.items()]
    assert standing(*written) == ["b", "e", "c", "d", "a"]

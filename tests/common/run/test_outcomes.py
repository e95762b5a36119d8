"""What a target is judged by: what was won against its claims, not beyond them."""

from __future__ import annotations

from he_compare.common.run.capability_matrix import matrix_of
from he_compare.common.run.records import AttackOutcome, CountsAs, Verdict
from he_compare.common.run.severity import beyond_claims, gravest, gravity, verdict_of
from he_compare.common.types import Knowledge
from he_compare.comparisons.auditing import matrix
from he_compare.comparisons.auditing.explaining import explain_outcome


def outcome(
    attack: str, verdict: Verdict, claim: str = "", *, promised: bool = True
) -> AttackOutcome:
    return AttackOutcome(
        identity=attack,
        attack=attack,
        title=attack,
        target="fhe-head",
        target_kind="pipeline",
        rung=Knowledge.ACTIVE,
        knowledge=[Knowledge.ACTIVE],
        verdict=verdict,
        claim=claim,
        promised=promised,
    )


BEYOND = outcome("malleability", "broken", "integrity", promised=False)
HELD = outcome("freshness", "resists within budget", "fresh encryption")
LOST = outcome("server_state", "partial", "the server has no key")


def test_what_was_won_beyond_the_claims_weighs_less_than_what_failed_against_them() -> None:
    assert sorted([BEYOND, HELD, LOST], key=gravity) == [LOST, HELD, BEYOND]
    assert beyond_claims(BEYOND)
    assert not beyond_claims(LOST)
    assert not beyond_claims(outcome("x", "resists within budget", "x", promised=False))
    assert verdict_of(BEYOND) == "broken (not promised)"
    assert [verdict_of(one) for one in (HELD, LOST)] == ["resists", "partial"]


def test_the_matrix_marks_it_and_says_what_the_mark_means() -> None:
    text = matrix.render([BEYOND, HELD])
    assert "won*" in text
    assert "does not claim" in text
    (line,) = [line for line in text.splitlines() if line.startswith("strongest attack ")]
    assert line.split()[-1] == "resists"
    assert "does not claim" not in matrix.render([HELD])


def test_what_was_never_promised_is_never_the_strongest_attack() -> None:
    unclear = outcome("freshness", "unreliable", "fresh encryption")
    absent = outcome("jigsaw", "not applicable")
    held_unasked = outcome("head", "resists within budget", "the model", promised=False)
    assert gravest([BEYOND, held_unasked, absent, unclear]) == unclear
    assert gravest([BEYOND]) is None
    lines = matrix.render([BEYOND, unclear, absent]).splitlines()
    (line,) = [line for line in lines if line.startswith("strongest attack ")]
    assert line.split()[-1] == "unreliable"
    assert matrix.render([BEYOND]).splitlines()[3].rstrip() == "strongest attack"


# What a target is not judged by -------------------------------------------------------------------


def counted(attack: str, verdict: Verdict, counts_as: CountsAs) -> AttackOutcome:
    promised = counts_as != "open by design"
    return outcome(attack, verdict, promised=promised).model_copy(update={"counts_as": counts_as})


def test_a_large_key_space_is_no_pass_and_a_small_one_is_a_break() -> None:
    large = counted("key_space", "resists within budget", "necessary")
    unread = outcome("jigsaw", "unreadable")
    assert gravest([large, unread]) == unread
    assert gravest([large]) is None
    small = counted("key_space", "broken", "necessary")
    assert gravest([small, HELD]) == small


def test_a_column_that_nothing_read_is_unknown_in_the_matrix() -> None:
    large = counted("key_space", "resists within budget", "necessary")
    unread, absent = outcome("jigsaw", "unreadable"), outcome("leading_bit", "not applicable")
    text = matrix.render([large, unread, absent])
    (line,) = [line for line in text.splitlines() if line.startswith("strongest attack ")]
    assert line.split()[-1] == "unreadable"


def test_a_control_is_drawn_as_noise_and_never_the_strongest_attack() -> None:
    control = counted("reidentification", "resists within budget", "control")
    assert verdict_of(control) == "as noise"
    assert gravest([control]) is None and gravest([control, HELD]) == HELD
    assert "as noise" in matrix.render([control])
    assert "resists" not in matrix.mark(control).split()


def test_what_the_server_is_meant_to_know_is_no_break() -> None:
    known = counted("property_inference", "broken", "open by design")
    assert verdict_of(known) == "broken (open by design)"
    assert matrix.mark(known) == "won*"
    assert gravest([known, HELD]) == HELD
    assert "open by design; won" in explain_outcome(known).splitlines()[0]


def test_what_is_only_necessary_is_never_printed_as_a_pass() -> None:
    large = counted("key_space", "resists within budget", "necessary")
    text = matrix.render([large])
    assert "resists" not in text.splitlines()[2] and "necessary" in text.splitlines()[2]
    assert "`necessary`: it must hold" in text and verdict_of(large) == "necessary"
    small = counted("key_space", "broken", "necessary")
    assert matrix.mark(small) == "BROKEN" and "`necessary`" not in matrix.render([small])


def test_a_row_stands_at_the_most_that_its_attack_takes_on_any_target() -> None:
    alone = outcome("jigsaw", "broken").model_copy(update={"rung": Knowledge.CIPHERTEXT_ONLY})
    together = alone.model_copy(update={"target": "np", "rung": Knowledge.MANY_CIPHERTEXTS})
    for both in ([alone, together], [together, alone]):
        assert [row.rung for row in matrix_of(both).rows] == [Knowledge.MANY_CIPHERTEXTS]
    assert [row.rung for row in matrix_of([alone]).rows] == [Knowledge.CIPHERTEXT_ONLY]

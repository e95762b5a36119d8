"""The encryption's part: what secrecy rests on, estimated by whom, what is not promised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.lattice_words import distance_to_limit, kind_of_key, problem_of
from he_compare.common.run.records import AttackOutcome, LatticeFacts, MetricValue, SecurityClaims
from he_compare.common.run.security_tables import GUIDELINES_2024, STANDARD_2018, largest_log2_q
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Knowledge
from he_compare.reports.document.nodes import Block, Paragraph, Row, Table, plain
from he_compare.reports.sections import encryption, security_claims
from tests.support.samplerun import SampleRun, three_pipelines


def lattice(**changes: Any) -> LatticeFacts:
    """Facts of inference under the smallest ring that is in use."""
    facts: dict[str, Any] = {
        "scheme": "CKKS",
        "task": "inference",
        "name": "n4096-106",
        "dimension": 4096,
        "log2_q": 106,
        "log2_sigma": 1.6962,
        "secret_distribution": "uniform ternary",
        "attack": "primal uSVP",
        "estimated_by": "he-compare",
        "bits": {
            "MATZOV (classical)": 129.4,
            "core-SVP (ADPS16, classical)": 99.6,
            "Chailloux-Loyer (quantum)": 87.6,
        },
    }
    return LatticeFacts(**facts | changes)


BINARY = lattice(
    scheme="LWE",
    use="inputs",
    dimension=1486,
    log2_q=64,
    log2_sigma=28.49,
    secret_distribution="uniform binary",
)


def with_lattice(*facts: LatticeFacts, outcomes: tuple[AttackOutcome, ...] = ()) -> SampleRun:
    """The sample run whose fhe-head rests on these."""
    run = three_pipelines()
    records = []
    for one in run.records:
        if one.claims and one.claims.lattice:
            claims = one.claims.model_copy(update={"lattice": list(facts)})
            one = one.model_copy(update={"claims": claims})
        records.append(one)
    return replace(run, records=tuple(records), outcomes=outcomes)


def view_of(path: Path, run: SampleRun) -> RunView:
    return read_run(RunFolder(run.write(path)))


def outcome(attack: str, verdict: Any, **changes: Any) -> AttackOutcome:
    return AttackOutcome(
        identity=f"{attack:0<16}"[:16],
        attack=attack,
        title=attack,
        target="fhe-head",
        target_kind="pipeline",
        rung=Knowledge.ACTIVE,
        knowledge=[Knowledge.ACTIVE],
        verdict=verdict,
        promised=False,
        **changes,
    )


MOVED = outcome(
    "malleability",
    "broken",
    metric=MetricValue(name="forced", value=1.0, interval=None, n=8),
    spent={"replies": 8},
)
DECODED = outcome(
    "ind_cpa_d",
    "broken",
    details=[
        MetricValue(name="from one complex decode of a reply", value=1.0, interval=None, n=1),
        MetricValue(name="from the scores of two replies", value=0.0, interval=None, n=1),
        MetricValue(name="fewest decimals that reveal the key", value=8.0, interval=None, n=1),
        MetricValue(
            name="with noise as large as the ciphertext's own, one decode each",
            value=0.0,
            interval=None,
            n=1,
        ),
        MetricValue(
            name="the same noise, 4096 decodes of the same two replies averaged",
            value=1.0,
            interval=None,
            n=1,
        ),
    ],
)


def tables_of(blocks: list[Block]) -> list[list[list[str]]]:
    return [
        [[plain(cell) for cell in row.cells] for row in one.rows if isinstance(row, Row)]
        for one in blocks
        if isinstance(one, Table)
    ]


def said(blocks: list[Block]) -> str:
    words = [plain(one.content) for one in blocks if isinstance(one, Paragraph)]
    return " ".join(words + [plain(one.note) for one in blocks if isinstance(one, Table)])


def test_a_run_without_a_lattice_has_no_such_part(tmp_path: Path) -> None:
    assert encryption.SECTION.sections(view_of(tmp_path / "run", with_lattice())) == []


def test_estimates_come_the_lowest_first_with_the_distance_to_the_limit(tmp_path: Path) -> None:
    training = lattice(task="training", dimension=8192, log2_q=214, bits={"MATZOV": 128.5})
    view = view_of(tmp_path / "run", with_lattice(training, lattice()))
    keys = tables_of(encryption.SECTION.blocks(view))[0]
    assert [row[0] for row in keys] == [
        "fhe-head\nCKKS, inference: ciphertexts and evaluation keys",
        "fhe-head\nCKKS, training: ciphertexts and evaluation keys",
    ]
    assert keys[0][3] == (
        "87.6 Chailloux-Loyer (quantum)\n99.6 core-SVP (ADPS16, classical)\n"
        "129.4 MATZOV (classical)"
    )
    limits = ["limit 106 bits: exactly at the limit", "limit 214 bits: exactly at the limit"]
    assert [row[2] for row in keys] == limits


def test_it_is_said_who_estimated_which_attack_and_what_is_missing(tmp_path: Path) -> None:
    words = said(encryption.SECTION.blocks(view_of(tmp_path / "run", with_lattice(lattice()))))
    assert "this project’s own code, not by a third party" in words
    assert "Dual and hybrid attacks are not estimated" in words
    assert "129.4, is then about 128.4" in words
    unknown = with_lattice(lattice(estimated_by=""))
    words = said(encryption.SECTION.blocks(view_of(tmp_path / "older", unknown)))
    assert "Estimated by a program that was not recorded." in words


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (lattice(log2_q=100), "limit 106 bits: 6 bits below"),
        (lattice(log2_q=107), "limit 106 bits: 1 bit above: not 128 bits"),
        (lattice(dimension=512), "ring not in the table"),
        (BINARY, "no table: binary secret, only this estimate"),
    ],
)
def test_the_distance_to_the_table_is_told(facts: LatticeFacts, words: str) -> None:
    assert distance_to_limit(facts) == words


def test_a_problem_is_named_in_words() -> None:
    assert problem_of(lattice()) == (
        "RLWE in a ring of degree 4,096, modulus of 106 bits, ternary secret, errors of width 3.2"
    )
    assert kind_of_key(BINARY) == "LWE, inference: encrypted inputs"
    assert problem_of(BINARY).startswith("LWE in dimension 1,486, modulus of 64 bits, binary")
    assert problem_of(BINARY).endswith("errors of width 2^28.5")
    assert "∞" in problem_of(lattice(log2_sigma=1e9)) or "2^" in problem_of(lattice(log2_sigma=1e9))


def test_tables_answer_only_for_secrets_that_they_cover() -> None:
    assert largest_log2_q(GUIDELINES_2024, 4096, "uniform ternary") == 106
    assert largest_log2_q(STANDARD_2018, 4096, "uniform ternary") == 109
    assert largest_log2_q(GUIDELINES_2024, 4096, "uniform binary") is None
    assert largest_log2_q("another table", 4096, "uniform ternary") is None


def test_without_an_audit_nothing_is_called_tried(tmp_path: Path) -> None:
    blocks = encryption.SECTION.blocks(view_of(tmp_path / "run", with_lattice(lattice())))
    assert len(tables_of(blocks)) == 1
    assert "This run was not audited, so none of it was tried." in said(blocks)
    assert "add --audit to the command that made this run" in said(blocks)


def test_what_is_not_promised_is_told_with_what_was_measured(tmp_path: Path) -> None:
    unread = outcome("head_extraction", "not run", reason="over its limit")
    run = with_lattice(lattice(), outcomes=(MOVED, DECODED, unread))
    _, gaps = tables_of(encryption.SECTION.blocks(view_of(tmp_path / "run", run)))
    integrity, decoded, head = (row[1] for row in gaps)
    assert integrity.startswith("fhe-head: 8 of 8 replies were given another class")
    assert "all decoded slots of one reply gave all of the secret key" in decoded
    assert "the class scores alone gave nothing" in decoded
    assert "rounded to 8 decimals still gave the whole key" in decoded
    assert "one decode gave nothing, the average of many decodes of the same replies all" in decoded
    assert head.startswith("fhe-head: not run: over its limit.")
    assert "Here the head belongs to the hospital" in head


def test_an_outcome_without_those_facts_speaks_for_itself(tmp_path: Path) -> None:
    bare = outcome("ind_cpa_d", "broken", headline="the key came out")
    run = with_lattice(lattice(), outcomes=(bare,))
    _, gaps = tables_of(encryption.SECTION.blocks(view_of(tmp_path / "run", run)))
    assert gaps[0][1] == "fhe-head: the key came out."


# Stated or executed -----------------------------------------------------------------------------


def standings(view: RunView) -> dict[str, tuple[str, str]]:
    (rows,) = tables_of(security_claims.SECTION.blocks(view))
    return {row[0]: (row[2], row[3]) for row in rows if "fhe-head" in row[1]}


def test_a_claim_that_nothing_was_run_against_is_stated_and_never_a_pass(tmp_path: Path) -> None:
    found = standings(view_of(tmp_path / "run", with_lattice(lattice())))
    assert len(found) == 5
    assert {standing for standing, _ in found.values()} == {"stated"}


def test_a_claim_is_held_or_failed_where_its_check_ran(tmp_path: Path) -> None:
    fresh = outcome("freshness", "resists within budget", headline="0.4% of bytes agree")
    leak = outcome("decryptions", "broken", headline="a score was sent back")
    skipped = outcome("server_state", "not run", reason="no access")
    run = with_lattice(lattice(), outcomes=(fresh, leak, skipped))
    found = standings(view_of(tmp_path / "run", run))
    standing, told = found["Equal images give different ciphertexts"]
    assert standing == "held" and "0.4% of bytes agree" in told
    assert found["Decrypted results stay with the client"][0] == "failed"
    assert found["The server has no secret key"][0] == "stated"
    assert found["Weak parameters are refused"][0] == "stated"


def test_nothing_is_stated_for_what_claims_nothing(tmp_path: Path) -> None:
    plain_only = SecurityClaims(scheme="none", protects="Nothing.", claim_type="none")
    run = three_pipelines()
    records = tuple(one.model_copy(update={"claims": plain_only}) for one in run.records)
    view = view_of(tmp_path / "run", replace(run, records=records))
    assert security_claims.SECTION.sections(view) == []

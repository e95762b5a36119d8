"""Findings and the words on attacks: each rule on records that hold, fail and cannot tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.records import AttackOutcome, Interval, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Knowledge
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import FindingCard, Paragraph, plain
from he_compare.reports.sections import findings
from he_compare.reports.sections.findings import (
    calibration,
    encrypted_training,
    enforced_parameters,
    executed_agreement,
    kept_and_lost,
    logits_outside,
    price_in_accuracy,
    price_of_encrypted_training,
    repetitions,
    separate_processes,
)
from tests.support.samplerun import PLAIN, TRAINED, SampleRun, build, three_pipelines
from tests.support.samplerun.first_pages import only_encryption, two_classes


def _view(run: SampleRun, path: Path, outcomes: tuple[AttackOutcome, ...] = ()) -> RunView:
    folder = RunFolder(run.write(path))
    for outcome in outcomes:
        folder.append(outcome)
    return read_run(folder)


def _changed(run: SampleRun, label: str, **update: Any) -> SampleRun:
    def change(record: RunRecord) -> RunRecord:
        return record.model_copy(update=update) if record.cell.label == label else record

    return replace(run, records=tuple(change(record) for record in run.records))


def _claims(run: SampleRun, label: str, **update: Any) -> SampleRun:
    first = next(one for one in run.records if one.cell.label == label and one.claims)
    assert first.claims is not None
    return _changed(run, label, claims=first.claims.model_copy(update=update))


def _severities(found: list[FindingCard]) -> list[str]:
    return [one.severity for one in found]


def outcome(verdict: str, **update: Any) -> AttackOutcome:
    return AttackOutcome(
        identity=f"{verdict[:4]}0000aaaa",
        attack="known_plaintext",
        title="Known plaintext",
        target="al_amin",
        scheme="al_amin",
        rung=Knowledge.KNOWN_PAIRS,
        knowledge=[Knowledge.KNOWN_PAIRS],
        headline="3 pairs recover 1.000 of all pixels.",
        verdict=verdict,
    ).model_copy(update=update)


def test_every_finding_has_evidence_limits_and_a_command(tmp_path: Path) -> None:
    found = found_by(findings.RULES, _view(three_pipelines(), tmp_path))
    assert len(found) >= 6
    for one in found:
        assert plain(one.evidence)
        assert one.limits
        assert one.reproduce.startswith("compare ")


@pytest.mark.parametrize(
    ("state", "severity"), [(True, "pass"), (False, "fail"), (None, "unknown")]
)
def test_a_server_of_its_own_passes(state: bool | None, severity: str, tmp_path: Path) -> None:
    run = three_pipelines()
    for label in ("plaintext", "block-scramble[al_amin]", "fhe-head"):
        run = _changed(run, label, server_pid_separate=state)
    assert _severities(list(separate_processes(_view(run, tmp_path)))) == [severity]


def test_one_disagreeing_prediction_fails(tmp_path: Path) -> None:
    run = three_pipelines()
    assert _severities(list(executed_agreement(_view(run, tmp_path / "a")))) == ["pass"]
    good = next(one.agreement for one in run.records if one.agreement)
    other = {"agree": good.compared - 1, "max_abs_score_difference": 0.1 * good.max_abs_score}
    bad = _changed(run, "fhe-head", agreement=good.model_copy(update=other))
    (found,) = executed_agreement(_view(bad, tmp_path / "b"))
    assert found.severity == "fail"
    assert "199 of 200" in plain(found.claim)


def test_that_somebody_enforces_parameters_is_only_stated(tmp_path: Path) -> None:
    run = three_pipelines()
    assert _severities(list(enforced_parameters(_view(run, tmp_path / "a")))) == ["stated"]
    nobody = _claims(run, "fhe-head", enforced_by="")
    assert _severities(list(enforced_parameters(_view(nobody, tmp_path / "b")))) == ["unknown"]
    weak = _claims(run, "fhe-head", insecure=["N=1024 holds 29 bits"])
    assert _severities(list(enforced_parameters(_view(weak, tmp_path / "c")))) == ["fail"]


def test_deterministic_ciphertexts_are_a_warning(tmp_path: Path) -> None:
    found = list(repetitions(_view(three_pipelines(), tmp_path / "a")))
    assert [(one.severity, plain(one.claim).partition(": ")[2]) for one in found] == [
        ("warn", "block-scramble[al_amin]."),
        ("stated", "fhe-head."),
    ]
    checked = outcome(
        "resists within budget", attack="freshness", target_kind="pipeline", target="fhe-head"
    )
    found = list(repetitions(_view(three_pipelines(), tmp_path / "b", (checked,))))
    assert _severities(found) == ["warn", "pass"]


@pytest.mark.parametrize(
    ("low", "high", "severity"),
    [(-0.04, 0.02, "pass"), (-0.2, -0.1, "warn"), (-0.2, 0.1, "unknown"), (-0.04, -0.01, "warn")],
)
def test_a_loss_is_judged_by_its_interval(
    low: float, high: float, severity: str, tmp_path: Path
) -> None:
    run = only_encryption()
    assert run.sheet is not None
    changed = [
        one.model_copy(update={"interval": Interval(low=low, high=high, method="test")})
        for one in run.sheet.differences
        if one.pipeline == "fhe-head"
    ]
    sheet = run.sheet.model_copy(update={"differences": changed})
    found = list(price_in_accuracy(_view(replace(run, sheet=sheet), tmp_path)))
    assert _severities(found) == [severity]
    assert "minus its twin plaintext[logistic]" in plain(found[0].claim)


def test_without_a_twin_no_price_is_judged(tmp_path: Path) -> None:
    found = list(price_in_accuracy(_view(three_pipelines(), tmp_path)))
    assert [plain(one.claim).partition(" minus")[0] for one in found] == ["block-scramble[al_amin]"]


def test_what_attacks_took_is_one_finding_for_each_cipher_and_question(tmp_path: Path) -> None:
    found = list(kept_and_lost(_view(two_classes(), tmp_path)))
    told = [(one.severity, plain(one.claim).replace("block-scramble", "b")) for one in found]
    assert told[:2] == [
        ("fail", "Secrecy from the server: broken: images recovered (b[vit_block]; b[al_amin])."),
        (
            "pass",
            "Secrecy from the server: not broken by what was run; rests on RLWE (fhe-head; "
            "fhe-tfhe[components=63]).",
        ),
    ]
    changed = "Integrity: not protected: 8 of 8 replies changed unnoticed"
    assert ("warn", f"{changed} (fhe-head; fhe-tfhe[components=63]).") in told
    assert not any("identity" in words or "plaintext" in words for _, words in told)


def test_nothing_that_is_only_claimed_passes(tmp_path: Path) -> None:
    cards = found_by(findings.SECURITY, _view(three_pipelines(), tmp_path))
    assert [plain(one.claim) for one in cards if one.severity == "pass"] == [
        "The server half ran in a separate process, started with public material: 3 of 3 "
        "pipelines (plaintext; block-scramble[al_amin]; fhe-head)."
    ]


def test_badly_calibrated_probabilities_are_a_warning(tmp_path: Path) -> None:
    run = three_pipelines()
    assert run.sheet is not None
    assert list(calibration(_view(run, tmp_path / "a"))) == []
    cells = [
        cell.model_copy(
            update={
                "metrics": [
                    one.model_copy(update={"value": 0.31}) if one.name == "ece" else one
                    for one in cell.metrics
                ]
            }
        )
        for cell in run.sheet.cells
    ]
    sheet = run.sheet.model_copy(update={"cells": cells})
    found = list(calibration(_view(replace(run, sheet=sheet), tmp_path / "b")))
    assert _severities(found) == ["warn"] * 3
    assert "0.310" in plain(found[0].claim)


@pytest.mark.parametrize(("difference", "severity"), [(7e-5, "pass"), (0.3, "warn")])
def test_encrypted_training_is_held_against_its_twin(
    difference: float, severity: str, tmp_path: Path
) -> None:
    run = build((PLAIN, TRAINED), classes=("a", "b"), n=40, untrained=False, rounds=1)
    facts = next(one.training for one in run.records if one.cell.label == "fhe-train")
    last = {**facts["history"][-1], "relative_difference_to_twin": difference}
    facts = {**facts, "history": [*facts["history"][:-1], last]}
    run = _changed(run, "fhe-train", training=facts)
    assert _severities(list(encrypted_training(_view(run, tmp_path)))) == [severity]


def test_a_training_says_whether_the_client_was_in_the_loop(tmp_path: Path) -> None:
    refreshed = replace(TRAINED, label="fhe-train[C=0.1]", training="refreshed")
    run = build((PLAIN, TRAINED, refreshed), classes=("a", "b"), n=40, untrained=False, rounds=1)
    first, second = (plain(one.claim) for one in encrypted_training(_view(run, tmp_path)))
    assert "(one upload)" in first and "(2 refreshes by the client)" in second


@pytest.mark.parametrize(("outside", "found"), [(0, []), (7, ["warn"])])
def test_logits_that_left_the_interval_are_warned_of(
    outside: int, found: list[str], tmp_path: Path
) -> None:
    run = build((PLAIN, TRAINED), classes=("a", "b"), n=40, untrained=False, rounds=1)
    facts = next(one.training for one in run.records if one.cell.label == "fhe-train")
    met = {"logits_outside_interval": outside, "largest_logit": 11.5}
    facts = {**facts, "history": [{**facts["history"][0], **met}]}
    cards = list(logits_outside(_view(_changed(run, "fhe-train", training=facts), tmp_path)))
    assert _severities(cards) == found
    for card in cards:
        assert "7 logits" in plain(card.claim) and "the largest 11.5" in plain(card.claim)


@pytest.mark.parametrize(
    ("ends", "severity", "words"),
    [
        ((-0.02, -0.001), "warn", "a loss is shown for preparation"),
        ((-0.02, 0.001), "pass", "no single step"),
        ((-0.09, 0.001), "unknown", "0.05 is not excluded for preparation"),
        (None, "unknown", "0.05 is not excluded for preparation"),
    ],
)
def test_the_price_of_encrypted_training_is_told_step_by_step(
    ends: tuple[float, float] | None, severity: str, words: str, tmp_path: Path
) -> None:
    run = build((PLAIN, TRAINED), classes=("a", "b"), n=40, untrained=False, rounds=1)
    assert run.sheet is not None
    interval = Interval(low=ends[0], high=ends[1], method="invented") if ends else None
    within = Interval(low=-0.001, high=0.001, method="invented")
    cells = []
    for cell in run.sheet.cells:
        rungs = [
            rung.model_copy(
                update={
                    "differences": [
                        one.model_copy(
                            update={"interval": interval if rung.cost == "preparation" else within}
                        )
                        for one in rung.differences
                    ]
                }
            )
            for rung in cell.rungs
        ]
        cells.append(cell.model_copy(update={"rungs": rungs}))
    sheet = run.sheet.model_copy(update={"cells": cells})
    (found,) = price_of_encrypted_training(_view(replace(run, sheet=sheet), tmp_path))
    assert found.severity == severity and words in plain(found.claim)


def test_findings_are_one_list_security_first_then_the_gravest(tmp_path: Path) -> None:
    run = _changed(three_pipelines(), "plaintext", server_pid_separate=False)
    view = _view(run, tmp_path)
    (section,) = findings.SECTION.sections(view)
    head, *cards = section.blocks
    severities = [card.severity for card in cards if isinstance(card, FindingCard)]
    order = ["fail", "warn", "unknown", "stated", "pass"]
    security = len(found_by(findings.SECURITY, view))
    for part in (severities[:security], severities[security:]):
        assert part and part == sorted(part, key=order.index)
    assert severities[0] == "fail"
    assert isinstance(head, Paragraph)
    assert plain(head.content).startswith(f"{len(cards)} findings: {severities.count('fail')} fail")

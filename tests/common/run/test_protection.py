"""What a protection keeps: three questions, three answers, and set-ups of one cipher as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.adversaries import gains_from
from he_compare.common.run.one_cipher import cipher_groups, group_of
from he_compare.common.run.protection import (
    integrity_of,
    leaked_decryptions_of,
    mark_of,
    secrecy_of,
)
from he_compare.common.run.records import AttackOutcome, MetricValue
from he_compare.common.run.result_words import result_of, short_result
from he_compare.common.run.security_map import map_columns, security_map
from he_compare.common.run.spelling import percentage
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Aim, Knowledge
from tests.support.samplerun.audited import audited
from tests.support.samplerun.kinds import FHE, LOCAL, PLAIN, SCRAMBLE
from tests.support.samplerun.runs import build

LABEL = {"scramble": SCRAMBLE.label, "fhe": FHE.label}


def outcome(target: str, verdict: str, aim: Aim | None, **changes: Any) -> AttackOutcome:
    values: dict[str, Any] = {
        "identity": f"{target}{verdict}{aim}{changes.get('attack', '')}",
        "attack": f"attack of {aim}",
        "title": "An attack",
        "target": target,
        "target_kind": "pipeline",
        "rung": Knowledge.KNOWN_PAIRS,
        "knowledge": [Knowledge.KNOWN_PAIRS],
        "aim": aim,
        "verdict": verdict,
    }
    return AttackOutcome.model_validate(values | changes)


def view_of(path: Path, *outcomes: AttackOutcome) -> RunView:
    run = build((PLAIN, SCRAMBLE, FHE, LOCAL), classes=("a", "b"), n=40, untrained=False, rounds=1)
    return read_run(RunFolder(replace(run, outcomes=outcomes).write(path)))


def asked(view: RunView, label: str) -> list[tuple[str, str]]:
    pipeline = view.by_label[label]
    answers = (ask(view, pipeline) for ask in (secrecy_of, integrity_of, leaked_decryptions_of))
    return [(one.mark, one.words) for one in answers]


def test_secrecy_integrity_and_leaked_decryptions_are_three_answers(tmp_path: Path) -> None:
    forged = MetricValue(name="forced", value=0.875, interval=None, n=1)
    view = view_of(
        tmp_path,
        outcome(FHE.label, "resists within budget", Aim.KEY),
        outcome(
            FHE.label,
            "resists within budget",
            Aim.INTEGRITY,
            attack="malleability",
            promised=False,
            metric=forged,
            spent={"replies": 8},
        ),
        outcome(
            FHE.label,
            "broken",
            Aim.DECRYPTIONS,
            attack="ind_cpa_d",
            promised=False,
            details=[
                {
                    "name": "from one complex decode of a reply",
                    "value": 1.0,
                    "interval": None,
                    "n": 1,
                }
            ],
        ),
    )
    assert asked(view, FHE.label) == [
        ("held", "not broken by what was run; rests on RLWE"),
        ("not protected", "not protected: 7 of 8 replies changed unnoticed"),
        ("not promised", "one reply decoded in full gives the key"),
    ]


def test_what_was_not_run_is_not_held_and_no_server_is_neither(tmp_path: Path) -> None:
    view = view_of(tmp_path, outcome(FHE.label, "not run", Aim.IMAGE))
    assert [mark for mark, _ in asked(view, FHE.label)] == ["not tested"] * 3
    assert [mark for mark, _ in asked(view, LOCAL.label)] == ["no server"] * 3
    assert asked(view, PLAIN.label)[0][0] == "open by design"


def test_an_attack_whose_author_named_no_aim_counts_against_secrecy(tmp_path: Path) -> None:
    view = view_of(tmp_path, outcome(FHE.label, "broken", None))
    assert asked(view, FHE.label)[0] == ("broken", "broken: images recovered")


@pytest.mark.parametrize(
    ("outcomes", "mark"),
    [
        ([("resists within budget", True, "control")], "control"),
        ([("resists within budget", True, "necessary")], "not tested"),
        (
            [("broken", False, "evidence"), ("resists within budget", True, "evidence")],
            "not promised",
        ),
        ([("broken", False, "open by design")], "open by design"),
        ([("partial", True, "evidence"), ("broken", False, "evidence")], "partly"),
        ([("not applicable", True, "evidence")], "does not apply"),
        ([("unreliable", True, "evidence")], "not tested"),
    ],
)
def test_a_mark_is_the_worst_that_was_promised_then_what_was_not(
    outcomes: list[tuple[str, bool, str]], mark: str
) -> None:
    made = [
        outcome("x", verdict, Aim.IMAGE, promised=promised, counts_as=counts_as)
        for verdict, promised, counts_as in outcomes
    ]
    assert mark_of(made)[0] == mark


def test_set_ups_of_one_cipher_are_one_group_and_one_column(tmp_path: Path) -> None:
    view = read_run(RunFolder(audited().write(tmp_path)))
    (group,) = cipher_groups(view)
    assert group.ciphers == ("vit_block", "al_amin")
    assert len(group.pipelines) == 3
    assert group.words.startswith("one cipher in 3 set-ups")
    spread = group.spread("accuracy")
    assert spread is not None and spread[0] < spread[1]
    assert group_of(view, group.pipelines[1]) == group
    assert group_of(view, view.by_label[PLAIN.label]) is None
    assert [column.title for column in map_columns(view)] == [
        "no protection",
        "scrambling",
        "fhe-head",
        "fhe-train",
        "fhe-tfhe",
    ]


def test_what_an_attack_tells_apart_is_not_one_cipher(tmp_path: Path) -> None:
    run = audited()
    labels = [one.label for group in cipher_groups(_read(run, tmp_path / "a"))
              for one in group.pipelines]  # fmt: skip
    other = outcome(labels[2], "resists within budget", Aim.IMAGE, attack="attack_0")
    kept = [one for one in run.outcomes if (one.target, one.attack) != (labels[2], "attack_0")]
    view = _read(replace(run, outcomes=(*kept, other)), tmp_path / "b")
    assert [len(group.pipelines) for group in cipher_groups(view)] == [2, 1]


def _read(run: Any, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def test_rows_that_say_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    view = view_of(
        tmp_path,
        outcome(SCRAMBLE.label, "broken", Aim.IMAGE, attack="won"),
        outcome(SCRAMBLE.label, "not applicable", Aim.KEY, attack="nowhere"),
        outcome(FHE.label, "not applicable", Aim.KEY, attack="nowhere"),
        outcome(FHE.label, "unreadable", Aim.IMAGE, attack="blind"),
        outcome(FHE.label, "not run", Aim.IMAGE, attack="late"),
    )
    found = security_map(view)
    assert [(name, [row.attack for row in rows]) for name, rows in found.groups] == [
        ("the image", ["won"])
    ]
    left = {why: [row.attack for row in rows] for why, rows in found.left_out.items()}
    assert left == {
        "apply to none of these protections": ["nowhere"],
        "cannot read the messages": ["blind"],
        "not run": ["late"],
    }


def test_replies_that_were_changed_are_so_whatever_the_verdict_says(tmp_path: Path) -> None:
    forged = MetricValue(name="forced", value=0.875, interval=None, n=1)
    facts = {"promised": False, "metric": forged, "spent": {"replies": 8}}
    view = view_of(
        tmp_path,
        outcome(FHE.label, "resists within budget", Aim.INTEGRITY, attack="malleability", **facts),
        outcome(FHE.label, "resists within budget", Aim.MODEL, attack="head", promised=False),
        outcome(SCRAMBLE.label, "resists within budget", Aim.KEY, counts_as="necessary"),
    )
    found = security_map(view)
    (encrypted,) = [one for one in found.columns if one.title == "fhe-head"]
    marks = {
        row.attack: found.cell(row, encrypted).mark for _, rows in found.groups for row in rows
    }
    assert marks == {"malleability": "not protected", "head": "held"}
    assert "must hold, which shows nothing" in found.left_out


def test_each_adversary_has_its_best_attack_with_what_it_took(tmp_path: Path) -> None:
    few = {"rung": Knowledge.MANY_CIPHERTEXTS, "spent": {"ciphertexts": 20, "keys": 3}}
    view = view_of(
        tmp_path,
        outcome(SCRAMBLE.label, "partial", Aim.IMAGE, attack="a", advantage=0.5, **few),
        outcome(
            SCRAMBLE.label, "broken", Aim.IMAGE, attack="b", advantage=0.9, seconds=6.0,
            per_key=[1.0, 1.0, 1.0], **few,
        ),
        outcome(SCRAMBLE.label, "broken", Aim.IMAGE, spent={"pairs": 1}),
        outcome(SCRAMBLE.label, "broken", Aim.INTEGRITY, attack="other"),
    )  # fmt: skip
    gains = gains_from(view, [view.by_label[SCRAMBLE.label]])
    told = [(gain.rung, gain.outcome.attack, gain.attacks, gain.needed) for gain in gains]
    assert told == [
        (Knowledge.MANY_CIPHERTEXTS, "b", 2, "20 ciphertexts"),
        (Knowledge.KNOWN_PAIRS, "attack of the image", 1, "1 known pair"),
    ]
    assert gains[0].time == "2.00 s"


def test_a_result_is_told_with_its_control_whatever_an_older_sentence_says() -> None:
    metric = MetricValue(name="SSIM to the original", value=1.0, interval=None, n=3)
    facts = {"metric": metric, "floor": 0.457, "floor_from": "the mean public picture"}
    facts |= {"ceiling": 1.0, "controls": {"noise": 0.0258, "identity": 1.0}}
    ssim = outcome("x", "broken", Aim.IMAGE, headline="SSIM 1 [1, 1] (noise 0.0258)", **facts)
    assert short_result(ssim) == "SSIM 1.00 (0.03 on noise)"
    assert result_of(ssim) == (
        "SSIM to the original 1.00 (0.46 from the mean public picture, 1.00 without protection)"
    )
    share = MetricValue(name="top-1 accuracy", value=1 / 60, interval=None, n=3)
    facts |= {"metric": share, "floor": 0.0025, "floor_from": "chance"}
    named = outcome("x", "broken", Aim.LINKS, headline="top-1 accuracy 1.6% (chance 0.2%)", **facts)
    assert short_result(named) == "top-1 accuracy 1.7% (0.25% by chance)"


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (1 / 60, "1.7%"),
        (0.00388, "0.39%"),
        (0.0147, "1.5%"),
        (0.9989, "99.9%"),
        (0.9999, "above 99.9%"),
        (0.00001, "below 0.01%"),
        (0.0025, "0.25%"),
    ],
)
def test_percentages_are_rounded_and_only_all_of_it_is_100(share: float, shown: str) -> None:
    assert percentage(share) == shown

"""The section on security: matrix, grids, strongest attack, questions and findings from records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.run.outcomes import strongest
from he_compare.common.run.records import AttackOutcome, AttackPicture, Interval, MetricValue
from he_compare.common.run.severity import WORDS
from he_compare.common.run.store import RunFolder, write_atomic
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Knowledge
from he_compare.comparisons.auditing.artefacts import png
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import (
    Callout,
    FindingCard,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    plain,
)
from he_compare.reports.document.photographs import Grid, Slider
from he_compare.reports.parts import parts
from he_compare.reports.sections import deviations, verdict
from tests.support.samplerun.runs import three_pipelines

SCRAMBLE, FHE = "block-scramble[al_amin]", "fhe-head"


def outcome(attack: str, target: str, verdict: str, **changes: Any) -> AttackOutcome:
    values: dict[str, Any] = {
        "identity": f"{attack}-{target}",
        "attack": attack,
        "title": attack.capitalize(),
        "target": target,
        "target_kind": "pipeline" if target in (SCRAMBLE, FHE) else "control",
        "rung": Knowledge.KNOWN_PAIRS,
        "knowledge": [Knowledge.KNOWN_PAIRS],
        "headline": f"{attack} got something of {target}",
        "metric": MetricValue(name="share", value=0.9, interval=None, n=3),
        "per_key": [0.9, 0.9, 0.9],
        "advantage": 0.9,
        "advantage_interval": Interval(low=0.85, high=0.95, method="Student's t over 3 keys"),
        "controls": {"identity": 1.0, "noise": 0.0, "aes_ctr": 0.0},
        "budget": {"name": "quick", "images": 20},
        "spent": {"pairs": 2},
        "limits": ["only known pairs"],
        "reproduce": f"compare audit run --attack {attack}",
        "verdict": verdict,
    }
    return AttackOutcome.model_validate(values | changes)


def view_of(tmp_path: Path, *outcomes: AttackOutcome) -> RunView:
    path = three_pipelines().write(tmp_path / "run")
    folder = RunFolder(path)
    for one in outcomes:
        folder.append(one)
    return read_run(folder)


BROKEN = outcome("pairs", SCRAMBLE, "broken")
EARLIER = outcome("bytes", SCRAMBLE, "broken", rung=Knowledge.CIPHERTEXT_ONLY, advantage=0.85)
RESISTS = outcome("pairs", FHE, "resists within budget", advantage=0.0, advantage_interval=None)
CONTROL = outcome("pairs", "noise", "resists within budget", advantage=0.0)
UNSURE = outcome(
    "bytes",
    FHE,
    "unreliable",
    reason="control aes_ctr: it wins",
    unreliable=["control aes_ctr: x"],
    controls_failed=["aes_ctr"],
)


def test_a_run_without_attacks_says_so_and_is_no_pass(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    (only,) = security_sections(view)
    (callout,) = only.blocks
    assert isinstance(callout, Callout) and "No attack was run" in plain(callout.content)
    assert found_by(deviations.RULES, view)[-1].severity == "unknown"


def test_the_matrix_has_a_column_for_each_target_with_verdict_interval_and_record(
    tmp_path: Path,
) -> None:
    view = view_of(tmp_path, BROKEN, EARLIER, RESISTS, CONTROL)
    tables = [b for b in security_sections(view)[0].blocks if isinstance(b, Table)]
    assert [column.title for column in tables[0].columns] == ["Attack", SCRAMBLE, FHE, "noise"]
    rows = {plain(r.cells[0]): r.cells for r in tables[0].rows if isinstance(r, Row)}
    assert list(rows) == ["Bytes", "Pairs"]
    assert plain(rows["Pairs"][1]) == "broken 0.90 [0.85, 0.95] pairs-bl"
    assert plain(rows["Pairs"][2]) == "resists 0.00 pairs-fh"
    assert plain(rows["Bytes"][3]) == "—"


def test_the_heat_map_says_in_letters_what_its_shades_say(tmp_path: Path) -> None:
    from he_compare.reports.figures.security import LOOKS, HeatCell, heat_map

    assert set(WORDS) == set(LOOKS)
    shades = [int(LOOKS[v][0].lstrip("#")[:2], 16) for v in ("broken", "partial")]
    assert shades == sorted(shades)
    cells = {(0, column): HeatCell(v, 0.5) for column, v in enumerate(WORDS)}
    figure = heat_map([("Attack", False)], list(WORDS), cells)
    drawn = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "broken 0.50" in drawn and "n/a" in drawn and "resists" in drawn


def test_the_strongest_attack_is_the_worst_with_the_least_knowledge(tmp_path: Path) -> None:
    view = view_of(tmp_path, BROKEN, EARLIER, RESISTS)
    by_label = {pipeline.label: pipeline for pipeline in view.pipelines}
    assert strongest(view, by_label[SCRAMBLE]) == ("broken", "Bytes")
    assert strongest(view, by_label[FHE]) == ("resists within budget", "1 attack within budget")
    assert strongest(view, by_label["plaintext"]) == ("not run", "no attack")


def test_a_control_that_misbehaves_is_boxed_and_its_outcome_no_pass(tmp_path: Path) -> None:
    view = view_of(tmp_path, BROKEN, UNSURE)
    first = security_sections(view)[0]
    boxes = [block for block in first.blocks if isinstance(block, Callout)]
    assert [box.title for box in boxes] == ["A control misbehaved"]
    assert any(
        plain(one.claim) == f"Bytes on {FHE}: unreliable"
        for one in found_by(deviations.RULES, view)
    )


def security_sections(view: RunView) -> list[Section]:
    """Return all sections on security, in the report's order."""
    return [one for name, part in parts() if "security" in name for one in part.sections(view)]


def findings_of(sections: list[Section]) -> dict[str, FindingCard]:
    cards = next(s for s in sections if s.title == "Attacks one by one").blocks
    return {card.id: card for card in cards if isinstance(card, FindingCard)}


def test_each_attack_has_a_finding_with_severity_limits_and_command(tmp_path: Path) -> None:
    cards = findings_of(security_sections(view_of(tmp_path, BROKEN, RESISTS, UNSURE, CONTROL)))
    assert {name: card.severity for name, card in cards.items()} == {
        "SEC-pairs": "fail",
        "SEC-bytes": "unknown",
    }
    card = cards["SEC-pairs"]
    assert plain(card.claim) == f"Pairs (known pairs): broken on {SCRAMBLE}"
    assert f"{FHE}: resists" in plain(card.evidence)
    assert plain(card.limits) == "Only known pairs. Spent: 2 pairs."
    assert card.reproduce == "compare audit run --attack pairs"


def test_the_auditors_questions_are_answered_from_the_records(tmp_path: Path) -> None:
    sections = security_sections(view_of(tmp_path, BROKEN, RESISTS, UNSURE))
    (table,) = next(s for s in sections if s.title == "Questions an auditor asks").blocks
    assert isinstance(table, Table)
    answers = {plain(r.cells[0]): plain(r.cells[1]) for r in table.rows if isinstance(r, Row)}
    assert "1 of them unreliable" in answers["Were there controls, and did they hold?"]
    assert answers["Which attacks failed, with which budget?"].startswith(f"Pairs on {FHE}")
    assert "Student's t over 3 keys" in answers["Where do intervals come from?"]
    assert "counsel" in plain(table.note)


@pytest.fixture
def pictured(tmp_path: Path) -> RunView:
    view = view_of(tmp_path)
    folder = RunFolder(tmp_path / "run")
    for target in (SCRAMBLE, "identity", "noise"):
        pictures = []
        for number, role in enumerate(("original", "server's view", "after attack")):
            name = f"attacks/{target}/{number}.png"
            write_atomic(folder.path / name, png(np.full((8, 8, 3), 80 * number, np.uint8)))
            picture = {"file": name, "role": role, "image": "a", "caption": "SSIM 0.97 (x)"}
            pictures.append(AttackPicture.model_validate(picture))
        folder.append(outcome("pairs", target, "broken", pictures=pictures))
    assert not view.outcomes
    return read_run(folder)


def test_grids_show_pipelines_and_controls_and_say_what_a_low_ssim_is_not(
    pictured: RunView,
) -> None:
    part = next(s for s in security_sections(pictured) if s.anchor == "security-pictures")
    (figure,) = [block for block in part.blocks if isinstance(block, Grid)]
    assert f"{SCRAMBLE}, identity, noise" in figure.alt
    assert "perceptual hiding, not confidentiality" in figure.caption


@pytest.mark.parametrize("spoilt", ["missing", "no picture"])
def test_pictures_that_cannot_be_shown_are_named(pictured: RunView, spoilt: str) -> None:
    name = f"attacks/{SCRAMBLE}/2.png"
    if spoilt == "missing":
        (pictured.path / name).unlink()
    else:
        (pictured.path / name).write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    part = next(s for s in security_sections(pictured) if s.anchor == "security-pictures")
    assert not any(isinstance(block, Grid) for block in part.blocks)
    last = part.blocks[-1]
    assert isinstance(last, Paragraph)
    assert name in plain(last.content)
    assert not any(isinstance(one, Slider) for one in verdict.SECTION.sections(pictured)[0].blocks)


def test_one_cause_that_stopped_many_attacks_is_one_deviation(tmp_path: Path) -> None:
    why = "the 300 s of the whole audit were used up"
    stopped = [
        outcome(attack, target, "not run", reason=why, headline="", advantage=None)
        for attack in ("bytes", "pairs")
        for target in (SCRAMBLE, FHE, "plaintext", "noise")
    ]
    view = view_of(tmp_path, *stopped)
    (found,) = [one for one in found_by(deviations.RULES, view) if "not run" in plain(one.claim)]
    assert plain(found.claim) == (
        "2 attacks not run, 8 outcomes missing: Bytes on 4 targets; Pairs on 4 targets"
    )
    assert plain(found.evidence) == "bytes-bl + 7"
    assert plain(found.limits) == f"{why}; not a pass."
    parts = {part.title: part.blocks for part in security_sections(view)}
    (table,) = parts["Questions an auditor asks"]
    assert plain(_answer(table, "What was not tried?")).count(why) == 1
    (card, _) = parts["Attacks one by one"]
    assert isinstance(card, FindingCard)
    assert plain(card.evidence).count(why) == 1


def _answer(table: object, question: str) -> Inline:
    assert isinstance(table, Table)
    return next(
        row.cells[1]
        for row in table.rows
        if isinstance(row, Row) and plain(row.cells[0]) == question
    )

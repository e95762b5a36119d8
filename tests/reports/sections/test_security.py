"""The section on security: matrix, grids, strongest attack, questions and findings from records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.files import write_atomic
from he_compare.common.run.outcomes import not_run_by_reason, strongest
from he_compare.common.run.records import AttackOutcome, AttackPicture, Interval, MetricValue
from he_compare.common.run.security_map import MapColumn, security_map
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Knowledge
from he_compare.comparisons.auditing.artefacts import png
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import (
    Callout,
    Figure,
    Inline,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    plain,
)
from he_compare.reports.document.photographs import Grid, Stills
from he_compare.reports.figures.security import LOOKS, security_figure
from he_compare.reports.parts import parts
from he_compare.reports.sections import deviations
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
    (callout,) = part_of(view, "security").blocks
    assert isinstance(callout, Callout) and "No attack was run" in plain(callout.content)
    assert found_by(deviations.RULES, view)[-1].severity == "unknown"


def test_the_map_is_printed_once_with_a_column_for_each_protection(tmp_path: Path) -> None:
    view = view_of(tmp_path, BROKEN, EARLIER, RESISTS, CONTROL)
    drawn = [b.name for s in every_section(view) for b in s.blocks if isinstance(b, Figure)]
    assert drawn.count("security-map") == 1
    (table,) = [b for b in part_of(view, "security").blocks if isinstance(b, Table)]
    kept = {plain(r.cells[0]): [plain(c) for c in r.cells[1:]] for r in rows_of(table)}
    assert list(kept) == ["no protection", "scrambling", "fhe-head"]
    assert kept["scrambling"][0] == "broken: images recovered"
    assert kept["fhe-head"][0] == "not broken by what was run; rests on RLWE"
    assert kept["fhe-head"][1].startswith("not tested")


def test_the_map_says_in_letters_what_its_shades_say() -> None:
    shades = [int(LOOKS[mark].shade.lstrip("#")[:2], 16) for mark in ("broken", "partly", "held")]
    assert shades == sorted(shades)
    assert LOOKS["not promised"].outline == LOOKS["not protected"].outline == "ring"
    ringed = {mark for mark, look in LOOKS.items() if look.outline == "ring"}
    assert ringed == {"not promised", "not protected"}
    unknown = {mark for mark, look in LOOKS.items() if look.hatch}
    assert unknown == {"inconclusive", "unreadable", "not run", "not tested"}


def test_a_map_of_many_columns_is_drawn_across_the_page(tmp_path: Path) -> None:
    view = view_of(tmp_path, BROKEN, RESISTS)
    few = security_map(view)
    many = replace(few, columns=tuple(MapColumn(f"c{i}", ()) for i in range(9)))
    narrow, wide = security_figure(few), security_figure(many)
    assert narrow is not None and wide is not None
    assert narrow.get_figwidth() < 4.6 < wide.get_figwidth()
    words = {text.get_text() for text in narrow.axes[0].texts}
    assert {"broken", "held", "scrambling", "fhe-head"} <= words


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


def every_section(view: RunView) -> list[Section]:
    return [one for _, part in parts() for one in part.sections(view)]


def part_of(view: RunView, anchor: str) -> Section:
    return next(one for one in every_section(view) if one.anchor == anchor)


def rows_of(table: Table) -> list[Row]:
    return [row for row in table.rows if isinstance(row, Row)]


def test_each_attack_is_told_compactly_with_limits_and_one_command(tmp_path: Path) -> None:
    view = view_of(tmp_path, BROKEN, RESISTS, UNSURE, CONTROL)
    blocks = part_of(view, "security-findings").blocks
    (table,) = [one for one in blocks if isinstance(one, Table)]
    heads = [plain(r.content) for r in table.rows if isinstance(r, SpanRow) and r.role == "group"]
    assert heads == [
        "Bytes; the adversary has: known pairs bytes",
        "Pairs; the adversary has: known pairs pairs",
    ]
    found = [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]
    assert [(line[0].partition("\n")[0], line[1]) for line in found] == [
        (FHE, "unreliable"),
        (SCRAMBLE, "broken"),
        (FHE, "resists"),
    ]
    notes = [plain(r.content) for r in table.rows if isinstance(r, SpanRow) and r.role == "note"]
    assert notes == ["Only known pairs. Spent: 2 pairs; 0.0 s."] * 2
    words = " ".join(plain(one.content) for one in blocks if isinstance(one, Paragraph))
    assert words.count("compare audit run --attack") == 1


def test_what_nothing_protects_is_open_by_design_and_no_break(tmp_path: Path) -> None:
    view = view_of(tmp_path, outcome("pairs", "plaintext", "broken", target_kind="pipeline"))
    (table,) = [b for b in part_of(view, "security-findings").blocks if isinstance(b, Table)]
    (row,) = [row for row in table.rows if isinstance(row, Row)]
    assert plain(row.cells[1]) == "open by design"


def test_an_interval_above_0_that_counts_as_resisted_is_explained(tmp_path: Path) -> None:
    above = Interval(low=0.01, high=0.04, method="Student's t over 3 keys")
    view = view_of(
        tmp_path,
        outcome("pairs", FHE, "resists within budget", advantage=0.02, advantage_interval=above),
    )
    (table,) = [b for b in part_of(view, "security-findings").blocks if isinstance(b, Table)]
    note = next(plain(r.content) for r in table.rows if isinstance(r, SpanRow) and r.role == "note")
    assert "although the interval is above 0" in note


def test_each_adversary_is_told_with_what_it_took_and_the_control_beside(tmp_path: Path) -> None:
    metric = MetricValue(name="SSIM to the original", value=1.0, interval=None, n=3)
    facts = {"metric": metric, "floor": 0.03, "ceiling": 1.0, "seconds": 2.7, "aim": "the image"}
    many = outcome(
        "jigsaw",
        SCRAMBLE,
        "broken",
        rung=Knowledge.MANY_CIPHERTEXTS,
        controls={"identity": 1.0, "noise": 0.03},
        spent={"ciphertexts": 20, "keys": 3},
        **facts,
    )
    section = part_of(view_of(tmp_path, many, BROKEN), "scrambling")
    table = next(block for block in section.blocks if isinstance(block, Table))
    first = [plain(cell) for cell in rows_of(table)[0].cells]
    assert first == [
        "many ciphertexts under one key",
        "Jigsaw",
        "20 ciphertexts",
        "900 ms",
        "SSIM 1.00 (0.03 on noise)",
        "broken",
    ]
    words = next(plain(b.content) for b in section.blocks if isinstance(b, Paragraph))
    assert "did not protect the images. 20 ciphertexts" in words


def test_the_auditors_questions_are_answered_from_the_records(tmp_path: Path) -> None:
    sections = security_sections(view_of(tmp_path, BROKEN, RESISTS, UNSURE))
    (table,) = next(s for s in sections if s.title == "Questions an auditor asks").blocks
    assert isinstance(table, Table)
    answers = {plain(r.cells[0]): plain(r.cells[1]) for r in table.rows if isinstance(r, Row)}
    assert "1 of them unreliable" in answers["Were there controls, and did they hold?"]
    assert "Which attacks failed, with which budget?" not in answers
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


def test_original_scrambled_and_rebuilt_stand_side_by_side(pictured: RunView) -> None:
    (shown,) = [one for one in part_of(pictured, "pictures").blocks if isinstance(one, Stills)]
    assert [still.title for still in shown.stills] == [
        "original, at the hospital",
        "what the server gets",
        "rebuilt by the attack",
    ]
    assert [still.caption for still in shown.stills] == ["SSIM 0.97"] * 3
    assert SCRAMBLE in shown.caption and "“Pairs”" in shown.caption
    assert "known pairs): broken" in shown.caption
    assert "aligned" not in shown.caption.lower()


def test_at_a_rebuilt_picture_it_is_said_that_it_was_aligned(pictured: RunView) -> None:
    folder = RunFolder(pictured.path)
    (won,) = [one for one in pictured.outcomes if one.target == SCRAMBLE]
    changed = {"identity": "aligned", "aligned": True, "rung": Knowledge.CIPHERTEXT_ONLY}
    folder.append(won.model_copy(update=changed))
    (shown,) = [
        one for one in part_of(read_run(folder), "pictures").blocks if isinstance(one, Stills)
    ]
    assert shown.stills[-1].caption == "SSIM 0.97; aligned for display with the original"
    assert "turned, mirrored or negated as a whole" in shown.caption


def test_a_run_that_no_attack_won_shows_what_is_sent(tmp_path: Path) -> None:
    section = part_of(view_of(tmp_path, RESISTS), "pictures")
    (shown,) = [block for block in section.blocks if isinstance(block, Stills)]
    assert [still.title for still in shown.stills] == [
        "original, at the hospital",
        "what the server gets",
    ]
    assert "No attack of this run left a rebuilt picture, which shows nothing" in shown.caption


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
    (shown,) = [one for one in part_of(pictured, "pictures").blocks if isinstance(one, Stills)]
    assert "rebuilt by the attack" not in [still.title for still in shown.stills]


def test_one_cause_that_stopped_many_attacks_is_one_row_of_what_was_not_run(tmp_path: Path) -> None:
    why = "the 300 s of the whole audit were used up"
    stopped = [
        outcome(attack, target, "not run", reason=why, headline="", advantage=None)
        for attack in ("bytes", "pairs")
        for target in (SCRAMBLE, FHE, "plaintext", "noise")
    ]
    view = view_of(tmp_path, *stopped)
    (listed,) = [
        [plain(cell) for cell in row.cells]
        for part in every_section(view)
        for block in part.blocks
        if isinstance(block, Table) and block.columns[0].title == "Reason"
        for row in rows_of(block)
    ]
    assert listed[0].lower().startswith(why) and listed[1:] == ["Bytes; Pairs", "8"]
    (group,) = not_run_by_reason(view)
    assert (group.reason, group.attacks, group.outcomes) == (why, ("Bytes", "Pairs"), 8)
    told = [plain(b.content) for b in part_of(view, "security").blocks if isinstance(b, Paragraph)]
    assert "2 not run (listed in Deviations)" in told[-1]
    (table,) = part_of(view, "security-questions").blocks
    assert "8 outcomes of this suite" in plain(_answer(table, "What was not tried?"))


def _answer(table: object, question: str) -> Inline:
    assert isinstance(table, Table)
    return next(
        row.cells[1]
        for row in table.rows
        if isinstance(row, Row) and plain(row.cells[0]) == question
    )

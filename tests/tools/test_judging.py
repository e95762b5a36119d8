"""The soak counts only what was really done: kills that came, edits that were named, bits seen."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from he_compare.common.run.sums import SUMS
from tools.soak import cache_flips
from tools.soak.cache_flips import BAD, Cache, CacheFlips
from tools.soak.crowd import END, KILL, TOGETHER
from tools.soak.disturbed_runs import report_of
from tools.soak.disturbing import ended_well
from tools.soak.edited_runs import Verdict, begin, edited, moved, names_in_sums
from tools.soak.starts import Starts

SAYS = "run the same command again to resume"


@pytest.mark.parametrize(("name", "due"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_command_that_was_asked_to_end_and_ends_well_is_a_fault(name: str, due: int) -> None:
    assert ended_well(name, due, SAYS, begun=True) == []
    assert ended_well(name, 0, SAYS, begun=True) == [f"ended with 0 instead of {due}"]
    assert ended_well(name, due, "done", begun=True) == [
        "does not say that the same command resumes: done"
    ]
    number = int(getattr(signal, name))
    assert ended_well(name, -number, "", begun=False) == []
    assert len(ended_well(name, -number, "", begun=True)) == 2


def test_a_kill_that_did_not_come_in_time_is_not_counted_as_one() -> None:
    good = {"lost": 0, "redone": 0, "doubled": 0, "differing": 0}
    good |= {"orphans": [], "left": [], "problems": []}
    outcome = {"what": "x", "who": "driver, alone", "resumes": 1} | good
    missed = outcome | {"hit": False, "problems": ["nobody was disturbed"]}
    told = report_of([outcome | {"hit": True}, missed], "SIGKILL", "kills")
    held = {one.what: (one.measured, one.held) for one in told.figures}
    assert held["kills that came in time"] == ("1 of 2", False)
    assert told.faults == ("x: nobody was disturbed",)


def test_an_edit_is_found_only_where_its_file_is_named() -> None:
    lines = (f"{SUMS}: predictions/a.npz was changed", "1 problem")
    assert Verdict(4, lines).finds(["predictions/a.npz"])
    assert not Verdict(4, lines).finds(["predictions/b.npz"])
    assert not Verdict(1, lines).finds(["predictions/a.npz"])
    assert not Verdict(0, ("ok",)).finds(["ok"])


def content_of(run: Path) -> dict[Path, bytes]:
    files = [path for path in sorted(run.rglob("*")) if path.is_file()]
    return {path.relative_to(run): path.read_bytes() for path in files}


def test_edits_and_moves_of_a_whole_run_are_found_and_undone(whole: Path, tmp_path: Path) -> None:
    before = content_of(whole)
    begin({"given": whole}, tmp_path)
    (copy,) = (path.parent for path in tmp_path.rglob("manifest.json"))
    outcomes = [edited(3, unit) for unit in range(40)] + [moved(3, unit) for unit in range(30)]
    assert [one["what"] for one in outcomes if not one["found"]] == []
    assert {one["kind"] for one in outcomes} >= {SUMS, "records.jsonl", "predictions/"}
    assert content_of(copy) == before


def test_a_changed_line_of_the_sums_is_named_by_its_number_or_its_file() -> None:
    sums = b"# first\n" + b"a" * 64 + b"  manifest.json\n" + b"b" * 64 + b"  x/y.npz\n"
    at = sums.index(b"manifest")
    assert f"{SUMS}: line 2 " in names_in_sums(sums, at)
    assert f"{SUMS}: manifest.json " in names_in_sums(sums, at)
    assert f"{SUMS}: x/y.npz " in names_in_sums(sums, len(sums) - 2)
    assert f"{SUMS}: line 3 " in names_in_sums(sums, sums.index(b"\n", 10))


@pytest.mark.parametrize(
    ("found", "made", "says", "fate"),
    [
        (b"right", True, True, "remade"),
        (b"right", True, False, "silent"),
        (b"right", False, True, "not seen"),
        (b"wrong", True, True, "used"),
        (b"wrong", False, False, "used"),
    ],
)
def test_a_flipped_bit_that_is_not_seen_or_not_said_is_told(
    found: bytes, made: bool, says: bool, fate: str, tmp_path: Path
) -> None:
    def ask() -> tuple[bytes, bool]:
        cache_flips._said.extend(["it is made again"] * says)
        return found, made

    assert cache_flips._fate(Cache(ask, b"right", ()))[0] == fate
    outcome = {"what": "features", "fates": {fate: 3}, "faults": []}
    figures = CacheFlips(tmp_path, 1, 3).report([outcome]).figures
    assert all(one.held for one in figures) == (fate not in BAD)


def started(*ends: tuple[int, int, str]) -> list[dict[str, object]]:
    words = {"said": "RUN is being written by process 7", "": ""}
    return [{"wave": w, "code": c, "last": words[said]} for w, c, said in ends]


@pytest.mark.parametrize(
    ("how", "ended", "holds"),
    [
        (TOGETHER, started((1, 0, ""), (1, 2, "said"), (1, 2, "said")), True),
        (TOGETHER, started((1, 0, ""), (1, 0, ""), (1, 2, "said")), False),
        (TOGETHER, started((1, 0, ""), (1, 2, ""), (1, 2, "said")), False),
        (KILL, started((1, -9, ""), (1, 2, "said"), (2, 0, ""), (2, 2, "said")), True),
        (KILL, started((1, -9, ""), (1, 2, "said"), (2, 2, "said"), (2, 2, "said")), False),
        (KILL, started((1, 0, ""), (1, 2, "said")), False),  # nobody was killed
        (END, started((1, 0, ""), (1, 2, "said"), (2, 2, "said"), (2, 0, ""), (3, 0, "")), True),
        (END, started((1, 0, ""), (1, 2, "said"), (2, 1, ""), (2, 0, ""), (3, 0, "")), False),
        (END, started((1, 0, ""), (1, 2, "said"), (2, 2, "said"), (3, 2, "said")), False),
    ],
)
def test_who_has_a_folder_and_who_says_so_is_told_apart(
    how: str, ended: list[dict[str, object]], holds: bool, tmp_path: Path
) -> None:
    outcome = {"how": how, "ended": ended, "cells": 2, "doubled": 0, "problems": [], "orphans": []}
    report = Starts(tmp_path, 1, 3).report([outcome])
    assert all(one.held for one in report.figures) == holds

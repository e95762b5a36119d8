"""A small soak, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

COUNTS = {
    "edits": 12,
    "added": 8,
    "cache-flips": 24,
    "messages": 80,
    "starts": 3,
    "seed": 5,
    "jobs": 1,
}


@pytest.mark.slow
def test_a_small_soak_reaches_its_figures(whole: Path, tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    counts = [word for name, value in COUNTS.items() for word in (f"--{name}", str(value))]
    words = ["--only", "edits", "added", "cache", "messages", "starts", "--targets", "fhe-head"]
    places = ["--run", str(whole), "--json", str(told), "--out", str(tmp_path / "soak")]
    done = subprocess.run(
        [sys.executable, "-m", "tools.soak", *counts, *words, *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    content = json.loads(told.read_text())
    assert content["reached"] and not content["faults"] and content["units_left"] == 0
    tried = {line["tried"].partition(" (")[0]: line["count"] for line in content["tried"]}
    assert tried["single-byte edits, given run"] == COUNTS["edits"]
    assert tried["files removed or added, given run"] == COUNTS["added"]
    assert tried["cached features, one bit flipped"] >= COUNTS["cache-flips"]
    assert tried["simultaneous starts in one folder"] == 3
    assert tried["starts in a folder whose owner is killed"] == 6
    assert tried["starts in a folder whose owner ends"] == 7
    assert tried["hostile messages, in a child process"] >= COUNTS["messages"]
    assert tried["hostile messages, through the whole service"] > 0
    for place in ("infer", "public material", "body of a request"):
        assert tried[f"fhe-head, {place}: hostile messages"] > 0
    assert len(content["code"]) == 64 and content["units_of_other_code"] == {}

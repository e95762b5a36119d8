"""A small soak, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT


@pytest.mark.slow
def test_a_small_soak_reaches_its_figures(whole: Path, tmp_path: Path) -> None:
    counts = "--edits 30 --added 12 --cache-flips 60 --messages 60 --starts 3 --seed 5"
    parts = "--only edits added cache messages starts"
    told = tmp_path / "soak.json"
    words = [*counts.split(), *parts.split(), "--run", str(whole), "--json", str(told)]
    done = subprocess.run(
        [sys.executable, "-m", "tools.soak", *words, "--out", str(tmp_path / "soak")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    content = json.loads(told.read_text())
    assert content["reached"] and not content["faults"] and content["units_left"] == 0
    assert {"edits", "starts", "cached"} <= {
        word for one in content["tried"] for word in one["tried"].split()
    }

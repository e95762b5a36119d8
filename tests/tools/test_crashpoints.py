"""A command that is killed before a file operation: what is counted, and what heals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from he_compare.block_scramble.keys import key_files
from tests.support.repository import ROOT
from tools.soak.crashpoints import COMMANDS, count_points, crash_before
from tools.soak.file_operations import command_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and /proc")


def test_operations_are_those_below_the_folders_in_order(tmp_path: Path) -> None:
    path, log = tmp_path / "keys" / "client.key", tmp_path / "operations"
    key_files.create(path)
    words = command_of(["key", "rotate", str(path)], [path.parent], log=log)
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    told = [line.split(" ", 2) for line in log.read_text().splitlines()]
    assert [int(number) for number, _, _ in told] == list(range(1, len(told) + 1))
    assert all(place.startswith(str(path.parent)) for _, _, place in told)
    events = [event for _, event, _ in told]
    assert events.index("os.link") < events.index("os.rename")
    assert "os.fsync" in events[: events.index("os.link")]


def test_a_rotation_that_is_killed_anywhere_around_its_links_is_finished(tmp_path: Path) -> None:
    assert {"run", "encrypt", "decrypt", "rotate", "report"} <= set(COMMANDS)
    points = count_points("rotate", tmp_path)
    for point in range(points - 6, points + 1):
        assert crash_before("rotate", point, tmp_path) == ()

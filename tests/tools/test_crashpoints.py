"""A command that is killed before a file operation: what is counted, and what heals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_compare.block_scramble.keys import key_files
from tools.soak.crash_commands import COMMANDS, CRASHING
from tools.soak.crashes import Crashes
from tools.soak.crashpoints import CrashPlace
from tools.soak.room import Room
from tools.soak.warm import Warm, WarmOrder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and /proc")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashPlace]:
    folder = tmp_path_factory.mktemp("crashes")
    environment = Room(folder / "room", folder / "cache").environment
    made = CrashPlace(folder / "place", folder / "states", environment)
    yield made
    made.close()


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    made = Warm(Room(tmp_path / "room", tmp_path / "cache").environment)
    yield made
    made.close()


def order(folder: Path, words: str, at: int = 0) -> WarmOrder:
    environment = Room(folder / "room", folder / "cache").environment
    log = str(folder / "operations")
    output = str(folder / "output")
    return WarmOrder(
        words.split(), str(folder), environment, output, [str(folder / "keys")], at, log
    )


def test_operations_are_those_below_the_folders_in_order(warm: Warm, tmp_path: Path) -> None:
    path, log = tmp_path / "keys" / "client.key", tmp_path / "operations"
    key_files.create(path)
    assert warm.run(order(tmp_path, "key rotate keys/client.key")) == 0
    told = [line.split(" ", 2) for line in log.read_text().splitlines()]
    assert [int(number) for number, _, _ in told] == list(range(1, len(told) + 1))
    assert all(place.startswith(str(path.parent)) for _, _, place in told)
    events = [event for _, event, _ in told]
    assert events.index("os.link") < events.index("os.rename")
    assert "os.fsync" in events[: events.index("os.link")]


def test_a_warm_command_ends_as_one_of_its_own_does(warm: Warm, tmp_path: Path) -> None:
    key_files.create(tmp_path / "keys" / "client.key")
    assert warm.run(order(tmp_path, "key rotate keys/client.key", at=3)) == -signal.SIGKILL
    assert warm.run(order(tmp_path, "key rotate keys/other.key")) == 2
    assert "other.key" in (tmp_path / "output").read_text()
    assert warm.run(order(tmp_path, "key rotate keys/client.key")) == 0
    assert warm.left_after(5.0) == []


def test_a_rotation_that_is_killed_anywhere_is_finished(place: CrashPlace) -> None:
    assert {"run", "encrypt", "decrypt", "rotate", "report", "score"} == set(COMMANDS)
    points = place.count("rotate")
    for point in range(1, points + 1):
        found = place.crash("rotate", point)
        assert found.reached and found.problems == ()


def test_a_kill_that_never_came_is_no_crash_that_healed(place: CrashPlace, tmp_path: Path) -> None:
    found = place.crash("rotate", place.count("rotate") + 1)
    assert not found.reached
    part = Crashes(tmp_path, 1, None)
    part._of = dict.fromkeys(CRASHING, 5)
    outcome = {"command": "rotate", "point": 5, "problems": []}
    figures = part.report([outcome | {"reached": True}, outcome | {"reached": False}]).figures
    assert [one.measured for one in figures[:2]] == ["1 of 2", "1 of 1"]
    assert not figures[0].held

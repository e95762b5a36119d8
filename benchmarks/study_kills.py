"""Kills a study at random moments, and sees whether the same command comes to the same tables.

Two data sets are made, and a small study of them (three pipelines and their twins, two trainings)
is run twice with the same keys: once undisturbed, once with SIGKILL to its driver again and again.
In the end scores, differences and intervals have to be equal within 0.0001 (homomorphic
encryption adds other noise every time), no cell done twice, every run verify, and nothing be left
behind.

``python -m benchmarks.study_kills [--quick] [--json FILE]``: 5 kills, with ``--quick`` two.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, main
from benchmarks.scale_memory import make_pictures
from he_compare.common.study.study_folder import StudyFolder
from he_compare.comparisons.judging.verify import verify_run
from tools.soak.aftermath import finished_lines
from tools.soak.room import Room, adopt_orphans, left_after

SEED, KILLS, QUICK_KILLS = 19, 5, 2
IMAGES, TOLERANCE = 600, 1e-4
# Before that, a command is loading.
FIRST_SECONDS = 2.0
MOST_SHOWN = 20
ROWS = (list, tuple)
STUDY = """\
title = "Killed"
profile = "smoke"
seeds = [0, 1]
pipelines = [
    "plaintext",
    "plaintext[model=logistic]",
    "block-scramble[cipher=vit_block]",
    "fhe-head",
]

[settings]
latency_rounds = 1

[data.first]
dataset = "folder:first"

[data.second]
dataset = "folder:second"
"""


def measure(quick: bool) -> list[Row]:
    """Run the study with and without kills; return what differs, and what was done twice."""
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="study-kills-") as made:
        root = Path(made)
        for name in ("first", "second"):
            make_pictures(root / "data" / name, IMAGES)
        (root / "killed.toml").write_text(STUDY)
        start = time.perf_counter()
        calm = _room(root, "calm")
        _to_its_end(calm, root, "calm")
        seconds = time.perf_counter() - start
        room = _room(root, "killed")
        wanted = QUICK_KILLS if quick else KILLS
        hit = killed(room, root, wanted, seconds)
        _to_its_end(room, root, "killed")
        left = left_after(5.0, expected=())
        return _rows(root, hit, seconds, len(left))


def killed(room: Room, root: Path, wanted: int, seconds: float) -> int:
    """Kill the driver so many times, each time before the study ends; return how often it was."""
    random, hit = np.random.default_rng(SEED), 0
    for _ in range(wanted):
        process = room.start(_words(root, "killed"), root / "killed.log")
        try:
            process.wait(FIRST_SECONDS + float(random.uniform(0, seconds / wanted)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hit += 1
    return hit


def _room(root: Path, name: str) -> Room:
    return Room(root / name, root / f"{name}-cache")


def _words(root: Path, name: str) -> list[str]:
    words = ["study", "run", str(root / "killed.toml"), "--out", str(root / f"study-{name}")]
    words += ["--data-dir", str(root / "data"), "--key", str(root / "client.key")]
    return [*words, "--format", "md", "--quiet"]


def _to_its_end(room: Room, root: Path, name: str) -> None:
    done = room.run(_words(root, name), seconds=3600.0)
    if done.returncode:
        raise SystemExit(f"the study ended with {done.returncode}:\n{done.stderr[-2000:]}")


def tables(folder: StudyFolder) -> dict[str, Any]:
    """Return what tables are made of, by row: all scores, without names of records."""
    found: dict[str, Any] = {}
    for row in folder.record().rows:
        sheet = folder.run(row.name).scores()
        found[row.name] = [
            [one.model_dump(exclude={"identity"}) for one in sheet.cells],
            [one.model_dump() for one in sheet.means],
            [one.model_dump() for one in sheet.mean_differences],
        ]
    return found


def differences(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Yield where two tables differ, and how."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for name in first:
            yield from differences(first[name], second[name], f"{place}/{name}")
    elif isinstance(first, ROWS) and isinstance(second, ROWS) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{place}/{number}")
    elif isinstance(first, float) and isinstance(second, float):
        if abs(first - second) > TOLERANCE:
            yield f"{place}: {first}, after kills {second}"
    elif first != second:
        yield f"{place}: {str(first)[:80]}, after kills {str(second)[:80]}"


def done_twice(folder: StudyFolder) -> int:
    """Return how many cells ended well more than once."""
    twice = 0
    for row in folder.record().rows:
        twice += sum(n - 1 for n in finished_lines(folder.run(row.name).path).values())
    return twice


def _rows(root: Path, hit: int, seconds: float, left: int) -> list[Row]:
    calm, other = (StudyFolder(root / f"study-{name}") for name in ("calm", "killed"))
    first, second = tables(calm), tables(other)
    cells = sum(len(one.cells) for one in calm.record().rows)
    problems: Sequence[str] = [
        line for row in other.record().rows for line in verify_run(other.run(row.name))
    ]
    same = "data sets with the same scores, differences and intervals after kills"
    for line in islice(differences(first, second), MOST_SHOWN):
        print(line, file=sys.stderr)
    equal = sum(not any(differences(first[name], second[name])) for name in first)
    return [
        Row("kills of a study", hit, "kills", hit),
        Row(same, equal, "data sets", len(first), "asked", len(first), equal / len(first)),
        Row("cells done twice", done_twice(other), "cells", cells),
        Row("problems that verify found", len(problems), "problems", len(first)),
        Row("processes left behind", left, "processes", hit),
        Row("undisturbed study", seconds, "s", 1),
    ]


if __name__ == "__main__":
    main(measure)

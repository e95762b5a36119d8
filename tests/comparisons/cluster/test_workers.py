"""`compare run --workers 2` from start to end: the same results as in one process, and losses."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.stored_arrays import load_arrays
from he_compare.common.types import Phase, Status
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.cli import app
from tests.support.imagefolders import write_chestxray_like

pytestmark = pytest.mark.slow
SMALL = {
    "--image-size": "32",
    "--train-limit": "8",
    "--val-limit": "4",
    "--test-limit": "12",
    "--infer-batch": "4",
    "--latency-images": "2",
    "--latency-rounds": "2",
    "--pictures": "2",
    "--threads": "1",
    "--weights": "untrained",
    "--robustness-images": "2",
}
PIPELINES = ("echo", "echo[behaviour=claim]")


@pytest.fixture
def compare(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    data = tmp_path / "data" / "chestxray"
    write_chestxray_like(data, per_class_train=12, per_class_test=8, size=32)

    def run(out: str, *extra: str) -> int:
        words = ["--dataset", "chestxray", "--data-dir", str(data), "--profile", "smoke"]
        words += ["--subset", "published", "--format", ""]
        words += [] if "--audit" in extra else ["--no-audit"]
        words += [part for pair in SMALL.items() for part in pair]
        words += [part for name in PIPELINES for part in ("--pipeline", name)]
        monkeypatch.setattr(sys, "argv", ["compare", "run", "--out", str(tmp_path / out), *words])
        sys.argv += extra
        with pytest.raises(SystemExit) as stop:
            app.main()
        return int(stop.value.code or 0)

    yield run


def ended(folder: RunFolder) -> dict[str, RunRecord]:
    return {record.identity: record for record in folder.records()}


def finals(folder: RunFolder) -> Counter[str]:
    """Count, by identity, the lines that say how a cell ended."""
    lines = (folder.path / "records.jsonl").read_text().splitlines()
    all_records = [RunRecord.model_validate_json(line) for line in lines]
    return Counter(r.identity for r in all_records if r.status is not Status.STARTED)


def left_after(seconds: float) -> list[str]:
    """Return the processes of workers and servers that are left a moment later."""
    time.sleep(seconds)
    found = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    return [line for line in found if "spawn_main" in line or "common.service." in line]


def test_two_workers_give_what_one_process_gives_and_leave_nothing(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    assert compare("serial", "--workers", "1") == 0
    assert compare("workers", "--workers", "2") == 0
    assert left_after(1.0) == []
    serial, workers = RunFolder(tmp_path / "serial"), RunFolder(tmp_path / "workers")
    one, two = ended(serial), ended(workers)
    assert set(one) == set(two) and len(two) == 8
    assert all(record.status is Status.OK for record in two.values())
    assert set(finals(workers).values()) == {1}
    for identity, record in two.items():
        assert record.predictions_sha256 == one[identity].predictions_sha256
        assert record.robustness == one[identity].robustness
        assert record.claims == one[identity].claims
        assert one[identity].place is None and record.place is not None
        if record.predictions:
            arrays = load_arrays(workers.path / record.predictions)
            for name, array in load_arrays(serial.path / record.predictions).items():
                np.testing.assert_array_equal(array, arrays[name])
    assert {r.place.at_once for r in two.values() if r.place and r.cell.phase is Phase.LATENCY} == {
        1
    }
    assert {r.place.worker for r in two.values() if r.place} == {1, 2}
    assert serial.pictures().keys() == workers.pictures().keys()
    assert workers.check_sums().problems == []
    assert not (workers.path / ".workers").exists()
    resumed = len((workers.path / "records.jsonl").read_text().splitlines())
    assert compare("workers", "--workers", "1") == 0
    assert len((workers.path / "records.jsonl").read_text().splitlines()) == resumed


def attacked(folder: RunFolder) -> list[tuple[object, ...]]:
    """What does not hang on the keys of the operating system."""
    return [
        (one.place, one.row, one.target, one.beside, one.identity, one.not_run, one.metric is None)
        for one in folder.outcomes()
    ]


def test_two_workers_attack_what_one_process_attacks(
    compare: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["unaltered", "known_plaintext", "freshness", "key_space"]
    monkeypatch.setattr(suite, "names", lambda: few)
    assert compare("serial", "--audit", "--workers", "1") in (0, 3)
    assert compare("workers", "--audit", "--workers", "2") in (0, 3)
    serial, workers = RunFolder(tmp_path / "serial"), RunFolder(tmp_path / "workers")
    assert attacked(workers) == attacked(serial)
    assert {one.attack for one in workers.outcomes()} == set(few)
    assert {one.messages for one in workers.outcomes() if one.metric} >= {"crossed in the run"}
    lines = (workers.path / "attacks.jsonl").read_text().splitlines()
    written = Counter(AttackOutcome.model_validate_json(line).identity for line in lines)
    assert set(written.values()) == {1}
    assert workers.check_sums().problems == []
    assert compare("workers", "--audit", "--workers", "2") in (0, 3)
    assert len((workers.path / "attacks.jsonl").read_text().splitlines()) == len(lines)


def kill_first_worker(folder: Path, done: threading.Event) -> None:
    """Kill a worker process as soon as a cell has started."""
    while not done.is_set():
        records = folder / "records.jsonl"
        if records.is_file() and records.stat().st_size:
            children = psutil.Process().children()
            spawned = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
            if spawned:
                os.kill(spawned[0].pid, signal.SIGKILL)
                return
        time.sleep(0.02)


def test_a_lost_workers_cell_runs_elsewhere_and_none_twice(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    killer = threading.Thread(target=kill_first_worker, args=(tmp_path / "run", done))
    killer.start()
    try:
        assert compare("run", "--workers", "2") == 0
    finally:
        done.set()
        killer.join()
    folder = RunFolder(tmp_path / "run")
    assert all(record.status is Status.OK for record in ended(folder).values())
    assert set(finals(folder).values()) == {1} and len(ended(folder)) == 8
    assert "was lost" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named(
    compare: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPARE_WORKERS")
    monkeypatch.setattr("he_compare.comparisons.cluster.crew.ANSWER_SECONDS", 1.0)
    assert compare("run", "--scheduler", "tcp://127.0.0.1:9") == 2
    assert "the scheduler tcp://127.0.0.1:9 does not answer" in capsys.readouterr().err

"""What a run hands to its workers: where the driver has real images, no worker takes others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.comparisons.cluster import who_runs
from he_compare.comparisons.cluster.crew import Crew, Hand
from he_compare.comparisons.cluster.who_runs import Staff, executor_of
from he_compare.comparisons.measuring.threads import ThreadShare
from he_compare.comparisons.progress import ProgressReporter


@pytest.mark.parametrize(
    ("synthetic", "asked", "required"),
    [(False, False, True), (True, False, False), (True, True, True)],
)
def test_synthetic_images_never_stand_in_for_real_ones_on_a_worker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    synthetic: bool,
    asked: bool,
    required: bool,
) -> None:
    orders: list[dict[str, Any]] = []
    monkeypatch.setattr(who_runs, "write_plan", lambda *_: None)
    monkeypatch.setattr(who_runs, "make_order", lambda _plan, **told: orders.append(told))
    monkeypatch.setattr(who_runs, "DaskExecutor", lambda *_, **__: None)
    plan: Any = SimpleNamespace(summary=SimpleNamespace(card=SimpleNamespace(synthetic=synthetic)))
    crew = Crew(None, ProgressReporter(quiet=True), own=False)
    with executor_of(
        Staff(1, ThreadShare(1, 1), crew),
        plan,
        RunFolder(tmp_path),
        dataset="chestxray",
        data_dir=None,
        offline=True,
        require_real=asked,
        cache_dir=tmp_path,
        taped=None,
        progress=ProgressReporter(quiet=True),
    ):
        pass
    assert [one["require_real"] for one in orders] == [required]


@pytest.mark.parametrize(("host", "named"), [("node7", " on node7"), ("", "")])
def test_a_worker_that_is_refused_is_named_with_its_machine(host: str, named: str) -> None:
    crew = Crew(None, ProgressReporter(quiet=True), own=False)
    crew.refuse(Hand("tls://10.0.0.2:1", 1, 1, False, host), "no data")
    assert [*crew.refused.values()] == [f"worker tls://10.0.0.2:1{named}: no data"]

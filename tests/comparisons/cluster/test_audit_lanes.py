"""Workers as lanes of an audit: who holds what, what is sent, and when waiting ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase
from he_compare.comparisons.auditing.lanes import LaneLostError
from he_compare.comparisons.cluster import audit_lanes, lane_answer
from he_compare.comparisons.cluster.audit_lanes import CrewLanes, WorkerLane
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.cluster.dispatch import Homes
from he_compare.comparisons.measuring.plan import PlannedCell

ONE, FAR = Hand("a", 1, 1, True), Hand("b", 2, 2, False)
TAPE = SimpleNamespace(file="tape.bin", public_file="")


@pytest.fixture
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lanes of two workers: the first deployed p, the other measured its latency only."""
    monkeypatch.setattr(audit_lanes, "setup_of_run", lambda plan: None)
    records = {"p": SimpleNamespace(tape=TAPE)}
    monkeypatch.setattr(audit_lanes, "deployed_cells", lambda plan, folder: records)
    (tmp_path / TAPE.file).write_bytes(b"messages")
    homes, hands = Homes(), [ONE, FAR]
    for phase, hand in ((Phase.ACCURACY, ONE), (Phase.LATENCY, FAR)):
        cell = PlannedCell(SimpleNamespace(label="p"), phase, 0, str(phase), 0)  # type: ignore[arg-type]
        homes.settle(cell, hand)
        homes.note_deployed(cell, hand)
    executor: Any = SimpleNamespace(
        homes=homes,
        wait_seconds=0.0,
        settle_workers=lambda: hands,
        meet_workers=lambda: hands,
        ask=None,
        crew=SimpleNamespace(has=lambda hand: True),
    )
    return CrewLanes(executor, None, RunFolder(tmp_path))  # type: ignore[arg-type]


def sent(lane: WorkerLane) -> dict[str, bytes]:
    cell: Any = SimpleNamespace(target=SimpleNamespace(label="p"))
    return lane._tapes_for(cell, lane.records["p"])


def test_who_measured_latency_only_is_sent_the_messages_and_does_not_hold_the_pipeline(
    lanes: Any,
) -> None:
    one, far = lanes.newcomers(())
    assert one.holds == {"p"} and far.holds == frozenset()
    assert sent(one) == {} and sent(far) == {TAPE.file: b"messages"}


def test_a_worker_that_was_lost_comes_back_as_one_that_holds_nothing(lanes: Any) -> None:
    lanes.newcomers(())
    assert [lane.hand for lane in lanes.newcomers({"worker 2"})] == [ONE]
    assert lanes.newcomers({"worker 2"})[0].holds == frozenset()
    assert lanes.newcomers({"worker 1", "worker 2"}) == []


def test_waiting_for_a_worker_ends_when_the_audit_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_answer, "LOOK_SECONDS_ANSWER", 0.01)
    done: list[str] = []
    never: Any = SimpleNamespace(
        add_done_callback=lambda call: None,
        cancel=lambda: done.append("cancelled"),
        release=lambda: done.append("released"),
    )
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(LaneLostError, match="the audit was stopped"):
        lane_answer.answer_of(never, ONE, lambda hand: True, stop)
    assert time.monotonic() - begin < 30 and done == ["cancelled", "released"]

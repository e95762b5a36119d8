"""Who is served: one driver from its first word to its last, told apart by its process."""

from __future__ import annotations

import time
from typing import Any

import pytest

from he_compare.common.service.doorway import Visit
from he_compare.common.service.driver_lease import SAME_NAME, DriverLease
from he_compare.common.service.refusals import RefusedRequest


def visit() -> Visit:
    return Visit(lambda: None)


def refused(lease: DriverLease, *who: str) -> RefusedRequest:
    with pytest.raises(RefusedRequest) as caught:
        lease.take(*who)
    assert caught.value.status == 409 and caught.value.fix
    return caught.value


def test_one_driver_is_served_until_it_leaves() -> None:
    lease = DriverLease(None)
    assert lease.driver == "" and lease.process is None
    assert not lease.take("a run", "p1") and not lease.take("a run", "p1")
    assert lease.driver == "a run" and "a run is served" in refused(lease, "another", "p2").message
    assert not lease.leave("p2") and lease.driver == "a run"
    assert lease.leave("p1") and lease.driver == ""
    assert not lease.take("another", "p2")


def test_a_name_that_another_process_has_as_well_is_no_right_to_its_place() -> None:
    lease, connection = DriverLease(None), visit()
    lease.take("a run", "p1")
    lease.meet("p1", connection)
    assert refused(lease, "a run", "p2").kind == SAME_NAME
    assert lease.process == "p1"
    connection.open = False
    assert lease.take("a run", "p2"), "its predecessor is gone"
    assert lease.process == "p2"


def test_any_open_connection_of_a_process_counts_and_no_other_does() -> None:
    lease, mine, closed, other = DriverLease(None), visit(), visit(), visit()
    for process, one in (("p1", mine), ("p1", closed), ("p2", other)):
        lease.meet(process, one)
    lease.take("a run", "p1")
    closed.open = False
    assert refused(lease, "a run", "p2").kind == SAME_NAME
    mine.open = False
    assert lease.take("a run", "p2")


def test_silence_is_counted_from_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lease = DriverLease(10.0)
    assert lease.silence() == float("inf")
    lease.take("a run", "p1")
    now[0] += 7
    assert lease.silence() == pytest.approx(3)
    lease.heard()
    assert lease.silence() == pytest.approx(10)
    assert DriverLease(None).silence() == float("inf")


def test_connections_that_ended_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    lease: Any = DriverLease(None)
    for _ in range(100):
        one = visit()
        lease.meet("p1", one)
        one.open = False
    assert len(lease._visits) <= 1

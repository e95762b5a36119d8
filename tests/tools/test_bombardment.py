"""What hostile messages did is told apart: on a process that misbehaves in known ways."""

from __future__ import annotations

import os
import sys
from collections import Counter

import numpy as np
import pytest

from tests.support.repository import ROOT
from tools.soak import bombardment
from tools.soak.bombardment import Bombardment, first_and_last
from tools.soak.bombardment_report import report_of
from tools.soak.crashes import chosen
from tools.soak.messages import Unit, interleaved, proportional


def test_messages_that_kill_hang_fail_and_leak_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bombardment, "SILENT_SECONDS", 2.0)
    order = {"unit": 0, "use": "verbs", "start": 0, "count": 10, "seed": 1}
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    tally = Bombardment("tests.support.misbehaving", order, here).run()
    assert tally.fates == {
        "infer": {"refused": 7, "uncaught": 1},
        "not told": {"ended its process": 1, "no answer in time": 1},
    }
    assert "message 3" in tally.ended[0] and "SIGABRT" in tally.ended[0]
    assert "message 5" in tally.hangs[0] and "message 7" in tally.uncaught[0]
    assert len(tally.memory) == 3 and not tally.broken
    # Numbers 0 and 1 are one message, and so on; 2, 4 stand alone beside those that ended it.
    outcome = {"target": "a", "use": "verbs"} | tally.as_json()
    told = report_of([outcome, outcome], "messages", 9)
    assert [(line.tried, line.count) for line in told.lines[:2]] == [
        ("a, infer: messages", 16),
        ("a, not told: messages", 4),
    ]
    held = {one.what: one.held for one in told.figures}
    assert held == {
        "messages: different": True,  # 5 and, each time, 2 of which nothing came back
        "messages: service ends": True,
        "messages: hangs": False,
        "messages: uncaught": False,
        "messages: memory taken by one": True,
        "messages: no answer afterwards": True,
        "messages: memory flat": False,
        "messages: children replaced": True,
    }
    deaf = Bombardment("tests.support.misbehaving", order | {"seed": 0, "start": 8}, here).run()
    assert deaf.broken == ["a good message is not answered afterwards"]


def test_what_is_cut_short_has_tried_every_target_and_command() -> None:
    units = [Unit("a", "verbs", 0, 1)] * 3 + [Unit("b", "verbs", 0, 2)] * 2
    assert [one.target for one in interleaved(units)] == ["a", "b", "a", "b", "a"]
    of, random = {"run": 5, "rotate": 2}, np.random.default_rng(0)
    points = chosen(of, 4, random)
    assert Counter(command for command, _ in points) == {"run": 2, "rotate": 2}
    everything = chosen(of, None, random)
    assert len(everything) == len(set(everything)) == 7 and ("run", 5) in everything


def test_messages_are_shared_by_the_time_they_take() -> None:
    shares = proportional({"fast": 1.0, "slow": 0.1}, 10_000)
    assert sum(shares.values()) == pytest.approx(10_300, abs=2)
    assert shares["fast"] == pytest.approx(10 * shares["slow"], rel=0.01)
    assert min(proportional({"a": 1.0, "b": 1e-9}, 100).values()) == 4


def test_memory_that_goes_up_and_down_is_no_leak() -> None:
    for steady in ([5, 5, 5], [5, 9, 7, 5, 9, 6], [9, 5], [5]):
        first, last = first_and_last(steady)
        assert last <= first, steady
    assert first_and_last([1, 2, 3, 4, 5, 6, 7, 8]) == (2, 7)
    assert first_and_last([1, 1, 1, 8, 8, 8, 8]) == (1, 8)

"""The table of targets says met or missed by what was measured, and nothing where nothing was."""

from __future__ import annotations

import pytest

from benchmarks import scale
from benchmarks.rows import Row, against


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (against("estimate: seconds of all cells", 120.0, "s", 8, "measured", 100.0), "met"),
        (against("estimate: seconds of all cells", 140.0, "s", 8, "measured", 100.0), "missed"),
        (against("estimate: peak memory of the driver", 1.0, "GB", 1, "measured", 1.3), "missed"),
        (Row("cells lost", 0.0, "cells", 20), "met"),
        (Row("cells lost", 1.0, "cells", 20), "missed"),
    ],
)
def test_a_target_is_met_or_missed(row: Row, verdict: str) -> None:
    ((name, _, _, told),) = scale.held_to([row])
    assert (name, told) == (row.name, verdict)


def test_what_has_no_target_or_no_peer_is_neither() -> None:
    assert scale.held_to([Row("seconds of something", 5.0, "s", 1)]) == []
    assert scale.held_to([Row("estimate: seconds of all cells", 5.0, "s", 1)]) == []


def test_a_part_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "PREFIX", "no_such_")
    result = scale.measure_part("part", quick=True)
    assert not result.rows and "no_such_part" in result.trouble

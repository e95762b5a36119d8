"""On which machine latency is measured: one per run, also when the run is resumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from he_compare.common.types import Phase
from he_compare.comparisons.cluster.dispatch import Homes
from he_compare.comparisons.cluster.latency_turn import MOVED, LatencyTurn, machine_mark
from tests.comparisons.cluster.test_dispatch import FAR, ONE, TWO, cell

NEAR, ALSO, OFF = replace(ONE, host="n1"), replace(TWO, host="n1"), replace(FAR, host="n2")
HANDS = [NEAR, ALSO, OFF]
ROUND = [cell(label, Phase.LATENCY, 1) for label in ("p", "q", "r")]


def test_the_machine_is_chosen_once_though_fewer_cells_wait() -> None:
    homes, turn = Homes(), LatencyTurn("salt")
    homes.settle(cell("p"), OFF)
    assert turn.choose(HANDS, ROUND, homes) == "" and turn.machine == 2
    homes.settle(cell("q"), NEAR)
    homes.settle(cell("r"), ALSO)
    assert turn.choose(HANDS, ROUND[1:], homes) == "" and turn.machine == 2


def test_a_resumed_run_goes_on_where_it_was_measured() -> None:
    """Machines are counted anew by each driver: what stands for them in records is not."""
    turn = LatencyTurn(
        "salt", Counter({machine_mark("n2", "salt"): 2, machine_mark("n3", "salt"): 9})
    )
    assert turn.choose(HANDS, ROUND, Homes()) == "" and turn.machine == 2
    elsewhere = LatencyTurn("salt", Counter({machine_mark("n3", "salt"): 1}))
    assert elsewhere.choose(HANDS, ROUND, Homes()) == MOVED


def test_a_machine_that_is_gone_is_replaced_aloud() -> None:
    turn = LatencyTurn("salt")
    assert turn.choose(HANDS, ROUND, Homes()) == "" and turn.machine == 1
    assert turn.choose([OFF], ROUND, Homes()) == MOVED and turn.machine == 2


def test_a_record_names_no_machine() -> None:
    mark = LatencyTurn("salt").mark(NEAR)
    assert mark == LatencyTurn("salt").mark(ALSO) != LatencyTurn("salt").mark(OFF)
    assert mark != LatencyTurn("other").mark(NEAR) and "n1" not in mark
    assert LatencyTurn("salt").mark(ONE) == ""

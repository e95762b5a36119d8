"""Which worker gets which cell, and on which machine latency is measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from he_compare.common.types import Phase
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.cluster.dispatch import (
    Homes,
    SharedWork,
    by_phase,
    latency_machine,
    next_alone,
    next_beside,
)
from he_compare.comparisons.measuring.plan import PlannedCell

ONE, TWO, FAR = Hand("a", 1, 1, True), Hand("b", 2, 1, True), Hand("c", 3, 2, False)


def cell(
    label: str,
    phase: Phase = Phase.ACCURACY,
    number: int = 0,
    seed: int = 0,
    again: bool = False,
) -> PlannedCell:
    planned: Any = SimpleNamespace(label=label)
    return PlannedCell(planned, phase, number, f"{label}-{phase}-{number}-{seed}", seed, again)


def test_a_free_worker_goes_on_with_what_it_has_ready() -> None:
    homes = Homes()
    homes.settle(cell("q"), ONE)
    waiting = [cell("p"), cell("q", Phase.ROBUSTNESS)]
    assert next_beside(ONE, waiting, [], homes) == waiting[1]
    assert next_beside(TWO, waiting, [], homes) == waiting[0]


def test_what_another_worker_has_ready_waits_for_it() -> None:
    homes = Homes()
    homes.settle(cell("q"), ONE)
    waiting = [cell("q", Phase.ROBUSTNESS)]
    assert next_beside(TWO, waiting, [], homes) is None
    homes.lose(ONE)
    assert next_beside(TWO, waiting, [], homes) == waiting[0]


def test_a_pipeline_is_not_fitted_twice_at_a_time() -> None:
    waiting = [cell("p", Phase.ROBUSTNESS), cell("q")]
    assert next_beside(TWO, waiting, [cell("p")], Homes()) == waiting[1]


def test_what_needs_what_is_just_being_made_comes_after_what_does_not() -> None:
    """A worker waited for the network that another one trained, with other cells to be done."""
    shared = SharedWork({"plain": [("vit", True)], "adapted": [("vit", True)]})
    waiting = [cell("adapted"), cell("head"), cell("adapted", seed=1)]
    plain = cell("plain")
    assert next_beside(TWO, waiting, [plain], Homes(), shared) == waiting[1]
    # Another seed has another network; and it is better to wait with it than not to begin.
    assert next_beside(TWO, waiting[::2], [plain], Homes(), shared) == waiting[2]
    assert next_beside(TWO, waiting[:1], [plain], Homes(), shared) == waiting[0]
    shared.note_made(plain)
    assert next_beside(TWO, waiting, [plain], Homes(), shared) == waiting[0]


def test_what_no_seed_makes_anew_is_shared_by_all() -> None:
    shared = SharedWork({"head": [("features", False)], "other": [("features", False)]})
    waiting = [cell("head", seed=1), cell("q")]
    assert next_beside(TWO, waiting, [cell("other", seed=0)], Homes(), shared) == waiting[1]


def test_seeds_of_a_pipeline_run_beside_each_other() -> None:
    homes = Homes()
    homes.settle(cell("p", seed=0), ONE)
    again = cell("p", seed=1)
    assert next_beside(TWO, [again], [cell("p", seed=0)], homes) == again


def test_latency_comes_last_and_stays_on_the_machine_that_has_most_ready() -> None:
    rounds = [cell(label, Phase.LATENCY, 1) for label in ("p", "q", "r")]
    beside, alone = by_phase([rounds[0], cell("p"), rounds[1], rounds[2]])
    assert beside == [cell("p")] and alone == rounds
    homes = Homes()
    homes.settle(cell("p"), FAR)
    hands = [ONE, TWO, FAR]
    assert latency_machine(hands, rounds, homes) == 2
    homes.settle(cell("q"), ONE)
    homes.settle(cell("r"), TWO)
    assert latency_machine(hands, rounds, homes) == 1
    assert [next_alone(one, hands, 1, homes) for one in rounds[1:]] == [ONE, TWO]
    assert next_alone(rounds[0], hands, 1, homes) in (ONE, TWO)


def test_who_deployed_a_pipeline_holds_it_and_not_who_measured_its_latency() -> None:
    """A resumed run, or latency on another machine: keys and messages are where they were made."""
    homes = Homes()
    homes.settle(cell("p"), ONE)
    homes.note_deployed(cell("p"), ONE)
    homes.settle(cell("p", Phase.LATENCY, 1), FAR)
    homes.note_deployed(cell("p", Phase.LATENCY, 1), FAR)
    homes.settle(cell("q", Phase.ROBUSTNESS), TWO)
    homes.note_deployed(cell("q", Phase.ROBUSTNESS), TWO)
    homes.note_deployed(cell("p", seed=1, again=True), TWO)
    assert homes.of(cell("p")) == FAR.address
    assert [homes.deployed_by(one) for one in (ONE, TWO, FAR)] == [{"p"}, set(), set()]
    homes.lose(ONE)
    assert homes.deployed_by(ONE) == set()

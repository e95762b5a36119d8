"""Attacks beside each other: the same outcomes as one by one, nothing twice, nothing lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack, AuditStep
from he_compare.common.attack_score import AttackMetric, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import CellError, IntegrityError, MessageError
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Knowledge, NotRun
from he_compare.comparisons.auditing import artefacts, suite
from he_compare.comparisons.auditing.audit_cells import AuditCell, Setup, cells_of
from he_compare.comparisons.auditing.cell_attack import CellAttacker, Finished
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.lanes import (
    GIVEN_UP,
    CellQueue,
    LaneLostError,
    attack_beside,
)
from he_compare.comparisons.auditing.targets import Target, cipher_target
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool

SMALL = AttackBudget("small", 2, 6, 3, 4, 20, 40, 12, 20.0)
CIPHERS = ("vit_block[patch=8]", "np", "vit_block[patch=8,negative_positive=true]")


class Counted(Attack):
    """An attack that counts how often it met the messages of each key."""

    rung = Knowledge.CIPHERTEXT_ONLY
    metric = AttackMetric("share seen", best=1.0)
    source = "tests"
    reads_pictures = False

    def __init__(self, name: str, seconds: float = 0.0, slow: bool = False) -> None:
        self.name, self.title, self.slow, self.seconds = name, name.title(), slow, seconds
        self.met: Counter[bytes] = Counter()
        self.running = self.most_running = 0
        self._lock = threading.Lock()

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
        with self._lock:
            self.met[np.ascontiguousarray(view.ciphertexts).tobytes()] += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        time.sleep(self.seconds)
        with self._lock:
            self.running -= 1
        return view.ciphertexts

    def score(self, guess: Any, truth: Truth) -> Score:
        return Score(float((guess == truth.originals).mean()))


class ThreadLane:
    """A lane with targets and results of its own, as a process has them."""

    def __init__(
        self,
        name: str,
        setup: Setup,
        targets: Sequence[Target],
        attacks: Sequence[AuditStep],
        holds: Sequence[str] = (),
        dies_at: int = 0,
        dies_of: int = 0,
    ) -> None:
        self.name, self.holds, self.dies_at = name, frozenset(holds), dies_at
        self.dies_of = dies_of
        self.done: list[AuditCell] = []
        self._cells = {cell.place: cell for cell in cells_of(setup, targets, attacks)}
        self._attacker = CellAttacker(setup, ProgressReporter(quiet=True))

    def attack(
        self, cell: AuditCell, late: str, controls: bool, stop: threading.Event
    ) -> list[Finished]:
        self.done.append(cell)
        if len(self.done) == self.dies_at or cell.place == self.dies_of:
            raise LaneLostError(self.name)
        mine = self._cells[cell.place]
        assert mine.identity == cell.identity
        return list(self._attacker.attack(mine, late, controls))


@dataclass
class Pool:
    """Lanes that are there at once, and those that come when one of them is lost."""

    first: Sequence[ThreadLane]
    later: Sequence[ThreadLane] = ()
    wait_seconds: float = 0.0
    came: int = 0

    @property
    def count(self) -> int:
        return len(self.first)

    def newcomers(self, serving: Collection[str]) -> Sequence[ThreadLane]:
        self.came += 1
        if self.came == 1:
            return self.first
        return [] if len(serving) == self.count else [self.later[i] for i in self._next()]

    def _next(self) -> Sequence[int]:
        return [self.came - 2] if self.came - 2 < len(self.later) else []


def targets(*ciphers: str) -> list[Target]:
    return [cipher_target(text, 32) for text in ciphers or CIPHERS]


def setup(**changes: Any) -> Setup:
    facts: dict[str, Any] = {"control_keys": 1, "key_seed": 0} | changes
    return Setup(InventedPool(), SMALL, 0, "compare audit run", **facts)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    made = {name: Counted(name) for name in ("first", "second", "third")}
    monkeypatch.setattr(suite, "load", made.__getitem__)
    return made


def audit(
    folder: Path, names: Sequence[str], lanes: Sequence[ThreadLane] = (), given: Setup | None = None
) -> list[AttackOutcome]:
    folder.mkdir(exist_ok=True)
    with ProgressReporter(quiet=True) as progress:
        pool = Pool(lanes) if lanes else None
        harness = Harness(given or setup(), RunFolder(folder), progress, pool)
        return harness.run(targets(), list(names))


def lanes_of(steps: dict[str, Counted], *dying: int, **changes: Any) -> list[ThreadLane]:
    made = []
    for number, dies_at in enumerate(dying, start=1):
        given = (setup(**changes), targets(), list(steps.values()))
        made.append(ThreadLane(f"lane {number}", *given, dies_at=dies_at))
    return made


def told(outcomes: Sequence[AttackOutcome]) -> list[tuple[Any, ...]]:
    """All but wall time and what AES-CTR draws, whose nonces no seed fixes."""
    return [
        (one.place, one.row, one.target, one.beside, one.identity, one.verdict, one.reproduce)
        + ((one.per_key, one.metric) if one.target != "aes_ctr" else ())
        for one in outcomes
    ]


def test_beside_each_other_gives_the_outcomes_of_one_by_one(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    alone = audit(tmp_path / "alone", steps)
    beside = audit(tmp_path / "beside", steps, lanes_of(steps, 0, 0, 0))
    read = RunFolder(tmp_path / "beside").outcomes()
    assert told(read) == told(RunFolder(tmp_path / "alone").outcomes()) == told(alone)
    assert {one.identity for one in beside} >= {one.identity for one in read}
    controls = [one for one in read if one.target_kind == "control"]
    assert {one.beside for one in controls} == {"vit_block[patch=8]"}
    assert len(controls) == 3 * len(steps)


def test_cells_run_at_the_same_time_and_those_that_share_keep_to_one_lane(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    for step in steps.values():
        step.seconds = 0.05
    lanes = lanes_of(steps, 0, 0, 0)
    audit(tmp_path, steps, lanes)
    assert all(lane.done for lane in lanes)
    done = [cell.place for lane in lanes for cell in lane.done]
    assert sorted(done) == list(range(1, 10))
    for lane in lanes:
        assert [cell.place for cell in lane.done] == sorted(cell.place for cell in lane.done)
    where = {cell.shares: lane.name for lane in lanes for cell in lane.done}
    for lane in lanes:
        assert all(where[cell.shares] == lane.name for cell in lane.done)


def test_what_two_targets_send_alike_is_attacked_once_beside_others_too(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    """Of three targets two are one cipher; a key of the seed gives each the same messages."""
    same = ("vit_block[patch=8]", "np", "vit_block[patch=8,negative_positive=false]")
    lanes = [
        ThreadLane(f"lane {number}", setup(), targets(*same), list(steps.values()))
        for number in range(2)
    ]
    with ProgressReporter(quiet=True) as progress:
        found = Harness(setup(), RunFolder(tmp_path), progress, Pool(lanes)).run(
            targets(*same), ["first"]
        )
    assert len([one for one in found if not one.beside]) == 3
    # Two keys of each of two ciphers; identity, noise and AES-CTR with two beliefs.
    assert sum(steps["first"].met.values()) == 2 * 2 + 3 * 2


def test_a_lane_that_is_lost_leaves_its_cells_to_the_others(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    alone = audit(tmp_path / "alone", steps)
    audit(tmp_path / "beside", steps, lanes_of(steps, 0, 2))
    assert told(RunFolder(tmp_path / "beside").outcomes()) == told(alone)
    lines = (tmp_path / "beside" / "attacks.jsonl").read_text().splitlines()
    written = Counter(AttackOutcome.model_validate_json(line).identity for line in lines)
    assert set(written.values()) == {1}


def test_with_all_lanes_lost_what_was_done_is_kept_and_the_same_command_goes_on(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    alone = audit(tmp_path / "alone", steps)
    with pytest.raises(CellError, match=r"all workers were lost, with \d attacks to go") as caught:
        audit(tmp_path / "beside", steps, lanes_of(steps, 3, 4))
    assert "run the same command again" in caught.value.fix
    kept = RunFolder(tmp_path / "beside").outcomes()
    assert 0 < len(kept) < len(alone)
    audit(tmp_path / "beside", steps)
    assert told(RunFolder(tmp_path / "beside").outcomes()) == told(alone)


def test_what_an_audit_does_beside_is_ended_by_an_error_of_its_own(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    lanes = lanes_of(steps, 0, 0)

    def broken(*_: Any) -> list[Finished]:
        raise RuntimeError("the driver has no threads left")

    lanes[1].attack = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no threads left"):
        audit(tmp_path, steps, lanes)


@pytest.mark.parametrize("error", [CellError("it has other code"), MessageError("no outcomes")])
def test_what_is_wrong_with_one_attack_is_its_outcome_and_opens_nothing_here(
    tmp_path: Path, steps: dict[str, Counted], error: CellError
) -> None:
    lanes = lanes_of(steps, 0, 0)

    def broken(cell: AuditCell, late: str, controls: bool, stop: threading.Event) -> Any:
        if cell.place == 5:
            raise error
        return ThreadLane.attack(lane, cell, late, controls, stop)

    for lane in lanes:
        lane.attack = broken  # type: ignore[method-assign]
    here = targets()
    for target in here:
        target.open_it = lambda: pytest.fail("it was opened in the process that writes")
    with ProgressReporter(quiet=True) as progress:
        found = Harness(setup(), RunFolder(tmp_path), progress, Pool(lanes)).run(here, list(steps))
    wrong = [one for one in found if one.verdict == "not run"]
    assert [(one.place, one.not_run, one.reason) for one in wrong] == [
        (5, NotRun.ERROR, str(error))
    ]
    assert len({one.place for one in found}) == 9


def test_an_attack_that_ends_its_process_is_given_up_after_two_and_the_rest_is_done(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    given = (setup(), targets(), list(steps.values()))
    lanes = [ThreadLane(f"lane {number}", *given, dies_of=1) for number in range(3)]
    found = audit(tmp_path, steps, lanes)
    assert sum(cell.place == 1 for lane in lanes for cell in lane.done) == 2
    assert {one.place: one.not_run for one in found} == {1: NotRun.ERROR} | dict.fromkeys(
        range(2, 10)
    )
    assert found[0].reason == GIVEN_UP
    # It came last: nothing that the second one could do was left undone.
    last = [lane.done[-1].place for lane in lanes if any(c.place == 1 for c in lane.done)]
    assert last == [1, 1]


def test_lanes_that_come_later_take_the_place_of_those_that_are_lost(
    tmp_path: Path, steps: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("he_compare.comparisons.auditing.lanes.LOOK_SECONDS_LANES", 0.02)
    given = (setup(), targets(), list(steps.values()))
    only = ThreadLane("lane 1", *given, dies_of=1)
    later = [ThreadLane("lane 2", *given, dies_of=1), ThreadLane("lane 3", *given)]
    with ProgressReporter(quiet=True) as progress:
        pool = Pool([only], later, wait_seconds=30.0)
        found = Harness(setup(), RunFolder(tmp_path), progress, pool).run(targets(), list(steps))
    assert [one.reason for one in found if one.verdict == "not run"] == [GIVEN_UP]
    assert len({one.place for one in found}) == 9 and len(later[0].done) == 9


def test_an_audit_that_is_stopped_does_not_wait_for_attacks_under_way(
    steps: dict[str, Counted],
) -> None:
    given = (setup(), targets(), list(steps.values()))
    lanes = [ThreadLane("lane 1", *given), ThreadLane("lane 2", *given)]
    waited = []

    def endless(cell: AuditCell, late: str, controls: bool, stop: threading.Event) -> Any:
        waited.append(stop.wait(60))
        raise LaneLostError("the audit was stopped")

    lanes[1].attack = endless  # type: ignore[method-assign]
    cells = cells_of(*given)
    going = attack_beside(
        *(cells, Pool(lanes), lambda: "", lambda cell: True),
        *(lambda cell, reason: pytest.fail(reason), pytest.fail),
    )
    next(going)
    with pytest.raises(KeyboardInterrupt):
        going.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert waited == [True]


def test_cells_that_are_not_begun_in_time_are_not_run(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    steps["first"].seconds = 0.3
    found = audit(tmp_path, steps, lanes_of(steps, 0, 0, seconds=0.2), setup(seconds=0.2))
    late = [one for one in found if one.not_run is not None]
    assert late and all("of the whole audit were used up" in one.reason for one in late)
    assert {one.attack for one in found if one.metric} == {"first"}
    assert len({(one.row, one.target) for one in found if not one.beside}) == 9


def test_a_pipeline_is_attacked_where_its_key_is_and_elsewhere_once_that_is_lost(
    tmp_path: Path, steps: dict[str, Counted]
) -> None:
    def held() -> list[Target]:
        made = targets()
        made[1].family = ""
        return made

    given = (setup(), held(), list(steps.values()))
    holder = ThreadLane("holder", *given, holds=["np"], dies_at=2)
    other = ThreadLane("other", *given)
    (tmp_path / "x").mkdir()
    with ProgressReporter(quiet=True) as progress:
        harness = Harness(setup(), RunFolder(tmp_path / "x"), progress, Pool([holder, other]))
        found = harness.run(held(), list(steps))
    assert len([one for one in found if one.target == "np"]) == 3
    before = [cell for cell in other.done if cell.target.label == "np"]
    assert len(before) + len(holder.done) >= 3
    assert all(cell.place in range(1, 10) for cell in before)


def test_a_lane_begins_with_what_no_other_may_attack(steps: dict[str, Counted]) -> None:
    made = targets()
    made[2].family = ""
    given = (setup(), made, list(steps.values()))
    holder = ThreadLane("holder", *given, holds=[made[2].label])
    other = ThreadLane("other", *given)
    waiting = CellQueue(cells_of(*given))
    for lane in (holder, other):
        waiting.join(lane)
    taken = [waiting.take(holder) for _ in range(4)]
    labels = [cell.target.label for cell in taken if cell is not None]
    assert labels == [made[2].label] * 3 + [made[0].label]
    while (cell := waiting.take(other)) is not None:
        assert cell.target.label != made[2].label


@pytest.mark.parametrize("name", ["records.jsonl", "../x", "attacks/../../x", "/etc/x", "attacks"])
def test_a_file_that_a_lane_names_outside_its_place_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(IntegrityError):
        artefacts.keep_files(RunFolder(tmp_path / "run"), {"attacks/a/b": b"1", name: b"2"})
    assert not list(tmp_path.rglob("*"))

"""Auditing what has no server: no attack applies, nothing is opened, and it is no pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from he_compare.common import plugins
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import NoServerError
from he_compare.common.run.severity import NOTHING_TO_ATTACK, WORDS, gravest
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.auditing import matrix, suite
from he_compare.comparisons.auditing.audit import exit_code
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import Target, cipher_target, pipeline_target
from he_compare.comparisons.measuring.pipeline_spec import parse_spec
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool

SMALL = AttackBudget("small", 2, 6, 3, 4, 20, 40, 12, 20.0)


def local() -> Target:
    def open_it() -> Any:
        raise AssertionError("what has no server was fitted to be attacked")

    pipeline = plugins.load("pipelines", "local")
    return pipeline_target(parse_spec("local"), pipeline, pipeline.parameters(), 32, open_it)


def audit(folder: Path, names: list[str], *others: Target, **changes: Any) -> list[Any]:
    setup = Setup(InventedPool(), SMALL, 0, "compare audit run", control_keys=1, **changes)
    with ProgressReporter(quiet=True) as progress:
        return Harness(setup, RunFolder(folder), progress).run([local(), *others], names)


@pytest.mark.parametrize("seconds", [None, 0.0], ids=["in time", "too late"])
def test_every_attack_and_check_says_that_there_is_nothing_to_attack(
    tmp_path: Path, seconds: float | None
) -> None:
    outcomes = audit(tmp_path, suite.names(), seconds=seconds)
    assert {one.attack for one in outcomes} >= set(plugins.discover("attacks"))
    assert {one.attack for one in outcomes} >= set(plugins.discover("checks"))
    assert {(one.verdict, one.reason) for one in outcomes} == {
        ("not applicable", NOTHING_TO_ATTACK)
    }
    assert {(one.messages, one.scheme, one.advantage) for one in outcomes} == {("", "", None)}
    assert all("nothing leaves the hospital" in one.claim for one in outcomes)
    assert exit_code(outcomes) == 0
    # It is done: nothing is tried again, and no attack is on its list of resisted ones.
    again = audit(tmp_path, suite.names(), seconds=seconds)
    assert [one.identity for one in again] == [one.identity for one in outcomes]
    worst = gravest(outcomes)
    assert worst is not None and worst.verdict == "not applicable"
    told = matrix.render(outcomes)
    assert WORDS["not applicable"].mark in told
    assert "strongest attack" in told and told.splitlines()[0].strip() == "local"
    assert f"local: {NOTHING_TO_ATTACK}; neither a pass nor a verdict." in told
    assert not any(word in line for line in told.splitlines()[1:-1] for word in ("BROKEN", "1.00"))


def test_it_does_not_keep_others_from_being_attacked(tmp_path: Path) -> None:
    outcomes = audit(tmp_path, ["unaltered"], cipher_target("identity", 32))
    by_target = {one.target: one.verdict for one in outcomes if one.target_kind != "control"}
    assert by_target == {"local": "not applicable"}
    assert {one.target: one.verdict for one in outcomes}["identity"] == "broken"


def test_opening_it_is_refused() -> None:
    target = local()
    with pytest.raises(NoServerError, match=NOTHING_TO_ATTACK):
        _ = target.opened
    assert (target.scheme_name(), target.message_source(), target.limits()) == ("", "", [])

"""One attack on one cipher over invented pictures, under the real harness."""

from __future__ import annotations

from pathlib import Path

from he_compare.common.audit_budget import AttackBudget
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import Target, cipher_target
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool

SMALL = AttackBudget("small", 2, 8, 3, 8, 20, 60, 24, 20.0)


def outcome(
    folder: Path, attack: str, cipher: str, size: int = 32, budget: AttackBudget = SMALL
) -> AttackOutcome:
    """Return what the attack gets from the cipher, for images of ``size`` pixels."""
    return outcome_on(folder, attack, cipher_target(cipher, size), budget)


def outcome_on(
    folder: Path, attack: str, target: Target, budget: AttackBudget = SMALL
) -> AttackOutcome:
    """Return what the attack gets from a target."""
    folder.mkdir(exist_ok=True)
    # Few pictures and keys: fresh keys of the operating system would make a test fail now and then.
    setup = Setup(InventedPool(), budget, 0, "compare audit run", control_keys=1, key_seed=0)
    with ProgressReporter(quiet=True) as progress:
        harness = Harness(setup, RunFolder(folder), progress)
        return harness.run([target], [attack])[0]


def detail(found: AttackOutcome, name: str) -> float:
    """Return the value of one detail of the outcome."""
    value = next(one.value for one in found.details if one.name == name)
    assert value is not None
    return value

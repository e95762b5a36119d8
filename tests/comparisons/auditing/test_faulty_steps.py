"""A faulty attack or check is one cell that was not run, with its name and what was expected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack, AuditStep, Check, CheckFinding
from he_compare.common.attack_score import AttackMetric, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Knowledge, NotRun
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.audit_request import AuditRequest
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.standalone import cipher_targets
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool
from tests.support.distributions import write_distribution

ALL_CIPHERS = AuditRequest(
    dataset="folder",
    data_dir=None,
    ciphers=(),
    pipelines=(),
    attacks=(),
    budget="quick",
    seed=0,
    image_size=32,
    subset="",
    test_limit=None,
    out=None,
    offline=True,
    require_real=False,
    quiet=True,
)
SMALL = AttackBudget("small", 2, 6, 3, 4, 20, 40, 12, 20.0)


def images_seen(guess: Any, truth: Truth) -> float:
    """Return the share of images of which most pixels are right: no key gives that by luck."""
    return float(
        np.mean([np.mean(a == b) > 0.5 for a, b in zip(guess, truth.originals, strict=True)])
    )


def attack(**changes: Any) -> Attack:
    """Return an attack that works, but for the changed attributes."""
    facts: dict[str, Any] = {
        "name": "sound",
        "title": "Sound",
        "rung": Knowledge.CIPHERTEXT_ONLY,
        "metric": AttackMetric("share seen", best=1.0),
        "reads_pictures": False,
        "run": lambda self, view, budget, random: view.ciphertexts,
        "score": lambda self, guess, truth: Score(images_seen(guess, truth)),
    }
    made = type("Made", (Attack,), facts | {"__module__": __name__} | changes)()
    for name in [name for name, value in changes.items() if value is ...]:
        delattr(type(made), name)
    return made


def check(answer: Any) -> Check:
    facts: dict[str, Any] = {
        "name": "faulty",
        "title": "Faulty",
        "rung": Knowledge.ACTIVE,
        "examine": lambda self, inspected, budget, random: answer,
    }
    return type("Made", (Check,), facts | {"__module__": __name__})()


def ends(_: Any, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
    raise SystemExit(7)


def applies(_: Any, facts: Any) -> str:
    raise KeyError("blocks")


def nothing(_: Any, guess: Any, truth: Truth) -> Any:
    return Score(float("nan"))


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (attack(name="faulty", score=nothing), "gave nan, expected a Score with a finite number"),
        (attack(name="faulty", score=lambda *_: 0.5), "gave 0.5, expected a Score"),
        (attack(name="faulty", score=lambda *_: Score(1.0, details=[3])), "AttributeError"),
        (attack(name="faulty", score=lambda *_: Score(1.0, pictures=[3])), "AttributeError"),
        (attack(name="faulty", metric=...), "metric of 'faulty' gave None, expected an Attack"),
        (attack(name="faulty", title=...), "title of 'faulty' gave None, expected a string"),
        (attack(name="faulty", rung="weak"), "gave 'weak', expected a member of Knowledge"),
        (attack(name="faulty", needs={"labels"}), "gave 'labels', expected members of Need"),
        (attack(name="faulty", applies=applies), "KeyError: 'blocks'"),
        (attack(name="faulty", run=ends), "SystemExit: 7"),
        (attack(name="faulty", limits=5), "TypeError"),
        (check(None), "examine of 'faulty' gave None, expected a CheckFinding"),
        (check(CheckFinding("fine", "x")), "gave 'fine', expected a CheckFinding with a verdict"),  # type: ignore[arg-type]
        (check(CheckFinding("broken", 5)), "ValidationError"),  # type: ignore[arg-type]
        (check(CheckFinding("broken", "x", artefacts={"a": 5})), "TypeError"),  # type: ignore[dict-item]
        (check(CheckFinding("broken", "x", artefacts={"../a": b"5"})), "outside the folder of its"),
    ],
)
def test_a_faulty_step_is_one_cell_that_was_not_run(
    faulty: AuditStep, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: dict[str, AuditStep] = {"faulty": faulty, "sound": attack()}
    monkeypatch.setattr(suite, "load", steps.__getitem__)
    setup = Setup(InventedPool(), SMALL, 0, "compare audit run", control_keys=1)
    with ProgressReporter(quiet=True) as progress:
        harness = Harness(setup, RunFolder(tmp_path), progress)
        found = harness.run([cipher_target("vit_block[patch=8]", 32)], list(steps))
    bad, good, *_ = found
    assert (bad.attack, bad.verdict, bad.not_run) == ("faulty", "not run", NotRun.ERROR)
    assert "'faulty'" in bad.reason and reason in bad.reason
    assert good.attack == "sound" and good.verdict == "resists within budget"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("CIPHER = Mine\n", "assign an instance: CIPHER = Mine()"),
        ("Mine.parameters = 5\nCIPHER = Mine()\n", "AttributeError"),
        ("Mine.describe = Mine.traits = None\nCIPHER = Mine()\n", "Error"),
    ],
)
def test_a_faulty_cipher_is_a_column_that_was_not_run(
    body: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from he_compare.block_scramble.ciphers.vit_block import VitBlock\n"
        "class Mine(VitBlock):\n    name = 'mine'\n"
    )
    modules = {"faulty_cipher": source + body}
    site = write_distribution(
        tmp_path / "site", "theirs", {"ciphers/mine": "faulty_cipher"}, modules
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "faulty_cipher", raising=False)
    plugins.survey.cache_clear()
    try:
        targets = [one for one in cipher_targets(ALL_CIPHERS) if one.label in ("mine", "vit_block")]
        monkeypatch.setattr(suite, "load", {"sound": attack()}.__getitem__)
        setup = Setup(InventedPool(), SMALL, 0, "compare audit run", control_keys=1)
        with ProgressReporter(quiet=True) as progress:
            found = Harness(setup, RunFolder(tmp_path), progress).run(targets, ["sound"])
    finally:
        plugins.survey.cache_clear()
    bad, good, *_ = found
    assert (bad.target, bad.verdict) == ("mine", "not run")
    assert reason in bad.reason
    assert (good.target, good.verdict) == ("vit_block", "resists within budget")

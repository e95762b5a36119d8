"""Moment matching: what it shows of synthetic radiographs, and where it says that it cannot try."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from he_compare.common.attack_requirements import BLOCKS, ONE_KEY
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import ImageBatch
from he_compare.comparisons.attacks.moment_matching import ATTACK
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.progress import ProgressReporter

BUDGET = AttackBudget("small", 2, 60, 3, 8, 120, 60, 24, 60.0)


class Radiographs:
    """A pool of synthetic radiographs: attacked ones of one seed, public ones of another."""

    fingerprint = "synthetic"
    classes = ("NORMAL", "PNEUMONIA")

    def attacked(self, size: int) -> ImageBatch:
        return self._drawn(size, 1)

    def auxiliary(self, size: int) -> ImageBatch:
        return self._drawn(size, 2)

    def _drawn(self, size: int, seed: int) -> ImageBatch:
        drawn = sample(120, seed, size)
        return ImageBatch(drawn.ids, drawn.images, drawn.labels, drawn.groups)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AttackOutcome]:
    folder = tmp_path_factory.mktemp("moments")
    setup = Setup(Radiographs(), BUDGET, 0, "compare audit run", control_keys=1)
    ciphers = ("vit_block", "orthogonal", "madono_ele")
    with ProgressReporter(quiet=True) as progress:
        harness = Harness(setup, RunFolder(folder), progress)
        targets = [cipher_target(cipher, 64) for cipher in ciphers]
        found = harness.run(targets, [ATTACK.name])
    return {one.target: one for one in found}


@pytest.mark.parametrize("cipher", ["vit_block", "orthogonal"])
def test_one_key_for_all_blocks_gives_pictures(
    outcomes: dict[str, AttackOutcome], cipher: str
) -> None:
    found = outcomes[cipher]
    assert found.metric is not None and found.metric.value > 0.5
    assert found.verdict in ("broken", "partial"), found.reason
    assert found.controls["noise"] < 0.2 and found.controls["aes_ctr"] < 0.2


def test_a_key_for_every_block_resists(outcomes: dict[str, AttackOutcome]) -> None:
    found = outcomes["madono_ele"]
    assert found.verdict == "resists within budget"
    assert found.metric is not None and found.metric.value < 0.2


def test_what_has_no_common_blocks_is_not_applicable() -> None:
    facts = cipher_target("vit_block", 64).facts
    assert facts is not None and ATTACK.obstacle(facts) is None
    assert ATTACK.obstacle(replace(facts, patch=None)) == (BLOCKS.obstacle, False)
    assert ATTACK.obstacle(replace(facts, one_key=False)) == (ONE_KEY.obstacle, False)
    narrow = ATTACK.obstacle(replace(facts, shape=(64, 48, 3)))
    assert narrow is not None and "square" in narrow.reason and not narrow.by_construction


def test_too_few_ciphertexts_show_nothing_and_say_so() -> None:
    few: Any = SimpleNamespace(
        facts=cipher_target("vit_block", 64).facts,
        ciphertexts=np.zeros((3, 64, 64, 3), np.uint8),
        auxiliary=sample(30, 2, 64).images,
    )
    guess = ATTACK.run(few, replace(BUDGET, images=3), np.random.default_rng(0))
    assert guess.alignment is None and not guess.pictures.any()

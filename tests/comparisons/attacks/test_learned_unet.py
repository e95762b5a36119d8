"""Learned inversion by a network: what it wins from pairs, from other keys, and not from noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.audit_budget import BUDGETS, AttackBudget
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import NotRun
from he_compare.comparisons.attacks import learned_unet, learned_unet_other_keys
from he_compare.comparisons.attacks.tools.planes import (
    constant_planes,
    halves_of,
    planes_of,
    rearranged,
)
from he_compare.comparisons.attacks.tools.unet import train
from he_compare.comparisons.auditing import matrix
from he_compare.comparisons.auditing.audit import exit_code
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.auditing.verdicts import large_enough, too_small
from he_compare.comparisons.progress import ProgressReporter
from tests.support import oneattack
from tests.support.attackpool import InventedPool
from tests.support.smoothimages import smooth_images

SMALL = AttackBudget("small", 2, 8, 3, 32, 60, 60, 24, 60.0)


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_unet.LearnedUNet, "steps", 30)
    monkeypatch.setattr(learned_unet_other_keys.LearnedUNetOtherKeys, "steps", 60)


def outcome(folder: Path, attack: str, cipher: str, budget: AttackBudget = SMALL) -> AttackOutcome:
    return oneattack.outcome(folder, attack, cipher, budget=budget)


def test_pairs_under_the_key_invert_a_cipher_on_halves_that_no_map_of_bytes_does(
    tmp_path: Path,
) -> None:
    network = outcome(tmp_path / "a", "learned_unet", "tanaka_le")
    assert network.advantage is not None and network.advantage > 0.9, network.headline
    assert network.controls["identity"] > 0.95
    assert abs(network.controls["aes_ctr"] - network.controls["noise"]) < 0.1
    names = {detail.name for detail in network.details}
    assert {"PSNR", "gradient similarity", "recogniser right on the reconstruction"} <= names
    assert network.spent["pairs"] == 32 and network.spent["training steps"] == 30
    linear = outcome(tmp_path / "b", "learned_linear", "tanaka_le")
    assert linear.advantage is not None and linear.advantage < network.advantage - 0.15


def test_pairs_under_other_keys_are_enough_where_blocks_stay_in_place(tmp_path: Path) -> None:
    stays = outcome(tmp_path / "a", "learned_unet_other_keys", "np")
    assert stays.advantage is not None and stays.advantage > 0.3, stays.headline
    assert stays.spent["own keys"] == 60
    moves = outcome(tmp_path / "b", "learned_unet_other_keys", "vit_block[patch=8]")
    assert moves.advantage is not None and moves.advantage < stays.advantage


def test_a_budget_too_small_is_said_and_no_pass(tmp_path: Path) -> None:
    found = outcome(tmp_path, "learned_unet", "np", replace(SMALL, name="quick", seconds=20.0))
    assert found.verdict == "not run" and found.advantage is None
    assert found.reason == (
        "the budget is too small: it needs 60 s per key, the quick budget has 20; run it with "
        "--budget full"
    )
    assert found.not_run is NotRun.BUDGET
    assert found.reason in matrix.render([found])
    assert exit_code([found]) == 0
    assert exit_code([found], ["learned_unet"]) == 3
    crashed = found.model_copy(update={"not_run": NotRun.ERROR})
    assert exit_code([crashed]) == 3


def test_only_the_full_budget_carries_the_networks() -> None:
    for name in ("learned_unet", "learned_unet_other_keys"):
        attack = plugins.load("attacks", name)
        assert "it needs 60 s per key" in too_small(attack, BUDGETS["quick"])
        assert too_small(attack, BUDGETS["full"]) == ""
        assert large_enough(attack, BUDGETS["quick"]) == "full"


def test_what_no_budget_carries_is_left_with_the_budget_asked_for() -> None:
    class Endless(learned_unet.LearnedUNet):
        least_seconds, least_images = 1e9, 21

    endless = Endless()
    assert large_enough(endless, BUDGETS["quick"]) == "quick"
    assert too_small(endless, BUDGETS["quick"]) == (
        "the budget is too small: it needs 1e+09 s per key, the quick budget has 20, and it needs "
        "21 ciphertexts per key, the quick budget has 20"
    )


def test_the_command_that_repeats_an_attack_left_out_asks_for_what_carries_it(
    tmp_path: Path,
) -> None:
    setup = Setup(InventedPool(), BUDGETS["quick"], 0, "compare audit run --budget quick")
    with ProgressReporter(quiet=True) as progress:
        harness = Harness(setup, RunFolder(tmp_path), progress)
        found = harness.run([cipher_target("np", 32)], ["learned_unet", "key_space"])
    commands = {one.attack: one.reproduce for one in found}
    assert commands["learned_unet"].startswith("compare audit run --budget full --attack")
    assert commands["key_space"].startswith("compare audit run --budget quick --attack")


def test_blocks_are_laid_where_they_came_from() -> None:
    images = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    order = np.array([3, 0, 5, 1, 2, 4])
    moved = rearranged(images, order, 2)
    assert np.array_equal(moved[:, :2, :2], images[:, 2:, :2])
    assert np.array_equal(rearranged(moved, np.argsort(order), 2), images)


def test_planes_keep_what_negation_and_moves_inside_blocks_leave() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    plain, negated = planes_of(images, 4), planes_of(255 - images, 4)
    assert plain.shape == negated.shape and plain.shape[2:] == (8, 8)
    assert np.array_equal(plain[:, 1:4], negated[:, 1:4])
    shuffled = rearranged(images.swapaxes(1, 2), np.array([0, 2, 1, 3]), 4)
    assert np.allclose(plain[:, 4:], planes_of(shuffled, 4)[:, 4:], atol=1e-6)
    halves = halves_of(np.array([[0x12, 0xF0]], dtype=np.float64), of_bytes=True)
    assert np.allclose(halves * 15, [[2, 0, 1, 15]])


def test_training_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    import torch

    plain = smooth_images(12, 32).repeat(3, axis=3)
    planes = np.concatenate([planes_of(plain, 8), constant_planes(plain, 12)], axis=1)
    held = np.arange(3)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (
        train(planes, plain, held, 5, 60.0, np.random.default_rng(1)).pictures(planes)
        for _ in range(2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(first, second)
    stopped = train(planes, plain, held, 5, 0.0, np.random.default_rng(1))
    assert stopped.steps == 0 and stopped.kept_step == 0

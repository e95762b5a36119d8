"""Steps of the learned attacks make their tensors on the device that the budget names.

There is no GPU here: the device is torch's ``meta`` (see ``support.device_watch``).
``learned_linear`` computes with NumPy alone, on the CPU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from he_compare.common.audit_budget import AttackBudget
from he_compare.comparisons.attacks.learned_unet import ATTACK
from he_compare.comparisons.attacks.tools import ordering, unet
from he_compare.comparisons.attacks.tools.learned_inversion import LearnedInversion
from he_compare.fhe_baseline.checks.tools import picture_decoder
from tests.support.device_watch import WATCHED, begun_unwatched, only_on_the_device

SIDE = 32


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def plain(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (20, SIDE, SIDE, 1), dtype=np.uint8)


@pytest.fixture
def planes(random: np.random.Generator) -> np.ndarray:
    return random.normal(size=(20, 3, SIDE, SIDE)).astype(np.float32)


def test_the_unet_is_learnt_and_applied_on_the_device(
    planes: np.ndarray,
    plain: np.ndarray,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun_unwatched(monkeypatch, unet, "UNet")
    with only_on_the_device():
        trained = unet.train(planes, plain, np.arange(4), 3, 1e9, random, WATCHED)
        assert trained.pictures(planes).shape == (20, SIDE, SIDE, 1)
    assert trained.steps == 3


def test_the_orderer_is_learnt_and_applied_on_the_device(
    plain: np.ndarray, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_unwatched(monkeypatch, ordering, "Orderer")
    with only_on_the_device():
        learnt = ordering.learn_ordering(
            plain, 8, turned=True, seconds=1e9, random=random, steps=3, device=WATCHED
        )
        blocks = random.integers(0, 256, (2, 16, 8, 8), dtype=np.uint8)
        assert learnt.log_likelihood(blocks).shape == (16, 16)
    assert learnt.steps == 3


def test_the_decoder_of_features_is_learnt_and_applied_on_the_device(
    plain: np.ndarray, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_unwatched(monkeypatch, picture_decoder, "Upsampler")
    features = random.normal(size=(20, 12))
    with only_on_the_device():
        decoder = picture_decoder.learn_convolutional(
            features, plain[..., 0], 1e9, 3, random, WATCHED
        )
        assert decoder(features).shape == (20, SIDE, SIDE)


def test_the_watch_finds_one_tensor_that_is_made_on_the_cpu(
    planes: np.ndarray,
    plain: np.ndarray,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun_unwatched(monkeypatch, unet, "UNet")

    def normalised_on_the_cpu(values: np.ndarray, network: torch.nn.Module) -> torch.Tensor:
        return (torch.from_numpy(values) * 1.0).to(WATCHED)

    monkeypatch.setattr(unet, "_on", normalised_on_the_cpu)
    with pytest.raises(AssertionError, match="made off the device"), only_on_the_device():
        unet.train(planes, plain, np.arange(4), 2, 1e9, random, WATCHED)


def test_an_attack_hands_on_the_device_of_its_budget(
    planes: np.ndarray,
    plain: np.ndarray,
    random: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = AttackBudget("small", 2, 8, 3, 8, 20, 60, 8, 600.0, device=WATCHED)
    begun_unwatched(monkeypatch, unet, "UNet")
    monkeypatch.setattr(LearnedInversion, "steps", 2)
    with only_on_the_device():
        trained = ATTACK.trained(planes, plain, np.arange(4), budget, random)
    assert next(trained.network.parameters()).device.type == WATCHED


def test_full_memory_halves_the_pictures_and_learns_the_same(
    planes: np.ndarray,
    plain: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def learnt() -> unet.Trained:
        return unet.train(planes, plain, np.arange(4), 2, 1e9, np.random.default_rng(3))

    whole = learnt()
    compute = unet.UNet.forward

    def forward(network: unet.UNet, some: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and len(some) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return compute(network, some)

    monkeypatch.setattr(unet.UNet, "forward", forward)
    halved = learnt()
    assert (whole.at_once, halved.at_once) == (None, 2)
    assert halved.steps == whole.steps == 2


def test_only_a_gpu_is_a_part_of_the_record_of_a_budget() -> None:
    budget = AttackBudget("small", 2, 8, 3, 8, 20, 60, 8, 600.0)
    assert "device" not in budget.as_record()
    assert replace(budget, device="cuda:0").as_record()["device"].startswith("cuda")

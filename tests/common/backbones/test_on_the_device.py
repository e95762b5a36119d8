"""Features, training steps and validation make their tensors on the device of the network.

There is no GPU here: the device is torch's ``meta`` (see ``support.device_watch``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from he_compare.common.backbones import deit, finetune
from he_compare.common.backbones.convnet import build_convnet
from he_compare.common.backbones.deit import build_vit, pixel_statistics, predict_logits
from he_compare.common.backbones.device import moved
from he_compare.common.backbones.features import FeatureExtractor, cached_features
from he_compare.common.backbones.finetune import Budget, VitTrainer
from he_compare.common.types import ImageBatch, Split, UInt8Array
from tests.support.device_watch import WATCHED, only_on_the_device
from tests.support.runcontext import MemoryArtefacts, run_context

BACKBONE = "deit_tiny_distilled_patch16_224"
SIDE = 32


@pytest.fixture(scope="module")
def images() -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(12) % 2


def vit() -> torch.nn.Module:
    return build_vit(BACKBONE, image_size=SIDE, classes=2, weights="untrained", seed=0)


def convnet() -> torch.nn.Module:
    return build_convnet(classes=2, weights="untrained", seed=0)


def trainer(model: torch.nn.Module, images: UInt8Array, labels: Any) -> VitTrainer:
    """Return a trainer of a model on the watched device."""
    budget = Budget(epochs=1, batch_size=4, learning_rate=1e-3, seed=0)
    made = VitTrainer(moved(model, WATCHED), *pixel_statistics(BACKBONE), budget, flip=True)
    made.add(Split.TRAIN, images, labels)
    made.add(Split.VAL, images, labels)
    return made


@pytest.mark.parametrize(
    "network", [vit, lambda: build_convnet(classes=2, weights="untrained", seed=0)]
)
def test_an_epoch_and_its_validation_stay_on_the_device(
    network: Any, images: UInt8Array, labels: Any
) -> None:
    made = trainer(network(), images, labels)
    with only_on_the_device():
        made.run_epoch()
    assert len(made.history) == 1 and made.best_state()


def test_a_step_in_parts_stays_on_the_device(images: UInt8Array, labels: Any) -> None:
    made = trainer(vit(), images, labels)
    made.at_once = 3
    with only_on_the_device():
        made.run_epoch()
    assert made.device_facts["images_at_once"] == 3


def test_logits_are_computed_on_the_device(images: UInt8Array) -> None:
    model = moved(vit(), WATCHED)
    with only_on_the_device():
        assert predict_logits(model, images, *pixel_statistics(BACKBONE), 5).shape == (12, 2)


def test_features_for_fitting_are_made_on_the_device_that_trains(
    tmp_path: Path, images: UInt8Array, labels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch begins when the network is there; the network then goes back to the CPU."""
    context = run_context(tmp_path, MemoryArtefacts(), device=WATCHED)
    extractor = FeatureExtractor(BACKBONE, SIDE, "untrained", 0)
    used: list[torch.device] = []

    def noted(model: torch.nn.Module, *rest: Any) -> Any:
        used.append(next(model.parameters()).device)
        with only_on_the_device():
            return predict_logits(model, *rest)

    from he_compare.common.backbones import features

    monkeypatch.setattr(features, "predict_logits", noted)
    # Weights do not come back from a device without numbers.
    monkeypatch.setattr(features, "moved", lambda model, name: model.to_empty(device=name))
    batch = ImageBatch(tuple(map(str, range(12))), images, labels, tuple(map(str, range(12))))
    found = cached_features(batch, context, extractor)
    assert found.shape == (12, extractor.width)
    assert {device.type for device in used} == {WATCHED}


def a_mean_on_the_cpu(images: Any, mean: Any, std: Any, device: Any = "cpu") -> torch.Tensor:
    scaled = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
    shift = torch.from_numpy(mean).view(1, 3, 1, 1)
    return (scaled - shift).to(device)


def a_mixture_of_devices(images: Any, mean: Any, std: Any, device: Any = "cpu") -> torch.Tensor:
    there = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return there.permute(0, 3, 1, 2).float() - torch.from_numpy(mean).view(1, 3, 1, 1)


@pytest.mark.parametrize("module", [deit, finetune])
@pytest.mark.parametrize("mistake", [a_mean_on_the_cpu, a_mixture_of_devices])
def test_the_watch_finds_one_tensor_that_is_made_on_the_cpu(
    module: Any,
    mistake: Any,
    images: UInt8Array,
    labels: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = trainer(vit(), images, labels)
    monkeypatch.setattr(module, "to_input", mistake)
    with pytest.raises((AssertionError, RuntimeError), match="device"), only_on_the_device():
        made.run_epoch()

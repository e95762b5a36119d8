"""What a GPU computes against what the CPU computes; skipped where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from he_compare.common.backbones.deit import build_vit, pixel_statistics, predict_logits
from he_compare.common.backbones.device import moved
from he_compare.common.backbones.finetune import Budget, VitTrainer
from he_compare.common.types import Split, UInt8Array

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
BACKBONE = "deit_tiny_distilled_patch16_224"
SIDE = 64
STATISTICS = pixel_statistics(BACKBONE)


@pytest.fixture(scope="module")
def images() -> UInt8Array:
    """Dark pictures and bright ones, by turns, with noise."""
    random = np.random.default_rng(0)
    level = np.where(np.arange(64) % 2, 140, 90)[:, None, None, None]
    return np.clip(random.normal(level, 40, (64, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def network(device: str) -> torch.nn.Module:
    model = build_vit(BACKBONE, image_size=SIDE, classes=2, weights="untrained", seed=0)
    return moved(model, device)


def test_logits_are_those_of_the_cpu_up_to_the_order_of_sums(images: UInt8Array) -> None:
    """All is float32 with TF32 off: sums of some thousand products in another order, twelve layers
    deep, leave about 1e-5 of the largest logit; TF32 would leave 1e-3."""
    processor = predict_logits(network("cpu"), images, *STATISTICS)
    gpu = predict_logits(network("cuda:0"), images, *STATISTICS)
    assert np.abs(processor - gpu).max() <= 1e-4 * max(1.0, np.abs(processor).max())


def test_mixed_precision_trains_to_like_predictions(images: UInt8Array) -> None:
    """Steps in bfloat16 (8 bits of mantissa) or float16 part from the CPU's, so that weights are
    others; on pictures that are easy to tell apart the classes are the same for nearly all."""
    labels = np.arange(64) % 2
    found = []
    for device in ("cpu", "cuda:0"):
        trainer = VitTrainer(network(device), *STATISTICS, Budget(4, 8, 3e-4, 0), flip=True)
        trainer.add(Split.TRAIN, images, labels)
        trainer.add(Split.VAL, images, labels)
        while not trainer.finished:
            trainer.run_epoch()
        assert np.isfinite(trainer.history[-1]["val_loss"])
        found.append(predict_logits(trainer.model, images, *STATISTICS).argmax(axis=1))
    assert (found[0] == found[1]).mean() >= 0.95

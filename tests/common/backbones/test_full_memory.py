"""Where the device's memory is full, training goes on in parts and is the same plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from he_compare.common.backbones import finetune, precision
from he_compare.common.backbones.convnet import build_convnet
from he_compare.common.backbones.deit import pixel_statistics
from he_compare.common.backbones.device import Device
from he_compare.common.backbones.finetune import Budget, VitTrainer, note_memory
from he_compare.common.errors import CellError
from he_compare.common.types import IntArray, Split, UInt8Array
from tests.support.runcontext import MemoryArtefacts, run_context

STATISTICS = pixel_statistics("deit_tiny_distilled_patch16_224")
BATCH = 8


class Small(torch.nn.Module):
    """A network whose device holds ``most`` images at once; ``given``: numbers of images."""

    num_classes = 3

    def __init__(self, most: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(48, 3, generator=generator) / 7)
        self.most = most
        self.given: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.given.append(len(images))
        if len(images) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return images.flatten(1) @ self.weight


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16, which a CPU may train in, sums of parts differ from the whole in rounding."""
    for module in (precision, finetune):
        monkeypatch.setattr(module, "described", lambda name: Device(name, "Some CPU", 1 << 33))


@pytest.fixture(scope="module")
def images() -> UInt8Array:
    return np.random.default_rng(1).integers(0, 256, (21, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels() -> IntArray:
    """Classes of unequal sizes, so that their weights matter."""
    return np.array([0] * 12 + [1] * 6 + [2] * 3)


def trained(model: torch.nn.Module, images: UInt8Array, labels: IntArray) -> VitTrainer:
    made = VitTrainer(model, *STATISTICS, Budget(2, BATCH, 1e-2, 0), flip=True)
    made.add(Split.TRAIN, images, labels)
    made.add(Split.VAL, images[::2], labels[::2])
    while not made.finished:
        made.run_epoch()
    return made


def test_gradients_of_parts_add_up_to_those_of_the_batch(
    images: UInt8Array, labels: IntArray
) -> None:
    whole, narrow = Small(100), Small(3)
    at_once = trained(whole, images, labels)
    in_parts = trained(narrow, images, labels)
    torch.testing.assert_close(narrow.weight, whole.weight, rtol=1e-5, atol=1e-6)
    for one, other in zip(at_once.history, in_parts.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-5)
    # The first batch is tried whole and in halves; from then on no more than two at a time.
    assert narrow.given[:6] == [8, 4, 2, 2, 2, 2]
    assert max(narrow.given[6:11]) == 2


def test_what_was_used_is_a_fact_of_the_training(images: UInt8Array, labels: IntArray) -> None:
    assert trained(Small(100), images, labels).device_facts == {}
    facts = trained(Small(3), images, labels).device_facts
    assert facts == {"images_at_once": 2, "batch_size": BATCH}


def test_a_record_is_warned_once_with_both_numbers(tmp_path: Path) -> None:
    context = run_context(tmp_path, MemoryArtefacts())
    for _ in range(2):
        note_memory(context, {"images_at_once": 2, "batch_size": 8})
    (warning,) = context.warnings
    assert "took 2 images at once instead of 8" in warning
    assert "added up to those of 8 images" in warning and "normalisation" not in warning
    note_memory(context, {})
    assert len(context.warnings) == 1


def test_that_batch_normalisation_sees_fewer_images_is_said(
    tmp_path: Path, labels: IntArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statistics are those of the part, so that the training is another one: never of one."""
    model = build_convnet(classes=3, weights="untrained", seed=0)
    sizes: list[int] = []
    compute = model.forward

    def forward(images: torch.Tensor) -> torch.Tensor:
        if model.training:
            sizes.append(len(images))
            if len(images) > 3:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return compute(images)

    monkeypatch.setattr(model, "forward", forward)
    pixels = np.random.default_rng(2).integers(0, 256, (21, 32, 32, 3), dtype=np.uint8)
    facts = trained(model, pixels, labels).device_facts
    assert facts["normalised_over"] == facts["images_at_once"] == 2
    # 21 images in batches of 8 leave one of 5, which is cut into parts of 3 and 2.
    assert set(sizes) == {8, 4, 2, 3}
    context = run_context(tmp_path, MemoryArtefacts())
    note_memory(context, facts)
    assert "batch normalisation took its statistics from 2" in context.warnings[0]


def test_a_batch_of_one_small_image_has_no_statistics(labels: IntArray) -> None:
    """17 images in batches of 8 leave one; at 32 pixels the last layer has one value of it."""
    model = build_convnet(classes=3, weights="untrained", seed=0)
    pixels = np.random.default_rng(2).integers(0, 256, (17, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(CellError, match=r"batch of 1 image of 32 x 32 pixels.*batch_size"):
        trained(model, pixels, labels[:17])


def test_a_device_that_does_not_hold_one_image_fails_the_cell(
    images: UInt8Array, labels: IntArray
) -> None:
    with pytest.raises(CellError, match=r"does not hold 1 image.*--device cpu"):
        trained(Small(0), images, labels)


def test_another_device_is_another_artefact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU trained is not taken for what the CPU trained."""
    inputs: list[dict[str, Any]] = []

    class Keys(MemoryArtefacts):
        def get_or_make(self, kind: str, inputs_: Any, make: Any) -> bytes:
            inputs.append(dict(inputs_))
            raise CellError("keyed")

    from types import SimpleNamespace

    monkeypatch.setattr(finetune, "build_vit", lambda *_, **__: Small(9))
    data = SimpleNamespace(classes=("a", "b"), fingerprint="f")
    for device in ("cpu", "cuda:0"):
        context = run_context(Path(), Keys(), device=device)
        with pytest.raises(CellError, match="keyed"):
            finetune.fine_tuned_vit(data, context)  # type: ignore[arg-type]
    first, second = inputs
    assert first.pop("device") != second.pop("device")
    assert first == second

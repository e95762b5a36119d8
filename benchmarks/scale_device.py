"""Features and training on the CPU and on every GPU found: images per second, predictions beside.

``python -m benchmarks.scale_device [--quick] --json FILE``. Made-up images of 112 px, the shipped
architecture with random weights. On each device the first pass is left out. Predictions are
compared with those of the CPU: the largest difference of a logit, and the share of equal classes
after a training of its own. Without a GPU only the rows of the CPU are there.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.deit import build_vit, pixel_statistics, predict_logits
from he_compare.common.backbones.device import CPU, Device, devices, moved
from he_compare.common.backbones.finetune import Budget, VitTrainer
from he_compare.common.environment import usable_cores
from he_compare.common.types import Split

NAME = "deit_tiny_distilled_patch16_224"
SIZE, BATCH = 112, 32
STATISTICS = pixel_statistics(NAME)
Images = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float64]


def pictures(count: int) -> tuple[Images, npt.NDArray[np.int64]]:
    """Return dark and bright pictures with noise, and which is which."""
    labels = np.arange(count) % 2
    level = np.where(labels, 140, 90)[:, None, None, None]
    noise = np.random.default_rng(0).normal(0, 40, (count, SIZE, SIZE, 3))
    return np.clip(level + noise, 0, 255).astype(np.uint8), labels


def network(device: Device) -> torch.nn.Module:
    """Return the network with the same random weights on every device."""
    model = build_vit(NAME, image_size=SIZE, classes=2, weights="untrained", seed=0)
    return moved(model, device.name)


def features(device: Device, images: Images) -> tuple[float, Logits]:
    """Return images per second without gradients, and the logits."""
    model = network(device)
    predict_logits(model, images[:BATCH], *STATISTICS)
    start = time.perf_counter()
    logits = predict_logits(model, images, *STATISTICS)
    return len(images) / (time.perf_counter() - start), logits


def training(
    device: Device, images: Images, labels: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.int64]]:
    """Return images per second of an epoch and its validation, and the classes afterwards."""
    trainer = VitTrainer(network(device), *STATISTICS, Budget(3, BATCH, 3e-4, 0), flip=True)
    trainer.add(Split.TRAIN, images, labels)
    trainer.add(Split.VAL, images[:BATCH], labels[:BATCH])
    seconds = [float(trainer.run_epoch()["seconds"]) for _ in range(2)][-1]
    logits = predict_logits(trainer.model, images, *STATISTICS)
    return (len(images) + BATCH) / seconds, logits.argmax(axis=1)


def measure(quick: bool) -> list[Row]:
    """Measure every device; a GPU's rows stand beside the CPU's."""
    torch.set_num_threads(usable_cores())
    images, labels = pictures(64 if quick else 512)
    count = len(images)
    rows: list[Row] = []
    processor, *gpus = devices()
    assert processor.name == CPU
    speed, logits = features(processor, images)
    trained_speed, classes = training(processor, images, labels)
    rows.append(Row(f"features, {processor.model}", speed, "images/s", count))
    rows.append(Row(f"training, {processor.model}", trained_speed, "images/s", count))
    if not gpus:
        print("no GPU on this machine: only the CPU was measured", file=sys.stderr)
    for gpu in gpus:
        name = f"{gpu.name} {gpu.model}"
        found, there = features(gpu, images)
        rows.append(against(f"features, {name}", found, "images/s", count, "the CPU", speed))
        again, own = training(gpu, images, labels)
        what = f"training in {gpu.precision}, {name}"
        rows.append(against(what, again, "images/s", count, "the CPU", trained_speed))
        difference = float(np.abs(there - logits).max())
        rows.append(Row(f"largest difference of a logit, {name}", difference, "", count))
        same = float((own == classes).mean())
        rows.append(Row(f"equal classes after training, {name}", same, "", count))
    return rows


if __name__ == "__main__":
    main(measure)

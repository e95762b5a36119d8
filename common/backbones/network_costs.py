"""The units of work of image networks and of the clear head, as an estimate prices them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from he_compare.common.backbones.convnet import Stem
from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.costs import RunSizes, WorkStep, WorkUnit
from he_compare.common.types import Float32Array, IntArray

if TYPE_CHECKING:
    import torch

    from he_compare.common.backbones.head import Head

# Steps after the first, which allocates: what is timed.
TIMED_STEPS = 4
HEAD_ROWS = 400
BYTES_OF_A_NUMBER = 4


def feature_steps(sizes: RunSizes, *, validation: bool = False) -> tuple[WorkStep, ...]:
    """Return the work of features of the training images, and of the validation images if asked.

    Features are kept: the first pipeline of a run pays for all.
    """
    unit = forward_unit(sizes)
    steps = [_once(unit, sizes.train, "features of training images")]
    if validation:
        steps.append(_once(unit, sizes.val, "features of validation images"))
    return tuple(steps)


def forward_unit(sizes: RunSizes) -> WorkUnit:
    """One image through the frozen network, in the pieces that features are extracted in."""

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.backbones.features import PIECE, run_extractor

        extractor = run_extractor(context)
        images = np.resize(data.train.images[:], (PIECE, *data.train.images.shape[1:]))
        with extractor.on(sizes.device):
            extractor(images[:4])
            start = time.perf_counter()
            extractor(images)
            return (time.perf_counter() - start) / len(images)

    return WorkUnit(f"features of an image: {_network(sizes)}", measure)


def training_steps(
    sizes: RunSizes,
    shared: str = "",
    patch: int | None = None,
    architecture: str = "",
    stem: Stem = "imagenet",
) -> tuple[WorkStep, ...]:
    """Return the work of training a network: epochs over training and validation images.

    ``patch``: as in ``build_vit``. ``architecture``: of a convolutional network, '' for the DeiT;
    ``stem``: as in ``build_convnet``.
    """

    def build(classes: int) -> torch.nn.Module:
        from he_compare.common.backbones.device import moved

        if architecture:
            from he_compare.common.backbones.convnet import build_convnet

            convnet = build_convnet(classes=classes, weights="untrained", seed=0, stem=stem)
            return moved(convnet, sizes.device)
        from he_compare.common.backbones.deit import build_vit

        vit = build_vit(
            sizes.backbone,
            image_size=sizes.image_size,
            classes=classes,
            weights="untrained",
            seed=0,
            patch=patch,
        )
        return moved(vit, sizes.device)

    network = f"{architecture}, {stem} stem" if architecture else _network(sizes)
    named = f"{network}, patch {patch or 'its own'}"
    unit = WorkUnit(
        f"training image: {named}, batches of {sizes.batch_size}", _measure_training(build, sizes)
    )
    check = WorkUnit(f"validation image: {named}", _measure_validation(build))
    return (
        WorkStep(unit, sizes.train, shared, passes=sizes.epochs),
        WorkStep(check, sizes.val, shared, passes=sizes.epochs),
    )


def _measure_training(
    build: Callable[[int], torch.nn.Module], sizes: RunSizes
) -> Callable[[RunContext, TrainingData], float]:
    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.backbones.deit import pixel_statistics
        from he_compare.common.backbones.finetune import Budget, VitTrainer
        from he_compare.common.types import Split

        size = min(sizes.batch_size, max(2, sizes.train))
        images = np.resize(data.train.images[:], (size, *data.train.images.shape[1:]))
        labels = np.arange(size) % sizes.classes
        budget = Budget(TIMED_STEPS + 1, size, 1e-6, seed=0)
        trainer = VitTrainer(build(sizes.classes), *pixel_statistics(sizes.backbone), budget)
        trainer.add(Split.TRAIN, images, labels)
        trainer.add(Split.VAL, images[:2], labels[:2])
        trainer.run_epoch()
        seconds = []
        for _ in range(TIMED_STEPS):
            start = time.perf_counter()
            trainer.run_epoch()
            seconds.append(time.perf_counter() - start)
        # An epoch here is one batch and two images of validation, whose weight is told as nothing.
        return float(np.median(seconds)) / (size + 1)

    return measure


def _measure_validation(
    build: Callable[[int], torch.nn.Module],
) -> Callable[[RunContext, TrainingData], float]:
    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.backbones.deit import pixel_statistics, predict_logits

        model = build(len(data.classes))
        images = np.resize(data.train.images[:], (64, *data.train.images.shape[1:]))
        statistics = pixel_statistics(context.settings.backbone)
        predict_logits(model, images[:4], *statistics)
        start = time.perf_counter()
        predict_logits(model, images, *statistics)
        return (time.perf_counter() - start) / len(images)

    return measure


def head_step(sizes: RunSizes, inverse_l2: float) -> WorkStep:
    """Return the work of the clear head: rows of features, once per run and strength."""

    def measure(context: RunContext, data: TrainingData) -> float:
        from he_compare.common.backbones.head import train_head

        features, labels = random_features(HEAD_ROWS, sizes.width, sizes.classes)
        train_head(features[:40], labels[:40], sizes.classes, inverse_l2)  # imports scikit-learn
        start = time.perf_counter()
        train_head(features, labels, sizes.classes, inverse_l2)
        return (time.perf_counter() - start) / HEAD_ROWS

    name = f"clear head, a row of {sizes.width}, {sizes.classes} classes, C={inverse_l2:g}"
    return _once(WorkUnit(name, measure), sizes.train, f"head, C={inverse_l2:g}")


def _once(unit: WorkUnit, items: int, shared: str) -> WorkStep:
    return WorkStep(unit, items, shared, of_seed=False)


def random_features(rows: int, width: int, classes: int) -> tuple[Float32Array, IntArray]:
    """Return features (rows, width) in which classes differ a little, and labels (rows,)."""
    random = np.random.default_rng(0)
    labels = np.arange(rows, dtype=np.int64) % classes
    centres = random.normal(scale=0.3, size=(classes, width))
    spread = np.linspace(2.0, 0.2, width)
    features = (random.normal(size=(rows, width)) + centres[labels]) * spread
    return features.astype(np.float32), labels


def untrained_head(sizes: RunSizes) -> Head:
    """Return a head of the right shape, trained on random features."""
    from he_compare.common.backbones.head import train_head

    rows = max(64, 4 * sizes.classes)
    features, labels = random_features(rows, sizes.width, sizes.classes)
    return train_head(features, labels, sizes.classes, 0.01)


def feature_bytes(sizes: RunSizes) -> int:
    """Return the memory of all training features and of the head's copies of them."""
    return sizes.train * sizes.width * (BYTES_OF_A_NUMBER + 3 * 2 * BYTES_OF_A_NUMBER)


def served_network(sizes: RunSizes, outputs: int, patch: int | None = None) -> str:
    """Name a server that runs the network: whoever makes one, it costs the same."""
    return (
        f"server with {_network(sizes)}, {outputs} outputs, patch {patch or 'its own'}, "
        f"batches of {sizes.infer_batch}"
    )


def _network(sizes: RunSizes) -> str:
    device = "" if sizes.device == "cpu" else f", {sizes.device}"
    return f"{sizes.backbone}, {sizes.image_size} px{device}"

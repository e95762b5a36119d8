"""Fine-tuning a DeiT: the one training loop of the plain reference and of the ciphertext ViT.

AdamW with a linear warm-up and a cosine decay, cross-entropy weighted by inverse class frequency,
early stopping on the validation loss. Everything random follows the budget's seed, so that the same
budget, data and thread count give the same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from he_compare.common.backbones.deit import (
    build_vit,
    load_state_bytes,
    pixel_statistics,
    predict_logits,
    softmax,
    state_bytes,
    state_digest,
    to_input,
)
from he_compare.common.backbones.device import (
    described,
    device_identity,
    device_of,
    memory_warning,
    moved,
    with_smaller_batches,
)
from he_compare.common.backbones.features import backbone_seed
from he_compare.common.backbones.precision import TrainingPrecision
from he_compare.common.backbones.weights import UNTRAINED
from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.errors import CellError
from he_compare.common.identity import source_digest
from he_compare.common.seeds import generator_for, seed_for
from he_compare.common.service.wire import pack, unpack
from he_compare.common.sources import sources_of
from he_compare.common.types import (
    BoolArray,
    Float32Array,
    IntArray,
    PixelArray,
    PixelSource,
    Split,
)

WARMUP_SHARE = 0.1
# What was learnt before moves at this share of the rate, so that a few hundred images refine it
# instead of wiping it out (measured on chest X-rays: 1e-4 for all loses most of the probe's AUC).
LEARNT_SPEED = 1 / 30
EVERYTHING = ("",)
HEADS = ("head.", "head_dist.")
EMBEDDING = ("patch_embed.", "pos_embed")
WEIGHT_DECAY = 0.05
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Budget:
    """The training budget of every trained model of a run.

    ``learning_rate``: peak rate of new parameters; ``fresh``: beginnings of the names of these
    parameters (see ``fresh_parameters``), the others move at ``LEARNT_SPEED`` of it.
    ``patience``: epochs without a better loss.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    patience: int = 5
    fresh: tuple[str, ...] = EVERYTHING


@dataclass
class _Examples:
    """Images of one split in the order of their coming; they stay where they lie."""

    images: list[PixelSource] = field(default_factory=list)
    labels: list[IntArray] = field(default_factory=list)

    def stacked(self) -> tuple[PixelSource, IntArray]:
        if not self.images:
            raise CellError("no images were given for training or validation")
        return self.images[0] if len(self.images) == 1 else self, np.concatenate(self.labels)

    def __len__(self) -> int:
        return sum(map(len, self.images))

    def __getitem__(self, index: slice | IntArray, /) -> PixelArray:
        positions = np.arange(len(self))[index]
        ends = np.cumsum([len(one) for one in self.images])
        part = np.searchsorted(ends, positions, side="right")
        found = np.empty((len(positions), *self.images[0][:1].shape[1:]), self.images[0][:1].dtype)
        for number in np.unique(part):
            start = ends[number] - len(self.images[number])
            mine = part == number
            found[mine] = self.images[number][positions[mine] - start]
        return cast(PixelArray, found)


@dataclass(frozen=True)
class _Batch:
    """Images (n, h, w, 3) with labels (n,); ``mirrored``: bool (n,), None where none is."""

    images: PixelArray
    labels: IntArray
    mirrored: BoolArray | None

    def parts(self, at_once: int, least: int) -> list[_Batch]:
        """Cut it into parts of about equal size, no larger than ``at_once``.

        One that is smaller than ``least`` goes with the others.
        """
        count = math.ceil(len(self.labels) / at_once)
        while count > 1 and len(self.labels) // count < least:
            count -= 1
        if count == 1:
            return [self]
        whole = np.arange(len(self.labels))
        return [
            _Batch(
                self.images[part],
                self.labels[part],
                None if self.mirrored is None else self.mirrored[part],
            )
            for part in np.array_split(whole, count)
        ]


class VitTrainer:
    """Trains a model epoch by epoch; the best state by validation loss is kept.

    ``flip``: random horizontal flips, which commute with no cipher and so stay off on ciphertext.
    It trains on the device that the model is on. ``at_once``: images in the device's memory: the
    batch, or fewer since it was full; gradients then add up to those of the batch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        mean: Float32Array,
        std: Float32Array,
        budget: Budget,
        *,
        flip: bool = False,
    ) -> None:
        self.model = model
        self.mean, self.std = mean, std
        self.budget = budget
        self.flip = flip
        self.history: list[dict[str, Any]] = []
        self._examples = {Split.TRAIN: _Examples(), Split.VAL: _Examples()}
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(model, budget.fresh),
            lr=budget.learning_rate,
            weight_decay=WEIGHT_DECAY,
        )
        self.at_once = budget.batch_size
        self._device = device_of(model)
        self._precision = TrainingPrecision(self._device)
        self._normalises_batches = any(
            isinstance(module, torch.nn.BatchNorm2d) for module in model.modules()
        )
        # One image has no statistics of a batch.
        self._least = 2 if self._normalises_batches else 1
        self._random = generator_for(budget.seed, "shuffle")
        self._classes = int(model.num_classes)
        self._step = 0
        self._best: bytes | None = None
        self._best_epoch = 0

    def add(self, split: Split, images: PixelSource, labels: IntArray) -> None:
        """Append examples: uint8 (n, h, w, 3), int64 (n,).

        A batch at a time is read of images that do not lie in memory.
        """
        self._examples[split].images.append(images)
        self._examples[split].labels.append(labels)

    @property
    def finished(self) -> bool:
        """Say whether the budget is spent or validation has stopped improving."""
        epochs = len(self.history)
        return epochs >= self.budget.epochs or epochs - self._best_epoch >= self.budget.patience

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose state is kept."""
        return self._best_epoch

    def run_epoch(self) -> dict[str, Any]:
        """Train one epoch and validate; return what is appended to ``history``."""
        start = time.perf_counter()
        images, labels = self._examples[Split.TRAIN].stacked()
        train_loss = self._train(images, labels)
        val_loss, val_accuracy = self._validate()
        if not math.isfinite(train_loss) or not math.isfinite(val_loss):
            raise CellError(
                f"training diverged in epoch {len(self.history) + 1} (loss {train_loss})",
                fix="lower learning_rate",
            )
        if self._best is None or val_loss < min(entry["val_loss"] for entry in self.history):
            self._best = state_bytes(self.model)
            self._best_epoch = len(self.history) + 1
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_balanced_accuracy": val_accuracy,
                "seconds": time.perf_counter() - start,
            }
        )
        return self.history[-1]

    @property
    def device_facts(self) -> dict[str, Any]:
        """What the device changed in the training; empty where all went as on the CPU."""
        facts: dict[str, Any] = {}
        precision = described(str(self._device)).precision
        if precision != "float32":
            facts["precision"] = precision
        if self.at_once < self.budget.batch_size:
            facts["images_at_once"] = self.at_once
            facts["batch_size"] = self.budget.batch_size
            if self._normalises_batches:
                facts["normalised_over"] = self.at_once
        return facts

    def best_state(self) -> bytes:
        """Return the safetensors state of the best epoch."""
        if self._best is None:
            raise CellError("no epoch has been run yet")
        return self._best

    def _train(self, images: PixelSource, labels: IntArray) -> float:
        self.model.train()
        _prepare_for_training(self.model)
        weight = torch.from_numpy(class_weights(labels, self._classes)).to(self._device)
        order = self._random.permutation(len(images))
        size = self.budget.batch_size
        steps = math.ceil(len(images) / size)
        total = 0.0
        for start in range(0, len(order), size):
            self._set_learning_rate(steps)
            chosen = order[start : start + size]
            mirrored = self._random.random(len(chosen)) < 0.5 if self.flip else None
            some = _Batch(images[chosen], labels[chosen], mirrored)
            total += self._learn(some, weight) * len(chosen)
        return total / len(order)

    def _learn(self, batch: _Batch, weight: torch.Tensor) -> float:
        """Step along the gradients of a batch and return its loss."""
        try:
            loss, held = with_smaller_batches(
                lambda count: self._gradients(batch, weight, count), self.at_once, least=self._least
            )
        except ValueError as error:
            if not self._normalises_batches or "more than 1 value per channel" not in str(error):
                raise
            height, width = batch.images.shape[1:3]
            raise CellError(
                f"batch normalisation has no statistics in a batch of {len(batch.labels)} image of "
                f"{height} x {width} pixels",
                fix="set another batch_size, so that no image is left alone, or larger images",
            ) from None
        self.at_once = held
        self._precision.step(self._optimizer, list(self.model.parameters()), GRADIENT_NORM)
        return loss

    def _gradients(self, batch: _Batch, weight: torch.Tensor, at_once: int) -> float:
        """Set the gradients to those of a batch, added up over parts of so many images."""
        self._optimizer.zero_grad(set_to_none=True)
        parts = batch.parts(at_once, self._least)
        share = 1.0 / len(parts)
        if len(parts) > 1:
            share = 1.0 / float(weight.cpu().numpy()[batch.labels].sum())
        total = 0.0
        for part in parts:
            labels = torch.from_numpy(part.labels).to(self._device)
            with self._precision.cast():
                logits = self.model(self._inputs(part))
            loss = functional.cross_entropy(
                logits.float(),
                labels,
                weight=weight,
                reduction="mean" if len(parts) == 1 else "sum",
            )
            loss = loss * share
            self._precision.backward(loss)
            total += float(loss.detach())
        return total

    def _inputs(self, batch: _Batch) -> torch.Tensor:
        inputs = to_input(batch.images, self.mean, self.std, self._device)
        if batch.mirrored is not None:
            mask = torch.from_numpy(batch.mirrored).to(self._device)
            inputs = torch.where(mask.view(-1, 1, 1, 1), inputs.flip(-1), inputs)
        return inputs

    def _set_learning_rate(self, steps_per_epoch: int) -> None:
        total = steps_per_epoch * self.budget.epochs
        warmup = max(1, int(WARMUP_SHARE * total))
        self._step += 1
        if self._step <= warmup:
            factor = self._step / warmup
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (self._step - warmup) / max(1, total - warmup)))
        for group in self._optimizer.param_groups:
            group["lr"] = self.budget.learning_rate * factor * group["speed"]

    def _validate(self) -> tuple[float, float]:
        images, labels = self._examples[Split.VAL].stacked()
        logits = predict_logits(self.model, images, self.mean, self.std)
        probabilities = softmax(logits)
        weights = class_weights(labels, self._classes)[labels]
        chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None)
        loss = float(-(weights * np.log(chosen)).sum() / weights.sum())
        correct = probabilities.argmax(axis=1) == labels
        recalls = [float(correct[labels == label].mean()) for label in np.unique(labels)]
        return loss, float(np.mean(recalls))


def note_memory(context: RunContext, facts: Mapping[str, Any]) -> None:
    """Warn where the device's memory did not hold a batch; ``facts``: about the training."""
    if "images_at_once" not in facts:
        return
    at_once, batch = int(facts["images_at_once"]), int(facts["batch_size"])
    how = f"gradients were added up to those of {batch} images"
    if facts.get("normalised_over"):
        how += f", but batch normalisation took its statistics from {at_once}"
    warning = f"{memory_warning('training', at_once, batch)}; {how}"
    if warning not in context.warnings:
        context.warnings.append(warning)


def fresh_parameters(weights: str, *, scrambled: bool = False) -> tuple[str, ...]:
    """Return the beginnings of the names of parameters that have to be learnt from scratch.

    ``weights``: the run's choice; with random ones it is all of them. ``scrambled``: on ciphertext
    the patch embedding is forgotten and the positions are others, too.
    """
    if weights == UNTRAINED:
        return EVERYTHING
    return (*HEADS, *EMBEDDING) if scrambled else HEADS


def _parameter_groups(model: torch.nn.Module, fresh: tuple[str, ...]) -> list[dict[str, Any]]:
    anew: list[torch.nn.Parameter] = []
    learnt: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (anew if name.startswith(fresh) else learnt).append(parameter)
    groups = [{"params": anew, "speed": 1.0}, {"params": learnt, "speed": LEARNT_SPEED}]
    return [group for group in groups if group["params"]]


def _prepare_for_training(model: torch.nn.Module) -> None:
    """Switch off what a distilled DeiT does while training, and attention in one fused kernel.

    Distilled DeiTs return two heads by default. The fused kernel's backward pass is the
    slower one on CPUs: 16.7 against 13.8 ms per image of 112 px, batches of 16, two cores.
    """
    if hasattr(model, "set_distilled_training"):
        model.set_distilled_training(False)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010  # no attribute of Module


def class_weights(labels: IntArray, classes: int) -> Float32Array:
    """Return inverse class frequencies, float32 (classes,), with mean one over the examples."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(classes)
    seen = counts > 0
    weights[seen] = len(labels) / (seen.sum() * counts[seen])
    return weights.astype(np.float32)


def fine_tuned_vit(data: TrainingData, context: RunContext, patch: int | None = None) -> bytes:
    """Return the state of the plain ViT fine-tuned on this run's data, trained once per run.

    ``patch``: side of the patches in pixels; None is the backbone's own.

    The owner of the data trains it in the clear, in the client's process. The plain reference and
    the ViT adapted by key share it, so they are the same model. Facts about the training are put
    into ``context.training``.
    """
    settings = context.settings
    budget = Budget(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=seed_for(context.seed, "fine-tune", "plain"),
        fresh=fresh_parameters(settings.weights),
    )
    torch.set_num_threads(settings.threads)
    model = build_vit(
        settings.backbone,
        image_size=settings.image_size,
        classes=len(data.classes),
        weights=settings.weights,
        seed=backbone_seed(context.seed),
        patch=patch,
    )
    inputs = {
        "data": data.fingerprint,
        "backbone": settings.backbone,
        "image_size": settings.image_size,
        "patch": patch,
        "initial_weights": state_digest(model),
        "budget": asdict(budget),
        "threads": settings.threads,
        "device": device_identity(settings.device),
        "source": source_digest(*sources_of(__name__)),
        "torch": torch.__version__,
    }
    stored = context.artefacts.get_or_make(
        "plain-vit", inputs, lambda: _train_plain(model, data, budget, context)
    )
    arrays, metadata = unpack(stored, expect={"state": ("uint8", 1)})
    context.training.update(json.loads(metadata["training"]))
    note_memory(context, context.training)
    state = arrays["state"].tobytes()
    load_state_bytes(model, state)
    return state


def _train_plain(
    model: torch.nn.Module, data: TrainingData, budget: Budget, context: RunContext
) -> bytes:
    mean, std = pixel_statistics(context.settings.backbone)
    trainer = VitTrainer(moved(model, context.settings.device), mean, std, budget, flip=True)
    trainer.add(Split.TRAIN, data.train.images, data.train.labels)
    trainer.add(Split.VAL, data.val.images, data.val.labels)
    while not trainer.finished:
        context.progress("fine-tuning on plain images", len(trainer.history), budget.epochs)
        trainer.run_epoch()
    training = {
        "trained_on": "plain images, by their owner",
        "augmentation": "random horizontal flips",
        "epochs": len(trainer.history),
        "best_epoch": trainer.best_epoch,
        "history": trainer.history,
        "seconds": sum(entry["seconds"] for entry in trainer.history),
        **trainer.device_facts,
    }
    state = np.frombuffer(trainer.best_state(), np.uint8)
    return pack({"state": state}, {"training": json.dumps(training)})

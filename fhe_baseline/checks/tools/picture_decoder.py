"""Decoders from features to grey pictures, learnt on other people's images: linear, convolutional.

The linear one is ridge regression. The convolutional one starts as the linear one and learns what
is left over: features become a small map, which convolutions double in size until it is a picture
(Dosovitskiy and Brox, "Inverting Visual Representations with Convolutional Networks", CVPR 2016).
Of the steps tried, the one with the best SSIM on pictures held out counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from he_compare.common.backbones.device import (
    CPU,
    device_identity,
    device_of,
    moved,
    seeded,
    with_smaller_batches,
)
from he_compare.common.backbones.picture_loss import structural_loss
from he_compare.common.identity import array_digest, key_of
from he_compare.common.similarity import ssim
from he_compare.common.types import Float32Array, Float64Array, UInt8Array

STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
FOLDS = 5
GRID = 4


@dataclass(frozen=True)
class LinearDecoder:
    """Pixels are mean + (features - centre) / scale @ weights. ``side``: of pictures."""

    side: int
    centre: Float64Array
    scale: Float64Array
    mean: Float64Array
    weights: Float64Array

    def __call__(self, features: Float64Array) -> UInt8Array:
        """Return pictures, uint8 (n, side, side)."""
        return as_bytes(self.pixels(features))

    def inputs(self, features: Float64Array) -> Float64Array:
        """Standardise features (n, width)."""
        return (features - self.centre) / self.scale

    def pixels(self, features: Float64Array) -> Float64Array:
        """Return pictures, float64 (n, side, side), not rounded."""
        flat = self.mean + self.inputs(features) @ self.weights
        return flat.reshape(-1, self.side, self.side)


def as_bytes(pixels: Float64Array) -> UInt8Array:
    """Round and clip to uint8."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def learn_linear(features: Float64Array, pictures: UInt8Array) -> LinearDecoder:
    """Fit a decoder to features (n, width) and pictures (n, side, side) of the adversary's own.

    The ridge's strength is that of the least error on every fifth image, held out.
    """
    out = np.arange(len(features)) % FOLDS == 0
    return _ridge(features, pictures, _strength(features, pictures, out))


def across_folds(features: Float64Array, pictures: UInt8Array) -> Float64Array:
    """Return the picture of each image by a decoder that was not fitted on it, not rounded."""
    out = np.arange(len(features)) % FOLDS
    strength = _strength(features, pictures, out == 0)
    found = np.zeros(pictures.shape)
    for fold in range(FOLDS):
        here = out == fold
        found[here] = _ridge(features[~here], pictures[~here], strength).pixels(features[here])
    return found


def _strength(features: Float64Array, pictures: UInt8Array, out: npt.NDArray[np.bool_]) -> float:
    """Choose the strength of the least error on images ``out``, on a grid of pixels."""
    some = pictures[:, ::GRID, ::GRID]
    errors = []
    for strength in STRENGTHS:
        found = _ridge(features[~out], some[~out], strength)(features[out])
        errors.append(float(((found - 1.0 * some[out]) ** 2).mean()))
    return STRENGTHS[int(np.argmin(errors))]


def _ridge(features: Float64Array, pictures: UInt8Array, strength: float) -> LinearDecoder:
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale < 1e-12, 1.0, scale)
    inputs = (features - centre) / scale
    pixels = pictures.reshape(len(pictures), -1).astype(np.float64)
    mean = pixels.mean(axis=0)
    kernel = inputs @ inputs.T + strength * len(inputs) ** 0.5 * np.eye(len(inputs))
    weights = inputs.T @ np.linalg.solve(kernel, pixels - mean)
    return LinearDecoder(pictures.shape[1], centre, scale, mean, weights)


# Map that features become: side and channels; each doubling has a width of its own, and the last
# doubling is by FOLD x FOLD channels a pixel.
MAP, CHANNELS = 7, 64
WIDTHS = (48, 32, 24)
FOLD = 2
BATCH = 8
LEARNING_RATE, DECAY, DROPPED = 2e-3, 1e-2, 0.2
TRIED_EVERY = 25


class Upsampler(nn.Module):
    """Features (n, width) to what is added to linear pictures (n, side, side) of 0 ... 1."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.spread = nn.Sequential(
            nn.Dropout(DROPPED), nn.Linear(width, CHANNELS * MAP**2), nn.SiLU()
        )
        stages: list[nn.Module] = []
        inputs = CHANNELS
        for outputs in WIDTHS:
            stages += [
                nn.Upsample(scale_factor=2.0),
                nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.GroupNorm(4, outputs),
                nn.SiLU(),
            ]
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(inputs, FOLD**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return pictures of about -1 ... 1."""
        grid = self.spread(features).reshape(-1, CHANNELS, MAP, MAP)
        found = functional.pixel_shuffle(self.last(self.stages(grid)), FOLD)
        size = (self.side, self.side)
        whole: Tensor = functional.interpolate(found, size=size, mode="bilinear")[:, 0]
        return whole


@dataclass(frozen=True)
class ConvolutionalDecoder:
    """A linear decoder and what a network adds to it. ``steps``: of training, ``kept`` the best.

    ``at_once``: pictures that the memory of the device took at once; None where it took the whole
    batch.
    """

    linear: LinearDecoder
    network: Upsampler
    steps: int
    kept: int
    at_once: int | None = None

    def __call__(self, features: Float64Array) -> UInt8Array:
        """Return pictures, uint8 (n, side, side)."""
        inputs = self.linear.inputs(features)
        return as_bytes(self.linear.pixels(features) + added(self.network, inputs))


# Learnt before in this process, by all that it was learnt from; with the generator's state after.
_learnt: dict[str, tuple[ConvolutionalDecoder, Mapping[str, Any]]] = {}
MOST_KEPT = 4


def learn_convolutional_once(
    features: Float64Array,
    pictures: UInt8Array,
    seconds: float,
    steps: int,
    random: np.random.Generator,
    device: str = CPU,
) -> ConvolutionalDecoder:
    """Learn as ``learn_convolutional`` does, once for the same features, pictures and budget.

    Pipelines that share a backbone leak the same features. The generator is left as if it had been
    learnt again.
    """
    before = json.dumps(random.bit_generator.state, sort_keys=True)
    known = key_of(
        what=array_digest(features, pictures),
        seconds=seconds,
        steps=steps,
        random=before,
        device=device_identity(device),
    )
    if known not in _learnt:
        decoder = learn_convolutional(features, pictures, seconds, steps, random, device)
        while len(_learnt) >= MOST_KEPT:
            _learnt.pop(next(iter(_learnt)))
        _learnt[known] = decoder, random.bit_generator.state
    decoder, random.bit_generator.state = _learnt[known]
    return decoder


def learn_convolutional(
    features: Float64Array,
    pictures: UInt8Array,
    seconds: float,
    steps: int,
    random: np.random.Generator,
    device: str = CPU,
) -> ConvolutionalDecoder:
    """Learn from features (n, width) and pictures (n, side, side), every fifth held out.

    What the linear decoder leaves over is seen as on images it was not fitted on. It stops after
    ``steps`` of ``BATCH`` pictures, or when ``seconds`` are over. The global generator of torch is
    left as it was.
    """
    linear = learn_linear(features, pictures)
    base = across_folds(features, pictures)
    shown = linear.inputs(features)
    out = np.arange(len(features)) % FOLDS == 0
    learnt = np.flatnonzero(~out)
    with seeded(int(random.integers(1 << 31)), device):
        network = moved(Upsampler(features.shape[1], pictures.shape[1]), device)
        optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=DECAY)
        best = _Best(network, base[out], shown[out], pictures[out])
        step, at_once, start = 0, BATCH, time.perf_counter()
        while step < steps and time.perf_counter() - start < seconds:
            chosen = random.choice(learnt, min(BATCH, len(learnt)), replace=False)
            some = _Examples(base[chosen], shown[chosen], pictures[chosen])
            at_once = _descend(network, optimiser, some, at_once)
            step += 1
            if step % TRIED_EVERY == 0:
                best.look(step)
        best.look(step)
    network.load_state_dict(best.state)
    halved = at_once if at_once < BATCH else None
    return ConvolutionalDecoder(linear, network.eval(), step, best.step, halved)


@dataclass(frozen=True)
class _Examples:
    """Linear pictures, inputs of the network, and the pictures that they belong to."""

    below: Float64Array
    shown: Float64Array
    wanted: UInt8Array


def _descend(
    network: Upsampler, optimiser: torch.optim.Optimizer, some: _Examples, at_once: int
) -> int:
    """Learn from some pictures; return how many the memory of the device took at once."""
    network.train()
    device = device_of(network)
    whole = np.arange(len(some.shown))

    def gradients(most: int) -> None:
        optimiser.zero_grad()
        for part in np.array_split(whole, -(-len(whole) // most)):
            below = _tensor(some.below[part] / 255.0, device)
            wanted = _tensor(some.wanted[part] / 255.0, device)
            loss = _loss(below + network(_tensor(some.shown[part], device)), wanted)
            (loss * (len(part) / len(whole))).backward()  # type: ignore[no-untyped-call]

    _, held = with_smaller_batches(gradients, at_once)
    optimiser.step()
    return held


class _Best:
    """The state of a network that did best on pictures held out; untrained to begin with."""

    def __init__(
        self, network: Upsampler, base: Float64Array, inputs: Float64Array, pictures: UInt8Array
    ) -> None:
        self.network, self.base, self.inputs, self.pictures = network, base, inputs, pictures
        self.step, self.value = 0, -2.0
        self.state: dict[str, Tensor] = {}
        self.look(0)

    def look(self, step: int) -> None:
        """Keep the present state where it does better."""
        found = as_bytes(self.base + added(self.network, self.inputs))
        value = float(ssim(found, self.pictures).mean())
        if value > self.value:
            self.step, self.value = step, value
            self.state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}


def added(network: Upsampler, inputs: Float64Array) -> Float64Array:
    """Return what the network adds to linear pictures, float64 (n, side, side), to 255."""
    network.eval()
    device = device_of(network)
    found = []
    with torch.no_grad():
        for start in range(0, len(inputs), BATCH):
            found.append(network(_tensor(inputs[start : start + BATCH], device)).cpu().numpy())
    values: Float64Array = 255.0 * np.concatenate(found).astype(np.float64)
    return values


def _tensor(values: Float64Array, device: torch.device) -> Tensor:
    single: Float32Array = np.ascontiguousarray(values, dtype=np.float32)
    return torch.from_numpy(single).to(device)


def _loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of pixels and of gradients, and one minus SSIM over square windows."""
    x, y = found[:, None], wanted[:, None]
    edges = functional.l1_loss(x.diff(dim=2), y.diff(dim=2))
    edges = edges + functional.l1_loss(x.diff(dim=3), y.diff(dim=3))

    loss: Tensor = functional.l1_loss(x, y) + edges + 0.5 * structural_loss(x, y)
    return loss

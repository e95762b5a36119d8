"""A small U-Net that turns planes of ciphertexts into grey pictures.

It starts from the best linear mixture of the planes at each pixel (least squares), so that
untrained it is that mixture, and learns what is left over; of the steps tried, the one with the
best SSIM on pictures held out counts. Planes are folded into channels first, so that convolutions
work at about 56 pixels. Source: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from he_compare.common.backbones.device import (
    CPU,
    device_of,
    moved,
    seeded,
    with_smaller_batches,
)
from he_compare.common.backbones.picture_loss import structural_loss
from he_compare.common.similarity import ssim
from he_compare.common.types import (
    Float32Array,
    Float64Array,
    IntArray,
    UInt8Array,
)


@dataclass(frozen=True)
class Learnt:
    """Grey pictures of the attacked ciphertexts, uint8 (n, h, w, 1), and what they took."""

    pictures: UInt8Array
    pairs: int
    keys: int
    steps: int
    held_out: float
    at_once: int | None = None


WORKED_AT = 56
WIDTHS = (16, 32, 48)
MIXED_TO = 8
BATCH = 8
LEARNING_RATE = 2e-3
TRIED_EVERY = 40
RIDGE = 1e-4
PIXELS = 40_000


@dataclass(frozen=True)
class Trained:
    """A network with what its training took. ``held_out``: SSIM on pictures not learnt from.

    ``at_once``: pictures that the memory of the device took at once; None where it took the whole
    batch.
    """

    network: UNet
    steps: int
    kept_step: int
    held_out: float
    at_once: int | None = None

    def pictures(self, planes: Float32Array) -> UInt8Array:
        """Return grey pictures of planes (n, k, h, w): uint8 (n, h, w, 1)."""
        return _pictures(self.network, planes)


class UNet(nn.Module):
    """Planes (n, k, h, w) to grey (n, h, w): a linear mixture, and a U-Net for the rest."""

    def __init__(self, mixture: Float64Array, size: tuple[int, ...]) -> None:
        super().__init__()
        planes = len(mixture) - 1
        self.fold = max(1, round(min(size) / WORKED_AT))
        self.base = nn.Conv2d(planes, 1, 1)
        with torch.no_grad():
            self.base.weight.copy_(torch.tensor(mixture[:-1]).reshape(1, planes, 1, 1))
            self.base.bias.copy_(torch.tensor(mixture[-1:]))  # type: ignore[union-attr]
        top, middle, low = WIDTHS
        self.mix = nn.Conv2d(planes, MIXED_TO, 1)
        self.first = _stage(MIXED_TO * self.fold**2, top)
        self.second = _stage(top, middle)
        self.third = _stage(middle, low)
        self.second_up = _stage(low + middle, middle)
        self.first_up = _stage(middle + top, top)
        self.last = nn.Conv2d(top, self.fold**2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, planes: Tensor) -> Tensor:
        """Return pictures of 0 ... 1."""
        height, width = planes.shape[2:]
        least = 4 * self.fold
        padding = (0, -width % least, 0, -height % least)
        padded = functional.pad(planes, padding, mode="replicate")
        one = self.first(functional.pixel_unshuffle(self.mix(padded), self.fold))
        two = self.second(functional.max_pool2d(one, 2))
        up = functional.interpolate(self.third(functional.max_pool2d(two, 2)), scale_factor=2.0)
        up = functional.interpolate(self.second_up(torch.cat([up, two], 1)), scale_factor=2.0)
        rest = functional.pixel_shuffle(
            self.last(self.first_up(torch.cat([up, one], 1))), self.fold
        )
        found: Tensor = self.base(planes)[:, 0] + rest[:, 0, :height, :width]
        return found


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(4, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.SiLU(),
    )


def train(
    planes: Float32Array,
    plain: UInt8Array,
    held: IntArray,
    steps: int,
    seconds: float,
    random: np.random.Generator,
    device: str = CPU,
) -> Trained:
    """Learn grey pictures from planes (n, k, h, w) and plain images (n, h, w, c).

    ``held``: positions that are not learnt from but tell which step did best.
    ``steps``: of ``BATCH`` pictures each, fewer where ``seconds`` run out. The global generator of
    torch is left as it was.
    """
    wanted: Float32Array = plain.mean(axis=3, dtype=np.float32) / np.float32(255)
    learnt = np.setdiff1d(np.arange(len(planes)), held)
    start = time.perf_counter()
    with seeded(int(random.integers(1 << 31)), device):
        mixture = _mixture(planes[learnt], plain[learnt], random)
        network = moved(UNet(mixture, plain.shape[1:3]), device)
        schedule = _Schedule(network, steps)
        best = _Kept(network, plain[held], planes[held])
        step, at_once = 0, BATCH
        while step < steps and time.perf_counter() - start < seconds:
            chosen = random.choice(learnt, min(BATCH, len(learnt)), replace=False)
            at_once = schedule.step(planes[chosen], wanted[chosen], at_once)
            step += 1
            if step % TRIED_EVERY == 0 or step == steps:
                best.look(step)
    best.restore()
    halved = at_once if at_once < BATCH else None
    return Trained(network, step, best.step, best.value, halved)


class _Schedule:
    """Adam under a cosine from ``LEARNING_RATE`` to 0."""

    def __init__(self, network: UNet, steps: int) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        self.rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, max(1, steps))

    def step(self, planes: Float32Array, wanted: Float32Array, at_once: int) -> int:
        """Learn from some pictures; return how many the memory of the device took at once."""
        _, held = with_smaller_batches(lambda n: self._gradients(planes, wanted, n), at_once)
        self.optimiser.step()
        self.rate.step()
        return held

    def _gradients(self, planes: Float32Array, wanted: Float32Array, at_once: int) -> None:
        self.optimiser.zero_grad()
        count = -(-len(planes) // at_once)
        for part in np.array_split(np.arange(len(planes)), count):
            there = _on(planes[part], self.network), _on(wanted[part], self.network)
            loss = _loss(self.network(there[0]), there[1])
            (loss * (len(part) / len(planes))).backward()  # type: ignore[no-untyped-call]


class _Kept:
    """The state of a network that did best on pictures held out; untrained to begin with."""

    def __init__(self, network: UNet, plain: UInt8Array, planes: Float32Array) -> None:
        self.network, self.plain, self.planes = network, plain, planes
        self.step, self.value = -1, -2.0
        self.look(0)

    def look(self, step: int) -> None:
        """Keep the present state where it does better."""
        value = float(ssim(_pictures(self.network, self.planes), self.plain).mean())
        if value > self.value:
            self.step, self.value = step, value
            self.state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def restore(self) -> None:
        """Put the best state back."""
        self.network.load_state_dict(self.state)


def _pictures(network: UNet, planes: Float32Array) -> UInt8Array:
    parts = []
    with torch.no_grad():
        for start in range(0, len(planes), BATCH):
            parts.append(network(_on(planes[start : start + BATCH], network)).cpu().numpy())
    found = np.concatenate(parts)
    grey: UInt8Array = np.clip(np.rint(found * 255), 0, 255).astype(np.uint8)
    return grey[..., None]


def _on(values: Float32Array, network: UNet) -> Tensor:
    """Return values as a tensor on the device of a network."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device_of(network))


def _mixture(planes: Float32Array, plain: UInt8Array, random: np.random.Generator) -> Float64Array:
    """Least squares of grey pixels from planes and 1: float64 (k + 1,)."""
    rows = planes.transpose(0, 2, 3, 1).reshape(-1, planes.shape[1])
    grey = plain.mean(axis=3, dtype=np.float32).reshape(-1) / np.float32(255)
    some = random.integers(len(rows), size=PIXELS)
    x = np.concatenate([rows[some], np.ones((PIXELS, 1), np.float32)], axis=1).astype(np.float64)
    gram = x.T @ x / PIXELS + RIDGE * np.eye(x.shape[1])
    solved: Float64Array = np.linalg.solve(gram, x.T @ grey[some].astype(np.float64) / PIXELS)
    return solved


def _loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error, and one minus SSIM over square windows."""
    x, y = found[:, None], wanted[:, None]

    return functional.l1_loss(x, y) + 0.5 * structural_loss(x, y)

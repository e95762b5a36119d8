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
    """A network with what its training took. ``held_out``: SSIM on pictures not learnt from."""

    network: UNet
    steps: int
    kept_step: int
    held_out: float

    def pictures(self, planes: Float32Array) -> UInt8Array:
        """Return grey pictures of planes (n, k, h, w): uint8 (n, h, w, 1)."""
        return _pictures(self.network, torch.from_numpy(planes))


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
) -> Trained:
    """Learn grey pictures from planes (n, k, h, w) and plain images (n, h, w, c).

    ``held``: positions that are not learnt from but tell which step did best.
    ``steps``: of ``BATCH`` pictures each, fewer where ``seconds`` run out. The global generator of
    torch is left as it was.
    """
    shown = torch.from_numpy(planes)
    wanted = torch.from_numpy(plain.mean(axis=3, dtype=np.float32) / np.float32(255))
    learnt = np.setdiff1d(np.arange(len(planes)), held)
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(1 << 31)))
        network = UNet(_mixture(planes[learnt], plain[learnt], random), plain.shape[1:3])
        schedule = _Schedule(network, steps)
        best = _Kept(network, plain[held], shown[held])
        step = 0
        while step < steps and time.perf_counter() - start < seconds:
            chosen = torch.from_numpy(random.choice(learnt, min(BATCH, len(learnt)), replace=False))
            schedule.step(_loss(network(shown[chosen]), wanted[chosen]))
            step += 1
            if step % TRIED_EVERY == 0 or step == steps:
                best.look(step)
    best.restore()
    return Trained(network, step, best.step, best.value)


class _Schedule:
    """Adam under a cosine from ``LEARNING_RATE`` to 0."""

    def __init__(self, network: UNet, steps: int) -> None:
        self.optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        self.rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, max(1, steps))

    def step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.rate.step()


class _Kept:
    """The state of a network that did best on pictures held out; untrained to begin with."""

    def __init__(self, network: UNet, plain: UInt8Array, planes: Tensor) -> None:
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


def _pictures(network: UNet, planes: Tensor) -> UInt8Array:
    with torch.no_grad():
        found = torch.cat([network(part) for part in torch.split(planes, BATCH)])
    grey: UInt8Array = np.clip(np.rint(found.numpy() * 255), 0, 255).astype(np.uint8)
    return grey[..., None]


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

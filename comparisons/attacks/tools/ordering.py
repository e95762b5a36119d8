"""A small transformer that says where in a picture a block belongs, learnt from public images.

Each block is one token; there are no numbers of places among the inputs, so that the order in which
blocks come tells nothing. For each block the network gives a probability of each place of the grid.
Where ciphers turn and negate blocks one by one, so does training. Source: transformer encoder,
Vaswani et al., NeurIPS 2017; jigsaw puzzles as a task, Noroozi and Favaro, ECCV 2016.
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
from he_compare.common.block_solving.tiles import cut, symmetric
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array

WIDTH, LAYERS, HEADS = 128, 4, 4
TOKENS, STEPS = 1600, 4000
LEARNING_RATE = 1e-3
WARM_UP = 50
HELD_OUT = 0.1
CONTRAST, BRIGHTNESS = 0.2, 0.1


class Orderer(nn.Module):
    """Blocks (n, k, m * m) of about -0.5 ... 0.5 to logits of their places, (n, k, places)."""

    def __init__(self, values: int, places: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(values, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.mix = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.place = nn.Linear(WIDTH, places)

    def forward(self, blocks: Tensor) -> Tensor:
        """Return logits of places."""
        found: Tensor = self.place(self.mix(self.read(blocks)))
        return found


@dataclass(frozen=True)
class Ordering:
    """A trained network. ``right``: share of blocks of held-out public images whose likeliest place
    is the right one. ``at_once``: pictures that the memory of the device took at once; None where
    it took the whole batch."""

    network: Orderer
    steps: int
    right: float
    at_once: int | None = None

    def log_likelihood(self, blocks: UInt8Array) -> Float64Array:
        """Return the logarithm of the probability that block j of blocks (n, k, m, m) lies at place
        i, summed over images: (places, k)."""
        with torch.no_grad():
            found = [self.network(_there(_tokens(one[None]), self.network)) for one in blocks]
            logs = functional.log_softmax(torch.cat(found), dim=2).sum(dim=0)
        return np.asarray(logs.cpu().numpy().T, dtype=np.float64)


def learn_ordering(
    plain: UInt8Array,
    patch: int,
    *,
    turned: bool,
    seconds: float,
    random: np.random.Generator,
    steps: int = STEPS,
    device: str = CPU,
) -> Ordering:
    """Learn from plain images (n, h, w, c) in some steps, fewer where the seconds run out.

    ``turned``: blocks may be turned, mirrored and negated one by one. The global generator of torch
    is left as it was.
    """
    grey = np.rint(plain.mean(axis=3, keepdims=True)).astype(np.uint8)
    blocks = cut(grey, patch)
    pieces = blocks.reshape(*blocks.shape[:2], patch, patch)[random.permutation(len(blocks))]
    held = max(1, int(HELD_OUT * len(pieces)))
    learnt, judged = pieces[held:], pieces[:held]
    batch = max(2, min(32, TOKENS // pieces.shape[1]))
    step, at_once = 0, batch
    with seeded(int(random.integers(1 << 31)), device):
        network = moved(Orderer(patch * patch, pieces.shape[1]), device)
        optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
        start = time.perf_counter()
        while (done := max((time.perf_counter() - start) / seconds, step / steps)) < 1:
            rate = min((step + 1) / WARM_UP, 1.0) * (1 - done)
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * rate
            chosen = learnt[random.integers(len(learnt), size=batch)]
            shown = _tokens(_turned(chosen, random) if turned else chosen, random)
            at_once = _descend(network, optimiser, shown, at_once)
            step += 1
        with torch.no_grad():
            shown = _tokens(_turned(judged, random) if turned else judged)
            logits = [network(_there(one[None], network)) for one in shown]
            guessed = torch.cat(logits).argmax(dim=2).cpu().numpy()
    right = float((guessed == np.arange(guessed.shape[1])).mean())
    return Ordering(network.eval(), step, right, at_once if at_once < batch else None)


def _descend(
    network: Orderer, optimiser: torch.optim.Optimizer, shown: Float32Array, at_once: int
) -> int:
    """Learn from some pictures; return how many the memory of the device took at once."""

    def gradients(most: int) -> None:
        optimiser.zero_grad()
        for part in np.array_split(shown, -(-len(shown) // most)):
            loss = _loss(network(_there(part, network))) * (len(part) / len(shown))
            loss.backward()  # type: ignore[no-untyped-call]

    _, held = with_smaller_batches(gradients, at_once)
    optimiser.step()
    return held


def _there(values: Float32Array, network: Orderer) -> Tensor:
    """Return values as a tensor on the device of a network."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device_of(network))


def _loss(logits: Tensor) -> Tensor:
    count, blocks, places = logits.shape
    wanted = torch.arange(blocks, device=logits.device).repeat(count)
    return functional.cross_entropy(logits.reshape(-1, places), wanted)


def _tokens(pieces: UInt8Array, random: np.random.Generator | None = None) -> Float32Array:
    """Flatten pieces (n, k, m, m); with a generator, at a contrast and brightness of its own."""
    flat: Float32Array = pieces.reshape(*pieces.shape[:2], -1).astype(np.float32) / 255 - 0.5
    if random is not None:
        shape = (len(flat), 1, 1)
        flat = flat * random.uniform(1 - CONTRAST, 1 + CONTRAST, shape).astype(np.float32)
        flat = flat + random.uniform(-BRIGHTNESS, BRIGHTNESS, shape).astype(np.float32)
    return flat


def _turned(pieces: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Turn, mirror and negate each of the pieces (n, k, m, m) by itself."""
    flat = pieces.reshape(-1, *pieces.shape[2:])
    turn: IntArray = random.integers(8, size=len(flat))
    found = np.empty_like(flat)
    for symmetry in range(8):
        found[turn == symmetry] = symmetric(flat[turn == symmetry], symmetry)
    negated = random.integers(2, size=len(flat)) == 1
    found[negated] = 255 - found[negated]
    return found.reshape(pieces.shape)

"""Learned inversion, linear: a map from ciphertext blocks to plain blocks, fitted on known pairs.

Nothing about the cipher is used but its blocks. Which ciphertext block belongs to which plain block
is found by statistics that ciphers keep (norm, and norm about mid-grey), followed over the pairs;
one ridge regression for all blocks then inverts whatever is linear inside blocks, negation and
secret rotations included; its strength is chosen on held-out pairs. The same fit on pairs made
under keys of the adversary's own is the negative: it shows what the known pairs contribute. Source:
ridge regression, Hoerl and Kennard 1970; learned inversion as threat: Chang and Case, arXiv
2004.13263.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import ONE_KEY_TO_LEARN
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.tiles import join, matched_blocks
from he_compare.common.scheme import PictureShape
from he_compare.common.similarity import ssim
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.descriptors import block_side, blocks_of
from he_compare.comparisons.attacks.tools.likeness import score_pictures

# The strongest leaves the mean picture.
STRENGTHS = (1e-3, 1e-1, 10.0, 1e3, 1e6)
HELD_OUT = 4
MIDDLE = 127.5
OTHER_KEY = 77


@dataclass(frozen=True)
class LinearInversion:
    """Pictures of the attacked ciphertexts: by pairs of this key, and by pairs of another."""

    same_key: UInt8Array
    other_key: UInt8Array
    pairs: int


class LearnedLinear(Attack):
    """Known pairs; a linear map for each block."""

    name = "learned_linear"
    title = "Learned inversion (linear)"
    rung = Knowledge.KNOWN_PAIRS
    aim = Aim.IMAGE
    needs = frozenset({Need.PAIRS})
    reads_pictures = False
    requires = (ONE_KEY_TO_LEARN,)
    metric = SSIM
    limits = (
        "linear maps inside blocks only; with fewer blocks in the pairs than values in a block the "
        "map is not determined and the recovered pictures are blurred",
    )
    source = "ridge regression (Hoerl and Kennard 1970) on known pairs"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> LinearInversion:
        """Fit on the pairs, and on the same plain images under a key of the adversary's own."""
        pairs, facts = view.pairs, view.facts
        side = block_side(facts.shape, facts.patch)
        own = view.under_own_key(pairs.plain, OTHER_KEY)
        return LinearInversion(
            _learnt(pairs.plain, pairs.ciphertexts, facts.shape, side)(view.ciphertexts),
            _learnt(pairs.plain, own, facts.shape, side)(view.ciphertexts),
            len(pairs.plain),
        )

    def score(self, guess: LinearInversion, truth: Truth) -> Score:
        """Compare pictures with originals."""
        height, width = guess.other_key.shape[1:3]
        other = float(ssim(guess.other_key, truth.originals[:, :height, :width]).mean())
        details = (Detail("SSIM learnt under another key", other),)
        return score_pictures(guess.same_key, truth, details, {"pairs": guess.pairs})


@dataclass(frozen=True)
class _Inverse:
    """Plain block j: what ciphertext block ``source[j]`` is beside its mean, times weights, beside
    the mean plain block j: (k, values) each."""

    shape: PictureShape
    side: int
    source: IntArray
    weights: Float64Array
    mean: Float64Array
    offset: Float64Array

    def __call__(self, ciphertexts: PixelArray) -> UInt8Array:
        blocks = _blocks(ciphertexts, self.shape, self.side)[:, self.source]
        plain = (blocks - self.mean) @ self.weights + self.offset
        height, width, channels = self.shape
        rows, columns = height // self.side, width // self.side
        pixels = np.clip(np.rint(plain), 0, 255).astype(np.uint8)
        return join(pixels, rows, columns, channels)


def _learnt(plain: UInt8Array, ciphertexts: PixelArray, shape: PictureShape, side: int) -> _Inverse:
    """Match blocks over the pairs, then fit one ridge regression for all of them.

    What all ciphertexts share at a place (a header, say) is no input: it would tell where a block
    lies and pass for a leak. The strength is chosen on every fourth pair, held out:
    ciphertexts that say nothing give the mean picture, however short and often repeated.
    """
    x, y = _blocks(ciphertexts, shape, side), _blocks(plain, shape, side)
    source = matched(x, y)
    x = x[:, source]
    out = np.arange(len(x)) % HELD_OUT == 0
    some = _Ridge.of(x[~out], y[~out])
    errors = [some.errors(x[out], y[out], strength) for strength in STRENGTHS]
    whole = _Ridge.of(x, y)
    weights = whole.weights(STRENGTHS[_strongest(np.array(errors))])
    return _Inverse(shape, side, source, weights, whole.mean, whole.offset)


def _strongest(errors: Float64Array) -> int:
    """Return the last row of errors (strengths, pairs) whose mean is as good as the least.

    As good: within a standard error of it (the rule of Breiman et al. 1984).
    """
    means = errors.mean(axis=1)
    best = int(np.argmin(means))
    tolerance = float(errors[best].std()) / errors.shape[1] ** 0.5
    return int(np.flatnonzero(means <= means[best] + tolerance)[-1])


@dataclass(frozen=True)
class _Ridge:
    """Ridge regression of every strength at once, by the eigenvectors of the inputs' products."""

    mean: Float64Array
    offset: Float64Array
    values: Float64Array
    vectors: Float64Array
    turned: Float64Array

    @classmethod
    def of(cls, x: Float64Array, y: Float64Array) -> _Ridge:
        """Fit blocks y (n, k, v) to blocks x (n, k, u), both beside their means over n."""
        mean, offset = x.mean(axis=0), y.mean(axis=0)
        inputs = (x - mean).reshape(-1, x.shape[2])
        outputs = (y - offset).reshape(-1, y.shape[2])
        values, vectors = np.linalg.eigh(inputs.T @ inputs)
        return cls(mean, offset, values, vectors, vectors.T @ (inputs.T @ outputs))

    def weights(self, strength: float) -> Float64Array:
        """Return the weights (u, v) of a strength relative to the mean square of the inputs."""
        ridge = strength * max(float(self.values.mean()), 1e-9)
        return cast(
            Float64Array, self.vectors @ (self.turned / (np.abs(self.values) + ridge)[:, None])
        )

    def errors(self, x: Float64Array, y: Float64Array, strength: float) -> Float64Array:
        """Return the mean squared error on blocks of each of other pairs, (n,)."""
        missed = (x - self.mean) @ self.weights(strength) + self.offset - y
        return cast(Float64Array, (missed**2).mean(axis=(1, 2)))


def matched(ciphertext: Float64Array, plain: Float64Array) -> IntArray:
    """Return the ciphertext block (n, k, values) that belongs to each plain block: (k,)."""
    statistics = []
    for centre in (0.0, MIDDLE):
        ours = np.sqrt(((plain - centre) ** 2).mean(axis=2))
        theirs = np.sqrt(((ciphertext - centre) ** 2).mean(axis=2))
        statistics.append((ours, theirs))
    return matched_blocks(statistics)


def _blocks(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    flat = images.reshape(len(images), -1).astype(np.float64)
    return cast(Float64Array, blocks_of(flat, shape, side))


ATTACK = LearnedLinear()

"""Feature inversion: pictures from leaked DeiT features, and from the ciphertexts in their place.

The counterfactual that justifies encrypting features: a decoder learnt on other people's images
turns features into recognisable pictures; from ciphertexts the same decoder gets the mean picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.similarity import luminance, ssim
from he_compare.common.types import Float64Array, IntArray, Knowledge, Side, UInt8Array
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.victim import (
    deploy,
    population_of,
    victim_of,
)

SIDE = 56
STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
HELD_OUT = 5


@dataclass(frozen=True)
class Decoder:
    """Pixels are mean + (features - centre) / scale @ weights."""

    centre: Float64Array
    scale: Float64Array
    mean: Float64Array
    weights: Float64Array

    def __call__(self, features: Float64Array) -> UInt8Array:
        """Return pictures, uint8 (n, SIDE, SIDE)."""
        pixels = self.mean + (features - self.centre) / self.scale @ self.weights
        return as_bytes(pixels).reshape(-1, SIDE, SIDE)


def as_bytes(pixels: Float64Array) -> UInt8Array:
    """Round and clip to uint8."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def small_grey(images: UInt8Array) -> UInt8Array:
    """Return grey pictures of SIDE x SIDE pixels of images (n, h, w, 3)."""
    grey = np.rint(luminance(images)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIDE, SIDE))) for one in grey])


def learn(features: Float64Array, pictures: UInt8Array) -> Decoder:
    """Fit a decoder to features (n, width) and pictures (n, SIDE, SIDE) of the adversary's own.

    The ridge's strength is that of the least error on every fifth image, held out.
    """
    out = np.arange(len(features)) % HELD_OUT == 0
    errors = [
        float(
            (
                (
                    _fit(features[~out], pictures[~out], strength)(features[out])
                    - 1.0 * pictures[out]
                )
                ** 2
            ).mean()
        )
        for strength in STRENGTHS
    ]
    return _fit(features, pictures, STRENGTHS[int(np.argmin(errors))])


def _fit(features: Float64Array, pictures: UInt8Array, strength: float) -> Decoder:
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale < 1e-12, 1.0, scale)
    inputs = (features - centre) / scale
    pixels = pictures.reshape(len(pictures), -1).astype(np.float64)
    mean = pixels.mean(axis=0)
    kernel = inputs @ inputs.T + strength * len(inputs) ** 0.5 * np.eye(len(inputs))
    weights = inputs.T @ np.linalg.solve(kernel, pixels - mean)
    return Decoder(centre, scale, mean, weights)


@dataclass(frozen=True)
class Inverted:
    """What came out. ``similarity``: SSIM to the original, (n,). ``found``: share of pictures whose
    original is the nearest of all n."""

    pictures: UInt8Array
    similarity: Float64Array
    found: float


def judge(pictures: UInt8Array, originals: UInt8Array) -> Inverted:
    """Score pictures (n, SIDE, SIDE) against their originals."""
    return Inverted(pictures, ssim(pictures, originals), _top_one(pictures, originals))


def _top_one(pictures: UInt8Array, originals: UInt8Array) -> float:
    """Re-identify by the correlation of what differs from the mean picture."""
    centre = originals.reshape(len(originals), -1).mean(axis=0)
    one, two = (_unit(x.reshape(len(x), -1) - centre) for x in (pictures, originals))
    return float(((one @ two.T).argmax(axis=1) == np.arange(len(one))).mean())


def _unit(rows: Float64Array) -> Float64Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def first_bytes(messages: list[bytes], count: int) -> Float64Array:
    """Return ``count`` bytes from the middle of each message as numbers (n, count)."""
    rows = []
    for message in messages:
        start = max(0, (len(message) - count) // 2)
        rows.append(np.resize(np.frombuffer(message[start : start + count], np.uint8), count))
    return np.array(rows, dtype=np.float64)


VICTIMS, SHOWN, LEAST, CIPHERTEXTS = 40, 3, 24, 40
MOST_GAIN = 0.02


class FeatureInversion(EncryptionCheck):
    """Learns on part of the images, inverts the others; ciphertexts under the adversary's key."""

    name = "feature_inversion"
    title = "Pictures from features and from ciphertexts"
    rung = Knowledge.AUXILIARY_DATA
    metric = AttackMetric("SSIM to the original, from ciphertexts", best=1.0)
    source = "Dosovitskiy and Brox, CVPR 2016 (its linear part)"

    def applies(self, inspected: Inspected) -> str:
        """Pipelines whose client extracts and encrypts features."""
        if len(inspected.images) < LEAST:
            return f"{len(inspected.images)} images are too few to learn a decoder from"
        return super().applies(inspected)

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Invert leaked features, then ciphertexts, of images the decoder never saw."""
        population = population_of(inspected)
        pictures = small_grey(population.images)
        order = random.permutation(len(pictures))
        victims, own = np.split(order, [min(VICTIMS, len(order) // 3)])
        features = population.features.astype(np.float64)
        leaked = judge(learn(features[own], pictures[own])(features[victims]), pictures[victims])
        hidden = self._from_ciphertexts(inspected, pictures, own, victims)
        mean = np.rint(pictures[own].mean(axis=0)).astype(np.uint8)
        floor = float(judge(np.stack([mean] * len(victims)), pictures[victims]).similarity.mean())
        value = float(hidden.similarity.mean())
        sound = value - floor < MOST_GAIN and hidden.found <= 3 / len(victims) + 0.05
        return CheckFinding(
            verdict="resists within budget" if sound else "partial",
            headline=f"SSIM from ciphertexts {value:.2f} (the mean picture {floor:.2f}); if the "
            f"features leaked: SSIM {leaked.similarity.mean():.2f}, and {leaked.found:.0%} of "
            f"{len(victims)} pictures matched to their original (chance {1 / len(victims):.1%})",
            value=value,
            details=[
                Detail("SSIM of the mean picture: the floor", floor),
                Detail("SSIM from leaked features", float(leaked.similarity.mean())),
                Detail("re-identified from leaked features", leaked.found),
                Detail("re-identified from ciphertexts", hidden.found),
                Detail("images learnt from", float(len(own)), "images"),
            ],
            limits=[
                "a linear decoder and few images of the same source: a lower bound on what leaked "
                "features reveal",
                f"pictures of {pictures.shape[1]} x {pictures.shape[2]} pixels, grey",
            ],
            spent={"auxiliary images": len(own), "ciphertexts": len(victims)},
            pictures=_shown(pictures[victims], leaked, hidden),
        )

    def _from_ciphertexts(
        self, inspected: Inspected, pictures: UInt8Array, own: IntArray, victims: IntArray
    ) -> Inverted:
        """Learn on ciphertexts under the adversary's own key, invert those under the victim's."""
        adversary, victim = deploy(inspected), victim_of(inspected)
        width = 8 * victim.model.width
        own = own[:CIPHERTEXTS]
        seen: list[Float64Array] = []
        for side, positions in ((adversary, own), (victim, victims)):
            messages = side.client.protect(side.inputs[positions], Clock(Side.CLIENT))
            seen.append(first_bytes(messages, width))
        return judge(learn(seen[0], pictures[own])(seen[1]), pictures[victims])


def _shown(
    originals: UInt8Array, leaked: Inverted, hidden: Inverted
) -> list[tuple[str, str, UInt8Array, str]]:
    shown: list[tuple[str, str, UInt8Array, str]] = []
    for number in range(min(SHOWN, len(originals))):
        name = str(number)
        kinds = ((leaked, "leaked features"), (hidden, "ciphertexts"))
        shown.append((name, "original", _coloured(originals[number]), ""))
        shown += [
            (
                name,
                "after attack",
                _coloured(one.pictures[number]),
                f"from {what}: SSIM {one.similarity[number]:.2f}",
            )
            for one, what in kinds
        ]
    return shown


def _coloured(picture: UInt8Array) -> UInt8Array:
    return np.repeat(picture[:, :, None], 3, axis=2)


CHECK = FeatureInversion()

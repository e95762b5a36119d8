"""Pictures from features: a decoder learnt on other people's images.

Ridge regression from features to pixels: the linear part of what deep decoders do (Dosovitskiy and
Brox, "Inverting Visual Representations with Convolutional Networks", CVPR 2016), solved in closed
form. What it gives is a lower bound on what leaked features give away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.similarity import luminance, ssim
from common.types import Float64Array, UInt8Array

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

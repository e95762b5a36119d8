"""How an image looks: a hash of 255 bits that survives compression, resizing and brightness.

The perceptual hash with the discrete cosine transform (Zauner 2010, "Implementation and
benchmarking of perceptual image hash functions"), with more bits than usual: radiographs of
different patients agree in too many of the usual 63. The grey image is squashed to 64 x 64; of its
transform the 16 x 16 lowest frequencies without the mean give one bit each, 1 above their median.
A mirror or a quarter turn only changes signs and order of the coefficients, so that all eight are
compared without turning an image. How well it does is measured in ``docs/explanation/leaks.md``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from he_compare.common.types import Float32Array, IntArray, UInt8Array

SIDE = 64
FREQUENCIES = 16
BITS = FREQUENCIES**2 - 1
# Images of different patients or photographs begin at 38 bits (chestxray) and 84 (histology); made
# copies mostly end below 32.
NEAR_BITS = 32
# Images whose grey values differ by less, as standard deviation, look like nothing.
FLAT = 1.0
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# The grey of each value that all three channels have.
GREYS = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1) @ GREY
# Images that are compared at a time with how many others: memory does not grow with their number.
ROWS, COLUMNS = 256, 8192


def frequencies_of(image: UInt8Array) -> Float32Array:
    """Return the low frequencies of an image (h, w, 1 or 3): float32 (16, 16), zeros if flat."""
    from PIL import Image
    from scipy.fft import dctn

    if image.shape[2] == 1:
        values = np.take(GREYS, image[..., 0], mode="clip")
    else:
        values = image.astype(np.float32) @ GREY
    grey = Image.fromarray(values)
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
    if small.std() < FLAT:
        return np.zeros((FREQUENCIES, FREQUENCIES), dtype=np.float32)
    found: Float32Array = dctn(small, norm="ortho")[:FREQUENCIES, :FREQUENCIES]
    return found.astype(np.float32)


def bits_of(frequencies: Float32Array) -> Float32Array:
    """Return the hashes of (n, 16, 16) frequencies: float32 (n, 255) of -1 and 1; 0 where flat."""
    flat = frequencies.reshape(len(frequencies), -1)[:, 1:]
    above = flat > np.median(flat, axis=1, keepdims=True)
    bits = np.where(above, np.float32(1), np.float32(-1))
    bits[~flat.any(axis=1)] = 0
    return bits


def turned(frequencies: Float32Array) -> Iterator[Float32Array]:
    """Yield (n, 16, 16) frequencies of the images as they are, mirrored and turned: eight times."""
    signs = np.where(np.arange(frequencies.shape[-1]) % 2, -1, 1).astype(np.float32)
    for upright in (frequencies, frequencies.transpose(0, 2, 1)):
        for rows in (upright, upright * signs[:, None]):
            yield rows
            yield rows * signs


def nearest_looks(
    of: Float32Array, among: Float32Array, *, turns: bool = True
) -> tuple[IntArray, IntArray]:
    """Return for each of (n, 16, 16) the nearest of (m, 16, 16): position, and bits that differ.

    ``turns``: whether mirrored and turned images count. A flat image is ``BITS`` from any other.
    """
    position = np.zeros(len(of), dtype=np.int64)
    distance = np.full(len(of), BITS, dtype=np.int64)
    for frequencies in turned(of) if turns else (of,):
        for first in range(0, len(among), COLUMNS):
            others = bits_of(among[first : first + COLUMNS]).T
            for start in range(0, len(of), ROWS):
                part = slice(start, start + ROWS)
                agree = bits_of(frequencies[part]) @ others
                agree[agree == 0] = -BITS
                best = agree.argmax(axis=1)
                differ = np.rint((BITS - agree[np.arange(len(best)), best]) / 2).astype(np.int64)
                nearer = differ < distance[part]
                position[part][nearer] = first + best[nearer]
                distance[part][nearer] = differ[nearer]
    return position, distance

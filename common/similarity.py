"""How alike two pictures are: SSIM, PSNR and the similarity of their gradients.

All are taken on luminance (the mean of the channels) of uint8 pictures. A low SSIM between an image
and its ciphertext is perceptual hiding, not confidentiality; a high SSIM between an image and what
an attack made of its ciphertext is a break.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy import ndimage

from he_compare.common.types import Float64Array, UInt8Array

PEAK = 255.0
LOW_SSIM_NOTE = "a low SSIM to the ciphertext is perceptual hiding, not confidentiality"
SSIM_SIGMA, SSIM_TRUNCATE = 1.5, 3.5
GRADIENT_CONSTANT = 170.0


def luminance(images: UInt8Array) -> Float64Array:
    """Return the mean over channels of (n, h, w, c), or (n, h, w) as it is: float64 (n, h, w)."""
    values = images.astype(np.float64)
    return cast(Float64Array, values.mean(axis=3) if values.ndim == 4 else values)


def ssim(first: UInt8Array, second: UInt8Array) -> Float64Array:
    """Structural similarity of each pair, float64 (n,), 1 for equal pictures.

    Gaussian window of sigma 1.5 (11 x 11), K1 = 0.01, K2 = 0.03. Source: Wang, Bovik, Sheikh,
    Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    TIP 2004.
    """
    x, y = luminance(first), luminance(second)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return cast(Float64Array, (numerator / denominator).mean(axis=(1, 2)))


def psnr(first: UInt8Array, second: UInt8Array) -> Float64Array:
    """Peak signal-to-noise ratio of each pair in dB, float64 (n,); at most 99 (equal pictures)."""
    error = ((luminance(first) - luminance(second)) ** 2).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        decibels = 10 * np.log10(PEAK**2 / error)
    return cast(Float64Array, np.minimum(decibels, 99.0))


def gradient_similarity(first: UInt8Array, second: UInt8Array) -> Float64Array:
    """Mean similarity of gradient magnitudes of each pair, float64 (n,), 1 for equal pictures.

    A perceptual measure that sees edges and no grey levels, so that it is blind to negation:
    Prewitt gradients after halving, constant 170. Source: Xue, Zhang, Mou, Bovik, "Gradient
    Magnitude Similarity Deviation", IEEE TIP 2014 (its mean, not its deviation).
    """
    x, y = _gradient(luminance(first)), _gradient(luminance(second))
    similar = (2 * x * y + GRADIENT_CONSTANT) / (x**2 + y**2 + GRADIENT_CONSTANT)
    return cast(Float64Array, similar.mean(axis=(1, 2)))


def _blur(values: Float64Array) -> Float64Array:
    return cast(
        Float64Array,
        ndimage.gaussian_filter(values, (0, SSIM_SIGMA, SSIM_SIGMA), truncate=SSIM_TRUNCATE),
    )


def _gradient(values: Float64Array) -> Float64Array:
    halved = ndimage.uniform_filter(values, (0, 2, 2))[:, ::2, ::2]
    across = ndimage.prewitt(halved, axis=2) / 3.0
    down = ndimage.prewitt(halved, axis=1) / 3.0
    return cast(Float64Array, np.hypot(across, down))

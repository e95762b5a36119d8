"""The shape of an image, and the checks that arrays have it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array


class ImageShape(NamedTuple):
    """Shape of one image; channels are 1 or 3."""

    height: int
    width: int
    channels: int


def check_shape(shape: ImageShape) -> None:
    """Raise UsageError unless the shape is that of a grey or colour image."""
    if shape.channels not in (1, 3) or min(shape) < 1:
        raise UsageError(
            f"images of shape {tuple(shape)} are neither grey nor RGB",
            fix="convert them to 1 or 3 channels (no alpha)",
        )


def check_images(images: UInt8Array, shape: ImageShape) -> None:
    """Raise UsageError unless ``images`` is uint8 (n, h, w, c) of this shape."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != tuple(shape):
        raise UsageError(
            f"images are {images.dtype} {images.shape}, "
            f"this key is prepared for uint8 (n, {shape.height}, {shape.width}, {shape.channels})",
            fix="convert them to 8 bit without alpha and resize them to that shape",
        )

"""Ciphertexts as pictures to look at, whatever type their values have."""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.types import PixelArray, UInt8Array

# Of a picture's values, what must be bytes for it to be shown as they are. Of a part that a matrix
# rotates, about half are negative: a picture of which half is rotated still shows the other half.
BYTES_FROM = 0.75


def shown(picture: PixelArray) -> UInt8Array:
    """Show a ciphertext (h, w, c) as uint8.

    Float values are shown as they are where at least three quarters of them lie in [0, 255], else
    v as 127.5 + v / 2: that keeps nearly all values of a rotated picture, whose spread is that of
    bytes around zero. Both are rounded and cut off; what is no number is shown as 0.
    """
    if picture.dtype == np.uint8:
        return cast(UInt8Array, picture)
    values = np.nan_to_num(picture, nan=0.0, posinf=255.0, neginf=0.0).astype(np.float64)
    # Half a value beyond either end still rounds to a byte.
    are_bytes = (values >= -0.5) & (values <= 255.5)
    if are_bytes.mean() < BYTES_FROM:
        values = 127.5 + values / 2.0
    return cast(UInt8Array, np.clip(np.rint(values), 0, 255).astype(np.uint8))

"""The window through which 16-bit grey becomes 8-bit grey: the same for all pictures of a dataset.

Grey of more than 8 bits is mapped from 0 ... 2^b - 1 to 0 ... 255, where b is the least of
``DEPTHS`` that holds every value of every 16-bit picture of the dataset. Stretching each picture by
itself would take away what an intensity means; the full range of 16 bits would make the 12 bits of
most devices black. One window for all keeps pictures comparable. It depends on the largest value
alone, which says how deep the device stores, and on no label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.types import UInt8Array

DEPTHS = (8, 10, 12, 14, 16)


def least_depth(largest: int) -> int:
    """Return the least of ``DEPTHS`` whose range holds a value from 0 to 65,535."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def through_window(values: npt.NDArray[np.integer[Any]], bits: int) -> UInt8Array:
    """Map 0 ... 2^bits - 1 to 0 ... 255, rounded to the nearest level (halves up)."""
    top = np.uint32((1 << bits) - 1)
    mapped = (values.astype(np.uint32) * np.uint32(255) + top // 2) // top
    return mapped.astype(np.uint8)


def stated_window(bits: int) -> str:
    """Say the window as a note does."""
    depths = ", ".join(map(str, DEPTHS[:-1]))
    return (
        f"values 0 to {(1 << bits) - 1:,} become 0 to 255 ({bits} bits, the fewest of {depths} and "
        f"{DEPTHS[-1]} that hold every value of all of them)"
    )

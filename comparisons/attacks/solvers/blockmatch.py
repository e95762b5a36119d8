"""Which ciphertext block belongs to which plain block, followed over known pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from common.types import Float64Array, IntArray


def matched_blocks(statistics: Sequence[tuple[Float64Array, Float64Array]]) -> IntArray:
    """Return the ciphertext block of each plain block, (k,), from statistics that ciphers may keep.

    ``statistics``: of plain and of ciphertext blocks, each (n, k) over n pairs.
    """
    unlike = np.zeros((statistics[0][0].shape[1], statistics[0][1].shape[1]))
    for ours, theirs in statistics:
        gap = (ours**2).sum(axis=0)[:, None] + (theirs**2).sum(axis=0)[None]
        squares = np.maximum(gap - 2 * ours.T @ theirs, 0)
        # A statistic that the cipher keeps has an exact counterpart for every block; one that it
        # does not keep has none, and its say shrinks with its best gap.
        unlike += squares / (np.median(squares.min(axis=1)) + 1.0)
    # Equal statistics mean blocks in place.
    unlike[np.diag_indices_from(unlike)] -= 1e-6
    return cast(IntArray, np.asarray(linear_sum_assignment(unlike)[1], dtype=np.int64))

"""The eight symmetries of the square as small matrices, composed and inverted by table.

Symmetry ``s`` is that of ``tiles.symmetric``: for 4 to 7 rows and columns are exchanged, then come
``s % 4`` quarter turns against the clock. ``MOVES[s]`` tells where an offset (down, right) goes.
"""

from __future__ import annotations

import numpy as np

from common.types import IntArray

COUNT = 8
_QUARTER = np.array([[0, -1], [1, 0]], dtype=np.int64)
_EXCHANGE = np.array([[0, 1], [1, 0]], dtype=np.int64)


def _moves() -> IntArray:
    turns = [np.linalg.matrix_power(_QUARTER, k) for k in range(4)]
    return np.stack([*turns, *(turn @ _EXCHANGE for turn in turns)])


MOVES: IntArray = _moves()


def _index_of(matrix: IntArray) -> int:
    return int(np.flatnonzero((matrix == MOVES).all(axis=(1, 2)))[0])


AFTER: IntArray = np.array([[_index_of(a @ b) for b in MOVES] for a in MOVES])
INVERSE: IntArray = np.array([_index_of(a.T) for a in MOVES])

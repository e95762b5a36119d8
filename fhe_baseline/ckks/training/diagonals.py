"""Where data, weights and sums lie in the slots: generalised diagonals, baby and giant steps.

Two real columns share a complex slot: with x = x1 + i x2 and v = w1 - i w2, x v has the real part
x1 w1 + x2 w2, and conj(x) p = x1 p - i x2 p is the gradient in the form of v. So d columns make
D = d/2 complex ones, padded to a power of two that divides the S slots; v is repeated with period
D; the n rows lie in groups of S. Diagonal k holds, in slot i, X[i, (i + k) mod D]. With
k = giant B + baby and rot_k the rotation to the left::

    X v   = sum_giant rot_{giant B} ( sum_baby F . rot_baby(v) ),      F = rot_{-giant B}(diagonal)
    X^H p = sum_giant rot_{-giant B} ( sum_baby H . rot_{-baby}(p) ),  H = rot_{-baby}(conjugate)

and the second sum, folded by rotations of D, 2D ... S/2, has period D again (Halevi and Shoup,
CRYPTO 2014 and 2018, for diagonals and for baby steps and giant steps).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Complex128Array, Float64Array
from he_compare.fhe_baseline.ckks.layouts.slots import padded


@dataclass(frozen=True)
class DiagonalLayout:
    """Layout of ``rows`` x ``columns`` real numbers (the constant column included) in ``slots``.

    ``batches``: the rows are cut into as many stretches, and none of them shares a group with
    another. ``forward_baby``, ``backward_baby``: B of the two directions, powers of two up to D.
    """

    rows: int
    columns: int
    slots: int
    forward_baby: int
    backward_baby: int
    batches: int = 1

    @property
    def period(self) -> int:
        """D: pairs of columns, padded."""
        return padded((self.columns + 1) // 2)

    @property
    def batch_rows(self) -> int:
        """Rows of a batch; the last one may have fewer."""
        return -(-self.rows // self.batches)

    @property
    def groups_per_batch(self) -> int:
        """How often the rows of a batch fill the slots."""
        return max(1, -(-self.batch_rows // self.slots))

    @property
    def groups(self) -> int:
        """Groups of all batches."""
        return self.batches * self.groups_per_batch

    def groups_of(self, batch: int) -> range:
        """Return the groups of one batch."""
        return range(batch * self.groups_per_batch, (batch + 1) * self.groups_per_batch)

    def rows_of_batch(self, batch: int) -> slice:
        """Return where the rows of one batch lie."""
        start = min(batch * self.batch_rows, self.rows)
        return slice(start, min(start + self.batch_rows, self.rows))

    def rows_of_group(self, number: int) -> slice:
        """Return where the rows of one group lie."""
        batch, part = divmod(number, self.groups_per_batch)
        whole = self.rows_of_batch(batch)
        start = min(whole.start + part * self.slots, whole.stop)
        return slice(start, min(start + self.slots, whole.stop))

    @property
    def fold_steps(self) -> list[int]:
        """Rotations that fold S slots onto period D."""
        return [self.period << i for i in range((self.slots // self.period).bit_length() - 1)]

    def rotations(self) -> list[int]:
        """Return every rotation the circuit uses, each once; longer ways are walked in steps."""
        steps = set(self.fold_steps)
        for baby, sign in ((self.forward_baby, 1), (self.backward_baby, -1)):
            if baby > 1:
                steps.add(sign)
            if baby < self.period:
                steps.add(sign * baby)
        return sorted(steps)

    def group(self, matrix: Float64Array, number: int) -> Complex128Array:
        """Return one group of a (rows, columns) matrix as complex (slots, period), zero-padded."""
        rows = matrix[self.rows_of_group(number)]
        block = np.zeros((self.slots, 2 * self.period))
        block[: len(rows), : self.columns] = rows
        return block[:, 0::2] + 1j * block[:, 1::2]

    def forward_diagonal(self, block: Complex128Array, k: int) -> Complex128Array:
        """Return F of diagonal k of a group, complex (slots,)."""
        giant = k - k % self.forward_baby
        return np.roll(self._diagonal(block, k), giant)

    def backward_diagonal(self, block: Complex128Array, k: int) -> Complex128Array:
        """Return H of diagonal k of a group, complex (slots,)."""
        return np.roll(self._diagonal(block, k).conj(), k % self.backward_baby)

    def _diagonal(self, block: Complex128Array, k: int) -> Complex128Array:
        row = np.arange(self.slots)
        diagonal: Complex128Array = block[row, (row + k) % self.period]
        return diagonal

    def spread_rows(self, values: Float64Array, number: int) -> Float64Array:
        """Return one group of a value per row, float64 (slots,), zero-padded."""
        spread = np.zeros(self.slots)
        part = values[self.rows_of_group(number)]
        spread[: len(part)] = part
        return spread

    def spread_weights(self, weights: Float64Array) -> Complex128Array:
        """Return weights (columns,) as w1 - i w2 repeated with period D, complex (slots,)."""
        pairs = np.zeros(2 * self.period)
        pairs[: self.columns] = weights
        return np.tile(pairs[0::2] - 1j * pairs[1::2], self.slots // self.period)

    def read_weights(self, slots: Complex128Array) -> tuple[Float64Array, float]:
        """Return weights (columns,), averaged over their copies, and how far the copies differ."""
        copies = slots.reshape(-1, self.period)
        pairs = copies.mean(axis=0)
        spread = float(np.abs(copies - pairs).max())
        weights = np.empty(2 * self.period)
        weights[0::2], weights[1::2] = pairs.real, -pairs.imag
        return weights[: self.columns], spread


def plan_layout(rows: int, columns: int, slots: int, batches: int = 1) -> DiagonalLayout:
    """Choose the baby steps that cost the fewest key switches in an iteration.

    A giant step relinearises and rotates. Forward, the baby steps of the weights serve all groups;
    backward, the giant steps do, since the groups are summed before.
    """
    base = DiagonalLayout(rows, columns, slots, 1, 1, batches)
    groups = base.groups_per_batch
    babies = [1 << i for i in range(base.period.bit_length())]

    def giants(baby: int) -> int:
        return 2 * (base.period // baby) - 1

    forward = min(babies, key=lambda b: b - 1 + groups * giants(b))
    backward = min(babies, key=lambda b: groups * (b - 1) + giants(b))
    return DiagonalLayout(rows, columns, slots, forward, backward, batches)

"""Where data, weights and sums lie in the slots: generalised diagonals, baby and giant steps.

Two real columns share a complex slot: with x = x1 + i x2 and v = w1 - i w2, x v has the real part
x1 w1 + x2 w2, and the conjugate of x p is x1 p - i x2 p, the gradient in the form of v. So d
columns make D = d/2 complex ones, padded to a power of two; v is repeated with period D. L
classifiers lie side by side (L a power of two): row i of classifier c has slot i L + c, so that one
rotation, product or fold serves all of them. The n rows lie in groups of S/L. Diagonal k holds, in
slot i L + c, X[i, (i + k) mod D]. With k = giant B + baby, rot_k the rotation to the left by k L,
and the one ciphertext F = rot_{-giant B}(diagonal) for both directions::

    X v   = sum_giant rot_{giant B} ( sum_baby F . rot_baby(v) )
    X^T p = sum_baby rot_{-baby} ( sum_giant F . rot_{-giant B}(p) )

and the second sum, folded by rotations of D, 2D ... S/2L, has period D again (Halevi and Shoup,
CRYPTO 2014 and 2018, for diagonals and for baby steps and giant steps). A fold doubles how much of
the slots is summed; a key serves ``doublings`` folds, the second one by turning twice, the third
one four times: fewer keys for more rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Complex128Array, Float64Array
from he_compare.fhe_baseline.ckks.layouts.slots import padded


@dataclass(frozen=True)
class DiagonalLayout:
    """Layout of ``rows`` x ``columns`` real numbers (the constant column included) in ``slots``.

    ``lanes``: L, classifiers side by side in a ciphertext. ``batches``: the rows are cut into as
    many stretches, and none of them shares a group with another. ``baby``: B, a power of two up to
    D. ``doublings``: folds that one rotation key serves.
    """

    rows: int
    columns: int
    slots: int
    baby: int
    lanes: int = 1
    batches: int = 1
    doublings: int = 1

    @property
    def period(self) -> int:
        """D: pairs of columns, padded."""
        return padded((self.columns + 1) // 2)

    @property
    def giants(self) -> int:
        """How many giant steps there are, D / B."""
        return self.period // self.baby

    @property
    def batch_rows(self) -> int:
        """Rows of a batch; the last one may have fewer."""
        return -(-self.rows // self.batches)

    @property
    def group_rows(self) -> int:
        """Rows that one ciphertext holds of each classifier."""
        return self.slots // self.lanes

    @property
    def groups_per_batch(self) -> int:
        """How often the rows of a batch fill the slots."""
        return max(1, -(-self.batch_rows // self.group_rows))

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
        start = min(whole.start + part * self.group_rows, whole.stop)
        return slice(start, min(start + self.group_rows, whole.stop))

    @property
    def folds(self) -> list[tuple[int, int]]:
        """Rotations that fold S slots onto D L: the step of a key, and how often it turns."""
        count = (self.slots // (self.period * self.lanes)).bit_length() - 1
        found = []
        for number in range(count):
            within = number % self.doublings
            found.append(((self.period * self.lanes) << (number - within), 1 << within))
        return found

    @property
    def baby_step(self) -> int:
        """Slots of a rotation by one column."""
        return self.lanes

    @property
    def giant_step(self) -> int:
        """Slots of a rotation by B columns."""
        return self.baby * self.lanes

    def rotations(self) -> list[int]:
        """Return every rotation the circuit uses, each once; longer ways are walked in steps."""
        steps = {step for step, _ in self.folds}
        if self.baby > 1:
            steps |= {self.baby_step, -self.baby_step}
        if self.giants > 1:
            steps |= {self.giant_step, -self.giant_step}
        return sorted(steps)

    def group(self, matrix: Float64Array, number: int) -> Complex128Array:
        """Return one group of a (rows, columns) matrix as complex (group rows, period), padded."""
        rows = matrix[self.rows_of_group(number)]
        block = np.zeros((self.group_rows, 2 * self.period))
        block[: len(rows), : self.columns] = rows
        return block[:, 0::2] + 1j * block[:, 1::2]

    def diagonal(self, block: Complex128Array, k: int) -> Complex128Array:
        """Return F of diagonal k of a group, complex (slots,)."""
        row = np.arange(self.group_rows)
        values = np.repeat(block[row, (row + k) % self.period], self.lanes)
        return np.roll(values, (k - k % self.baby) * self.lanes)

    def spread_rows(self, values: Float64Array, number: int) -> Float64Array:
        """Return one group of a value per classifier and row, as float64 (slots,), zero-padded.

        ``values``: (up to lanes, rows).
        """
        spread = np.zeros((self.group_rows, self.lanes))
        part = values[:, self.rows_of_group(number)]
        spread[: part.shape[1], : len(part)] = part.T
        return spread.ravel()

    def spread_weights(self, weights: Float64Array) -> Complex128Array:
        """Return weights (up to lanes, columns) as w1 - i w2 with period D, complex (slots,)."""
        pairs = np.zeros((self.lanes, 2 * self.period))
        pairs[: len(weights), : self.columns] = weights
        once = (pairs[:, 0::2] - 1j * pairs[:, 1::2]).T.ravel()
        return np.tile(once, self.slots // len(once))

    def read_weights(self, slots: Complex128Array) -> tuple[Float64Array, float]:
        """Return weights (lanes, columns), averaged over copies, and how far copies differ."""
        copies = slots.reshape(-1, self.period, self.lanes)
        pairs = copies.mean(axis=0).T
        spread = float(np.abs(copies - pairs.T).max())
        weights = np.empty((self.lanes, 2 * self.period))
        weights[:, 0::2], weights[:, 1::2] = pairs.real, -pairs.imag
        return weights[:, : self.columns], spread

    def key_switches(self, passes: int) -> int:
        """Return the rotations and relinearisations of a step, for so many ciphertexts of V."""
        groups, giants = self.groups_per_batch, self.giants
        forward = self.baby - 1 + groups * (2 * giants - 1)
        backward = groups * (giants - 1) + 2 * self.baby - 1
        polynomial, conjugations = 3 * groups, groups + 2
        turns = sum(count for _, count in self.folds)
        return passes * (forward + backward + polynomial + conjugations + turns + 1)


def plan_layout(
    rows: int, columns: int, classifiers: int, slots: int, batches: int = 1, doublings: int = 1
) -> DiagonalLayout:
    """Choose lanes that cost no further group of rows, and the baby steps of fewest key switches.

    A giant step relinearises and rotates; a baby step rotates.
    """
    lanes = 1
    while 2 * lanes <= padded(classifiers) and _groups(rows, batches, slots // (2 * lanes)) == (
        _groups(rows, batches, slots)
    ):
        if padded((columns + 1) // 2) * 2 * lanes > slots:
            break
        lanes *= 2
    base = DiagonalLayout(rows, columns, slots, 1, lanes, batches, doublings)
    passes = -(-classifiers // lanes)
    layouts = [
        DiagonalLayout(rows, columns, slots, 1 << i, lanes, batches, doublings)
        for i in range(base.period.bit_length())
    ]
    return min(layouts, key=lambda one: (one.key_switches(passes), one.baby))


def _groups(rows: int, batches: int, group_rows: int) -> int:
    of_a_batch = -(-rows // batches)
    return max(1, -(-of_a_batch // group_rows))

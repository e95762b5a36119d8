"""How a Vision Transformer's patch embedding absorbs a key: the two kinds of affine ciphers.

With normalisation folded in, the plain embedding of a patch x of v values in 0..1 is x W + bias,
W (v, width). What a model for ciphertext needs instead follows from how a ciphertext patch comes
from a plain one. Sources: Qi et al., arXiv 2205.12041; Kiya et al., arXiv 2308.07612.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from he_compare.common.errors import UsageError
from he_compare.common.secrecy import KeptInProcess
from he_compare.common.types import (
    BoolArray,
    Float32Array,
    Float64Array,
    IndexArray,
    IntArray,
)

# A byte is 16 high + low; in units of 1: value = (16 high + low) / 17, all three in 0..1.
LOW_SHARE, HIGH_SHARE = 1.0 / 17.0, 16.0 / 17.0


class PatchKey(Protocol):
    """What an embedding has to know of a key. Ciphertext patch b holds plain block_order[b].

    ``patch``: its side in pixels. ``nibbles``: the embedding takes 2 v nibbles instead of v bytes:
    the low halves of all values, then the high halves.
    """

    @property
    def patch(self) -> int: ...

    @property
    def block_order(self) -> IntArray: ...

    @property
    def nibbles(self) -> bool: ...

    @property
    def embeddings(self) -> int:
        """1 where one embedding serves all patches, else one for each ciphertext patch."""
        ...

    @property
    def values(self) -> int:
        """Number of values of a patch, in bytes."""
        ...

    def absorb(self, rows: Float64Array) -> tuple[Float32Array, Float64Array]:
        """Turn plain rows (v, width) into rows for ciphertext and what to add to the bias.

        float32 (embeddings, v or 2 v, width) and float64 (embeddings, width).
        """
        ...


@dataclass(frozen=True, repr=False)
class PatchAffine(KeptInProcess):
    """Values are moved inside patches and some are negated.

    Patches are flattened in the order row, column, channel. Value j of ciphertext patch b is value
    ``value_order[b, j]`` of the plain patch, taken as 1 - value where ``negated[b, j]``; both have
    one row for all patches, or one for each.
    """

    patch: int
    block_order: IntArray
    value_order: IntArray
    negated: BoolArray
    nibbles: bool = False

    @property
    def embeddings(self) -> int:
        """Number of rows of ``value_order``."""
        return len(self.value_order)

    @property
    def values(self) -> int:
        """Number of values of a patch, in bytes."""
        return self.value_order.shape[1] // (2 if self.nibbles else 1)

    def absorb(self, rows: Float64Array) -> tuple[Float32Array, Float64Array]:
        """Move rows like values; where a value is 1 - x, negate its row and add it to the bias."""
        if self.nibbles:
            rows = np.concatenate([rows * LOW_SHARE, rows * HIGH_SHARE])
        absorbed = np.empty((*self.value_order.shape, rows.shape[1]), np.float32)
        constants = np.empty((len(absorbed), rows.shape[1]))
        for i, (order, negated) in enumerate(zip(self.value_order, self.negated, strict=True)):
            moved = rows[order]
            constants[i] = moved[negated].sum(axis=0)
            moved[negated] *= -1.0
            absorbed[i] = moved
        return absorbed, constants


@dataclass(frozen=True, repr=False)
class PatchMatrix(KeptInProcess):
    """Every patch x becomes ``matrix`` x, with one orthogonal matrix (v, v) for all patches."""

    patch: int
    block_order: IntArray
    matrix: Float64Array
    nibbles: bool = False
    embeddings: int = 1

    @property
    def values(self) -> int:
        """Number of values of a patch."""
        return len(self.matrix)

    def absorb(self, rows: Float64Array) -> tuple[Float32Array, Float64Array]:
        """Rotate the rows like patches: (U x) . (U W) = x . W."""
        return (self.matrix @ rows).astype(np.float32)[None], np.zeros((1, rows.shape[1]))


def affine_from_moves(
    patch: int, positions: IndexArray, index: IndexArray, negated: BoolArray, *, nibbles: bool
) -> PatchAffine:
    """Describe moves of single values as moves inside patches and of whole patches.

    ``positions``: (patches, values), flat positions by patch. Flat value t of a ciphertext is plain
    value ``index[t]``, negated where ``negated[t]``. Raises UsageError where the values of a
    ciphertext patch come from several plain ones.
    """
    patches, values = positions.shape
    patch_of, slot_of = np.empty(index.size, np.int64), np.empty(index.size, np.int64)
    patch_of[positions] = np.arange(patches)[:, None]
    slot_of[positions] = np.arange(values)
    sources = index[positions]
    block_order = patch_of[sources[:, 0]]
    if (patch_of[sources] != block_order[:, None]).any():
        raise UsageError(
            f"the key moves values between the model's patches of {patch} pixels: no patch "
            "embedding can absorb that",
            fix="pass the model's patch to the cipher",
        )
    value_order, flags = slot_of[sources], negated[positions]
    if (value_order == value_order[0]).all() and (flags == flags[0]).all():
        value_order, flags = value_order[:1], flags[:1]
    return PatchAffine(patch, block_order, value_order, flags, nibbles)

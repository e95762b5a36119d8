"""What a solver found as a map: which value of a ciphertext each value of the picture is.

A reconstruction shows grey pictures. As a map of values it keeps all channels, it is exact, it can
be undone, and it can be turned: ciphertexts determine pictures up to the eight symmetries of the
square, the order of the channels, and a negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from he_compare.common.block_solving.placement import Placement, unmoved
from he_compare.common.block_solving.reconstruct import Reconstruction, in_their_places
from he_compare.common.block_solving.tiles import SYMMETRIES, Tiled, cut, join, symmetric
from he_compare.common.types import BoolArray, IntArray, PixelArray, PixelSource, UInt8Array

# Blocks, and their share, that lie where the ciphertext has them: by chance one of all does so.
LEAST_STAYED, STAYED = 6, 0.2


@dataclass(frozen=True)
class SolvedView:
    """Value (y, x, c) of a picture is the flat value ``index[y, x, c]`` of its ciphertext.

    It is 255 minus that value where ``negated[y, x, c]``. int64 and bool (h, w, c); every value of
    a ciphertext is used once.
    """

    index: IntArray
    negated: BoolArray

    def pictures(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Return what uint8 (n, h, w, c) show: uint8 (n, h, w, c)."""
        flat = ciphertexts.reshape(len(ciphertexts), -1)
        shown: UInt8Array = flat[:, self.index.ravel()].reshape(len(flat), *self.index.shape)
        shown ^= self.negated.astype(np.uint8) * np.uint8(255)
        return shown

    def turned(self, symmetry: int) -> SolvedView:
        """Return the view that shows pictures turned by one of the eight symmetries."""
        return SolvedView(
            np.ascontiguousarray(symmetric(self.index[None], symmetry)[0]),
            np.ascontiguousarray(symmetric(self.negated[None], symmetry)[0]),
        )

    def negative(self) -> SolvedView:
        """Return the view that shows negatives."""
        return replace(self, negated=~self.negated)

    def recoloured(self, order: tuple[int, ...]) -> SolvedView:
        """Return the view whose channel i is channel ``order[i]`` of this one."""
        return SolvedView(self.index[..., order], self.negated[..., order])

    def moves(self) -> tuple[IntArray, BoolArray]:
        """Return the map the other way, (h * w * c,) each.

        Flat value t of a ciphertext is the flat value ``index[t]`` of its picture, or 255 minus it
        where ``negated[t]``.
        """
        source = self.index.ravel()
        index, negated = np.empty_like(source), np.empty(len(source), np.bool_)
        index[source] = np.arange(len(source))
        negated[source] = self.negated.ravel()
        return index, negated


class SolvedPictures:
    """Pictures that ciphertexts show by a view, made where they are asked for: (n, h, w, c)."""

    def __init__(self, ciphertexts: PixelSource, view: SolvedView) -> None:
        """``ciphertexts``: of bytes."""
        self._ciphertexts = ciphertexts
        self._view = view

    def __len__(self) -> int:
        return len(self._ciphertexts)

    def __getitem__(self, index: slice | IntArray, /) -> PixelArray:
        return self._view.pictures(cast(UInt8Array, self._ciphertexts[index]))


def solved_view(found: Reconstruction, channels: int, *, placed: bool = True) -> SolvedView | None:
    """Return the map that a reconstruction stands for, with all ``channels``.

    ``placed``: with blocks where they were found to belong; else they stay where they are. None
    where values inside blocks do not divide into pixels of that many channels.
    """
    patch = found.patch
    values = patch * patch * channels
    position: IntArray = np.arange(values).reshape(-1, channels)
    signs: BoolArray = np.zeros(values, np.bool_)
    if found.order is not None:
        position, signs = found.order.position, found.order.negated.astype(np.bool_)
    if position.shape != (patch * patch, channels):
        return None
    rows, columns = found.placement.block.shape
    placement = found.placement if placed else unmoved(rows, columns)
    flat = np.arange(rows * columns * values).reshape(1, rows * patch, columns * patch, channels)
    blocks = cut(flat, patch)[0]
    index = _in_place(blocks[:, position], placement, patch)
    negated = _in_place(np.tile(signs[position], (len(blocks), 1, 1)), placement, patch)
    turned = np.repeat(np.repeat(placement.negated, patch, axis=0), patch, axis=1)
    return SolvedView(index, negated ^ turned.astype(np.bool_)[..., None])


def _in_place(inside: Tiled, placement: Placement, patch: int) -> Tiled:
    """Lay values (blocks, m * m, c) as placed: (rows * m, columns * m, c)."""
    planes = np.moveaxis(inside, 2, 0).reshape(inside.shape[2], -1, patch, patch)
    rows, columns = placement.block.shape
    laid = in_their_places(planes, placement).reshape(len(planes), rows * columns, -1)
    return cast(Tiled, np.moveaxis(join(laid, rows, columns, 1)[..., 0], 0, 2).copy())


def ways_up(view: SolvedView, patch: int) -> list[SolvedView]:
    """Return the views that show the same pictures turned in each of the eight ways.

    Only one where it leaves many blocks where the ciphertext has them: a key that moves few or none
    gives the way up away.
    """
    turned = [view.turned(symmetry) for symmetry in range(SYMMETRIES)]
    here = np.arange(len(_sources(view, patch)))
    stayed = [int((_sources(one, patch) == here).sum()) for one in turned]
    best = int(np.argmax(stayed))
    told = stayed[best] >= max(LEAST_STAYED, STAYED * len(here))
    return [turned[best]] if told else turned


def _sources(view: SolvedView, patch: int) -> IntArray:
    """Return the block of a ciphertext that each block of the picture comes from: (blocks,)."""
    here = cut(np.arange(view.index.size).reshape(1, *view.index.shape), patch)[0]
    block_of = np.empty(view.index.size, np.int64)
    block_of[here] = np.arange(len(here))[:, None]
    return cast(IntArray, block_of[cut(view.index[None], patch)[0][:, 0]])

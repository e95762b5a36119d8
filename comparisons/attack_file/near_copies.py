"""Copies of a pixel that a lossy file format made nearly equal are made equal again.

A grey picture stored in colours holds each pixel three times. Solvers find these copies where they
are equal, or equal after 255 - v. JPEG leaves them a few grey levels apart, which is still far less
than any two pixels are.
"""

from __future__ import annotations

import numpy as np

from he_compare.common.block_solving.correlation import negation_mask, sampled_blocks
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import IntArray, UInt8Array

COPIES = 3
ROWS = 4096
# Mean squared difference of copies over that to the nearest pixel that is none.
APART = 0.6


def with_equal_copies(images: UInt8Array, patch: int) -> UInt8Array:
    """Return images (n, h, w, 3) whose nearly equal values of blocks are equal.

    Unchanged where values do not fall into threes that are much more alike than any others.
    """
    if images.shape[3] != COPIES:
        return images
    blocks = cut(images, patch)
    flat = blocks.reshape(-1, blocks.shape[2])
    negated = negation_mask(sampled_blocks(flat)).astype(bool)
    upright = np.where(negated, 255 - flat, flat).astype(np.uint8)
    groups = _threes(upright)
    if groups is None:
        return images
    mean = np.rint(upright[:, groups].mean(axis=2)).astype(np.uint8)
    upright[:, groups] = mean[:, :, None]
    whole = np.where(negated, 255 - upright, upright).astype(np.uint8)
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    return join(whole.reshape(blocks.shape), rows, columns, COPIES)


def _threes(upright: UInt8Array) -> IntArray | None:
    rows = sampled_blocks(upright)
    rows = rows[:: -(-len(rows) // ROWS)].astype(np.float32)
    own = (rows**2).sum(axis=0)
    gaps = np.maximum(own[:, None] + own[None] - 2 * rows.T @ rows, 0)
    np.fill_diagonal(gaps, -1)
    nearest = np.argsort(gaps, axis=1)[:, : COPIES + 1]
    groups = np.unique(np.sort(nearest[:, :COPIES], axis=1), axis=0)
    if len(groups) * COPIES != len(gaps) or len(np.unique(groups)) != len(gaps):
        return None
    if nearest.shape[1] > COPIES:
        inside = np.take_along_axis(gaps, nearest[:, [COPIES - 1]], axis=1)
        outside = np.take_along_axis(gaps, nearest[:, [COPIES]], axis=1)
        if np.median(inside / np.maximum(outside, 1e-6)) > APART:
            return None
    return groups.astype(np.int64)

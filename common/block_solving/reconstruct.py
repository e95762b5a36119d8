"""From scrambled images alone to pictures: the order inside blocks, then the order of blocks.

How sure it is comes from the ciphertexts themselves, by comparing two halves of the evidence that
know nothing of each other: how alike neighbours inside blocks are on blocks that did not take part
in finding them, and how often two halves of the borders name the same block as the best neighbour.
Halves agree on what is wrong alike, though, where blocks are taken for larger or smaller than they
are: then seams stay in the pictures, across the borders or inside what was taken for a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import numpy as np

from he_compare.common.block_solving.correlation import (
    BlockOrder,
    find_block_order,
    moved_share,
    neighbour_correlation,
    sampled_blocks,
    standardised,
)
from he_compare.common.block_solving.joints import (
    ALL_TURNS,
    UPRIGHT,
    borders_of,
    turned_agreement,
    turned_joints,
    upright_agreement,
    upright_joints,
)
from he_compare.common.block_solving.placement import Placement, place, unmoved
from he_compare.common.block_solving.tiles import Tiled, cut, join, symmetric
from he_compare.common.types import UInt8Array

# Neighbouring pixels of pictures correlate by 0.7 and more inside blocks, those of noise by 0.
SMOOTH, TRACE = 0.5, 0.15
SURE, PARTLY = 0.6, 0.25
# Steps at borders of blocks over those inside: 1.2 in right pictures, above 2.5 in wrong ones.
SEAMLESS = 2.0
# Positions of a block that look moved, and how much smoother blocks have to get by moving them.
FEW_MOVED, BETTER = 0.02, 0.02
LINES = 0.95
MAX_BLOCKS = 4096


class Sureness(StrEnum):
    """What the evidence inside the ciphertexts says about a reconstruction."""

    SURE = "sure"
    PARTLY = "partly sure"
    NOTHING = "no structure found"


@dataclass(frozen=True)
class Reconstruction:
    """Pictures and the evidence for them.

    ``pictures``: uint8 (n, h, w), up to the eight symmetries and a global inversion; all turned
    alike. ``neighbours``: held-out correlation of neighbours inside blocks. ``agreement``: share of
    blocks for which both halves of the evidence name the same neighbour; about 1 / blocks by
    chance. ``seams``: how much larger steps are at borders of blocks, or at the worst lines inside
    blocks, than they usually are: about 1 without seams. ``order``: of values inside blocks, None
    where they lay in order. ``turned``: blocks were turned one by one.
    """

    pictures: UInt8Array
    patch: int
    neighbours: float
    agreement: float
    seams: float
    order: BlockOrder | None
    placement: Placement
    turned: bool

    @property
    def sureness(self) -> Sureness:
        """How much of the pictures the evidence supports."""
        if self.neighbours >= SMOOTH and self.agreement >= SURE and self.seams <= SEAMLESS:
            return Sureness.SURE
        if self.neighbours >= TRACE and self.agreement >= PARTLY:
            return Sureness.PARTLY
        return Sureness.NOTHING

    def apply(self, images: UInt8Array) -> UInt8Array:
        """Undo the same scrambling of further images (n, h, w, c): pictures (n, h, w)."""
        pixels = pixels_of(images, self.patch, self.order)
        return assemble(pixels, self.placement)

    @property
    def in_place(self) -> bool:
        """True where blocks lie as the ciphertext has them."""
        block = self.placement.block
        return bool(np.array_equal(block.ravel(), np.arange(block.size)))


def reconstruct(images: UInt8Array, patch: int) -> Reconstruction:
    """Reconstruct images (n, h, w, c) whose blocks of ``patch`` pixels were scrambled alike.

    ``patch`` has to divide both sides. Where nothing is found inside blocks, they are not joined.
    """
    inside = read_inside(images, patch)
    blocks = inside.pixels
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    hopeless = inside.neighbours < TRACE or blocks.shape[1] > MAX_BLOCKS
    turned = not hopeless and inside.order is None and _turned(blocks)
    if hopeless:
        agreement, placement = 0.0, unmoved(rows, columns)
    elif turned:
        agreement = turned_agreement(blocks)
        borders = borders_of(blocks, ALL_TURNS)
        placement = place(turned_joints(blocks), borders, rows, columns)
    else:
        agreement = upright_agreement(blocks)
        placement = place(upright_joints(blocks), borders_of(blocks, UPRIGHT), rows, columns)
    pictures = assemble(blocks, placement)
    return Reconstruction(
        pictures=pictures,
        patch=patch,
        neighbours=inside.neighbours,
        agreement=agreement,
        seams=seams(pictures, patch),
        order=inside.order,
        placement=placement,
        turned=turned,
    )


def seams(pictures: UInt8Array, patch: int) -> float:
    """Return how much larger steps are at borders of blocks, or half of how much larger at the
    worst lines inside blocks, than on the median line inside."""
    found = []
    for axis in (1, 2):
        steps = np.abs(np.diff(pictures.astype(np.int16), axis=axis)).mean(axis=(0, 3 - axis))
        border = np.arange(1, len(steps) + 1) % patch == 0
        inside = steps[~border]
        usual = max(float(np.median(inside)), 0.1)
        at_borders = float(steps[border].mean()) if border.any() else 0.0
        found.append((at_borders / usual, float(np.quantile(inside, LINES)) / usual / 2))
    return max(sum(ratios) / len(ratios) for ratios in zip(*found, strict=True))


@dataclass(frozen=True)
class Inside:
    """Blocks with their pixels in order, uint8 (n, k, m, m), and how sure that is."""

    pixels: UInt8Array
    neighbours: float
    order: BlockOrder | None


def read_inside(images: UInt8Array, patch: int) -> Inside:
    """Bring the pixels inside blocks in order, where they are not in order already."""
    as_it_is = smoothness(cut(_grey(images), patch).reshape(-1, patch * patch))
    blocks = cut(images, patch)
    flat = blocks.reshape(-1, blocks.shape[2])
    order = None
    # Where most of the values of a block stay, neighbours are alike, and yet some have moved.
    least = as_it_is
    if as_it_is < SMOOTH or moved_share(flat, patch) > FEW_MOVED:
        order = find_block_order(flat)
        least += BETTER if as_it_is >= SMOOTH else 0.0
    if order is None or len(order.position) != patch * patch:
        return Inside(pixels_of(images, patch, None), as_it_is, None)
    pixels = pixels_of(images, patch, order)
    found = order.neighbours
    if as_it_is >= SMOOTH:
        # Held out and by the same measure: the mean of the channels is smoother than one of them.
        found = min(found, smoothness(pixels.reshape(-1, patch * patch)))
    if found <= least:
        return Inside(pixels_of(images, patch, None), as_it_is, None)
    return Inside(pixels, order.neighbours, order)


def pixels_of(images: UInt8Array, patch: int, order: BlockOrder | None) -> UInt8Array:
    """Cut images into blocks (n, k, m, m) with their pixels in order, colours averaged."""
    blocks = cut(_grey(images), patch) if order is None else order.undo(cut(images, patch))
    return blocks.reshape(*blocks.shape[:2], patch, patch)


def smoothness(blocks: UInt8Array) -> float:
    """Correlation of neighbours inside blocks (count, m * m) as they are."""
    side = round(blocks.shape[1] ** 0.5)
    layout = np.arange(side * side).reshape(side, side)
    return neighbour_correlation(standardised(sampled_blocks(blocks)), layout)


def _grey(images: UInt8Array) -> UInt8Array:
    if images.shape[3] == 1:
        return images
    return np.rint(images.mean(axis=3, keepdims=True)).astype(np.uint8)


def _turned(blocks: UInt8Array) -> bool:
    """Say whether blocks fit better when each may be turned and negated.

    Among more candidates the right one is harder to hit: agreement then has to be higher still.
    """
    if blocks.shape[1] > MAX_BLOCKS // 4:
        return False
    return turned_agreement(blocks) > upright_agreement(blocks) + 0.05


def assemble(blocks: UInt8Array, placement: Placement) -> UInt8Array:
    """Lay blocks (n, k, m, m) as placed: pictures (n, rows * m, columns * m)."""
    laid = in_their_places(blocks, placement)
    laid = np.where(placement.negated.ravel()[None, :, None, None] == 1, 255 - laid, laid)
    rows, columns = placement.block.shape
    return join(laid.reshape(*laid.shape[:2], -1), rows, columns, 1)[..., 0]


def in_their_places(blocks: Tiled, placement: Placement) -> Tiled:
    """Return blocks (n, k, m, m) in the order of their places, (n, places, m, m), and turned."""
    laid = blocks[:, placement.block.ravel()]
    turns = placement.turn.ravel()
    for turn in np.unique(turns[turns > 0]):
        chosen = np.flatnonzero(turns == turn)
        part = laid[:, chosen]
        flat = symmetric(part.reshape(-1, *part.shape[2:]), int(turn))
        laid[:, chosen] = flat.reshape(part.shape)
    return cast(Tiled, laid)

"""What a reconstruction says of how pictures were scrambled."""

from __future__ import annotations

import numpy as np

from he_compare.common.block_solving.correlation import BlockOrder
from he_compare.common.block_solving.reconstruct import Reconstruction, Sureness
from he_compare.common.types import IntArray
from he_compare.comparisons.attack_file.reading_cases import Reading, ReadPictures

NOT_SCRAMBLED = (
    "no scrambling that this command looks for was found: blocks and pixels already fit best where "
    "they are"
)
NO_TURN = 0


def evidence_of(solved: Reconstruction) -> dict[str, float]:
    """Return the numbers that say how sure a reconstruction is."""
    return {
        "neighbour_correlation_held_out": solved.neighbours,
        "joint_agreement_of_halves": solved.agreement,
        "seams": solved.seams,
    }


def reading_of(solved: Reconstruction, keys: str, pictures: ReadPictures) -> Reading:
    """Return a reconstruction as a reading."""
    evidence = evidence_of(solved)
    return Reading(
        solved.sureness,
        found_words(solved),
        keys,
        pictures,
        evidence,
        scrambled=not untouched(solved),
    )


def untouched(solved: Reconstruction) -> bool:
    """Say whether nothing was scrambled. What is not sure is not said to be unscrambled."""
    still = solved.order is None and not solved.turned and in_place(solved)
    return still and solved.sureness is Sureness.SURE


def in_place(solved: Reconstruction) -> bool:
    """Say whether blocks lie where the ciphertext has them.

    Where pixels inside blocks were found in some order, or each block was turned, the whole picture
    may come out turned, and blocks with it. Where pixels lay in order, turned numbers of blocks are
    blocks that moved.
    """
    placed = _turnings(solved.placement.block)
    if solved.turned:
        return bool(placed)
    inside = {NO_TURN} if solved.order is None else _turnings(_inside(solved.order))
    return bool(placed & inside) if inside else bool(placed)


def _turnings(numbers: IntArray) -> set[int]:
    """Return which turns and mirrorings of 0, 1, 2 ... row by row a grid of numbers is."""
    still = np.arange(numbers.size).reshape(numbers.shape)
    turned = [still, still[::-1, ::-1], still[::-1], still[:, ::-1]]
    if numbers.shape[0] == numbers.shape[1]:
        turned += [one.T for one in turned]
    return {which for which, one in enumerate(turned) if np.array_equal(numbers, one)}


def _moves(order: BlockOrder) -> bool:
    """Say whether values inside blocks changed places, but for turning the whole picture."""
    return not _turnings(_inside(order))


def _inside(order: BlockOrder) -> IntArray:
    """Return which pixel of the ciphertext block each pixel of a block is, (side, side)."""
    pixels = len(order.position)
    values = order.position[:, 0] // (len(order.negated) // pixels)
    side = round(pixels**0.5)
    return values.reshape(side, side)


def found_words(solved: Reconstruction) -> str:
    """Say what was done to the pictures."""
    parts = []
    if solved.order is not None:
        negated, moved = bool(solved.order.negated.any()), _moves(solved.order)
        done = [what for what, is_so in (("moved", moved), ("negated", negated)) if is_so]
        parts.append(f"values {' and '.join(done) or 'untouched'} inside blocks")
    if solved.turned:
        parts.append("each block turned or negated on its own")
    if not in_place(solved):
        parts.append("blocks moved")
    return "; ".join(parts) or NOT_SCRAMBLED

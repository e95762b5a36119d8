"""What single pictures that came out show, whatever a key learnt from many images says of them.

A key that most images confirm says nothing of an image under another key, or of one that is noise.
So each picture has to look like one: pixels are alike inside blocks beyond what the means of the
blocks make alike, and steps at borders of blocks do not stand out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.common.block_solving.reconstruct import SEAMLESS, Sureness, seams
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.plain import (
    FAINT_BLOCKS,
    at_borders,
    looks_plain,
)
from he_compare.comparisons.attacks.tools.block_size import guess_block_size

# Correlation of neighbours inside windows, less the windows' means. Measured on single pictures:
# 0.26 and more on radiographs, MRI and histology; up to 0.06 on noise; up to 0.15 where values were
# shuffled inside blocks.
SHOWN, FAINTLY = 0.2, 0.1
WINDOW, LEAST_WINDOW = 8, 4
# Steps at borders of single pictures that were JPEG files once vary more than those of many.
SEAMLESS_ALONE = 1.8
SURENESSES = tuple(Sureness)


@dataclass(frozen=True)
class Alone:
    """What is said of one image: how sure its picture is, what was undone, and if anything was."""

    sureness: Sureness
    found: str
    scrambled: bool


def judged(pictures: UInt8Array, patch: int | None, most: Sureness) -> list[Sureness]:
    """Say how sure each of these pictures (n, h, w) is, never surer than ``most``.

    ``patch``: side of the blocks they are made of, None where there are none.
    """
    return [max(_judged(one[None], patch), most, key=SURENESSES.index) for one in pictures]


def _judged(picture: UInt8Array, patch: int | None) -> Sureness:
    shown = alike_inside(picture, patch)
    if shown < FAINTLY:
        return Sureness.NOTHING
    seamless = patch is None or seams(picture, patch) <= SEAMLESS
    return Sureness.SURE if shown >= SHOWN and seamless else Sureness.PARTLY


def alike_inside(pictures: UInt8Array, patch: int | None) -> float:
    """Correlation of neighbours inside blocks of pictures (n, h, w) beyond the blocks' means.

    The least of both directions; 0 for blank pictures. Windows of several blocks stand for blocks
    that are too small, for in those a slope makes neighbours differ.
    """
    side = WINDOW if patch is None else patch
    side *= -(-LEAST_WINDOW // side)
    n, rows, columns = (
        len(pictures),
        *(max(length // side, 1) for length in pictures.shape[1:]),
    )
    whole = pictures[:, : rows * side, : columns * side].astype(np.float32)
    height, width = whole.shape[1] // rows, whole.shape[2] // columns
    windows = whole.reshape(n, rows, height, columns, width).swapaxes(2, 3)
    windows = windows - windows.mean(axis=(3, 4), keepdims=True)
    usual = float((windows**2).mean())
    down = float((windows[..., 1:, :] * windows[..., :-1, :]).mean())
    across = float((windows[..., 1:] * windows[..., :-1]).mean())
    return min(down, across) / usual if usual > 0 else 0.0


def overall(each: Sequence[Sureness], pooled: Sureness | None) -> Sureness:
    """Say how sure a folder is whose pictures are so sure: sure only where every picture is.

    ``pooled``: what the images said together, None where each was solved by itself. Traces that
    are too faint in every single picture may still show in all of them together.
    """
    if all(one is Sureness.SURE for one in each):
        return Sureness.SURE
    if pooled is None and all(one is Sureness.NOTHING for one in each):
        return Sureness.NOTHING
    return Sureness.PARTLY


def plain_alone(images: UInt8Array, shown: int | None, share: float, *, jpeg: bool) -> list[bool]:
    """Say of each image (n, h, w, c) whether its pixels lie as in a picture.

    ``shown``: side of the blocks that the folder shows, and ``share`` as in ``looks_plain``, used
    where an image shows no blocks of its own. ``jpeg``: the files are JPEG.
    """
    return [_plain(image[None], shown, share, jpeg) for image in images]


def _plain(image: UInt8Array, shown: int | None, share: float, jpeg: bool) -> bool:
    if image.min() == image.max():
        return False
    own = guess_block_size(image, jpeg=jpeg)
    if own.patch is None:
        side, explained = shown, share
    else:
        side, explained = own.patch, own.share
    if looks_plain(image, side, explained)[0]:
        return True
    # One image shows small blocks by chance, or those of a file that was JPEG once.
    faint = side is not None and explained <= FAINT_BLOCKS
    return (
        faint
        and side is not None
        and at_borders(image, side) <= SEAMLESS_ALONE
        and looks_plain(image, None)[0]
    )

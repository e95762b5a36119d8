"""Public pictures of the same kind, and the readers that need them.

A key of its own for every block leaves no two blocks alike, but each block is the same block in
every image. What it held over many images, beside what public pictures say of every place, tells
where it belongs and how its pixels lie. Nothing here trusts itself: a map is learnt from either
half of the images, and only as far as both show the same pictures is anything claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from he_compare.common.attack import AttackFailedError
from he_compare.common.block_moments import align_blocks
from he_compare.common.block_solving.reconstruct import SEAMLESS
from he_compare.common.errors import DataError
from he_compare.common.references.public_folder import public_folder
from he_compare.common.references.reference import COLOUR_CHANNELS, GREY_CHANNELS, LEAST_PUBLIC
from he_compare.common.types import Float32Array, UInt8Array
from he_compare.comparisons.attack_file.block_maps import BlockMaps, maps_shown
from he_compare.comparisons.attack_file.plain import at_borders
from he_compare.comparisons.attacks.moment_matching import shown
from he_compare.comparisons.attacks.tools.block_recovery import FEWEST_HISTORIES, Blocks, recover

PREFIX = "folder:"
FEWEST_WITH_PUBLIC = 2 * FEWEST_HISTORIES
SEED = 0
# Pictures are read at this size at most, and scaled from there; values of all that are used.
READ_AT = 400
MOST_PUBLIC, MOST_VALUES = 600, 60_000_000
# Costs of a solver that compares everything inside a block, float32.
MOST_COSTS = 150_000_000
# Correlation of pictures from two halves. Measured at 112 px, 100 ciphertexts, blocks of 8: 0.87
# and more where SSIM was 0.8, at most 0.21 where the pictures were wrong. Keys of their own for
# images gave 0.42 where blocks stay, from the means of blocks alone, but with seams of 3.
HALVES_SURE, HALVES_PARTLY = 0.8, 0.5
Undo = Callable[[UInt8Array], UInt8Array]


@dataclass(frozen=True)
class PublicPictures:
    """``images``: uint8 (n, h, w, c) in the size and channels of the ciphertexts.

    ``digest`` of the files; ``notes``: what was done to them.
    """

    images: UInt8Array
    digest: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FromHalves:
    """A way back that two halves of the images agree on. ``undo``: learnt from all of them.

    ``agreement``: correlation of the pictures that either half leads to, beyond what all pictures
    have in common. ``seams``: steps at borders of blocks over those inside, of images that were
    not learnt from.
    """

    undo: Undo
    agreement: float
    seams: float
    what: str

    @property
    def sure(self) -> bool:
        """Whether both halves lead to nearly the same pictures."""
        return self.agreement >= HALVES_SURE


def read_public(named: str, height: int, width: int, channels: int) -> PublicPictures:
    """Read the folder of public pictures that is named, as a path or as ``folder:PATH``.

    Raises DataError on what cannot be read, on fewer than 16 pictures and on pictures that show
    nothing.
    """
    reference = public_folder(Path(named.removeprefix(PREFIX)), SEED)
    colours = GREY_CHANNELS if channels == 1 else COLOUR_CHANNELS
    count = min(MOST_PUBLIC, max(LEAST_PUBLIC, MOST_VALUES // (height * width * channels)))
    found = reference.images(count, min(max(height, width), READ_AT), colours, SEED)
    found = found[..., :channels]
    if not np.ptp(found.reshape(len(found), -1), axis=1).any():
        raise DataError("the public pictures have one value only", fix="name other pictures")
    return PublicPictures(_scaled(found, height, width), reference.digest, reference.notes)


def _scaled(images: UInt8Array, height: int, width: int) -> UInt8Array:
    if images.shape[1:3] == (height, width):
        return images
    grey = images.shape[3] == 1
    sized = [
        np.asarray(
            Image.fromarray(one[..., 0] if grey else one).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for one in images
    ]
    return np.stack(sized).reshape(len(images), height, width, images.shape[3])


def too_large(images: UInt8Array, patch: int) -> bool:
    """Say whether comparing all values inside blocks would take too much memory."""
    blocks = (images.shape[1] // patch) * (images.shape[2] // patch)
    return blocks * (patch * patch * images.shape[3]) ** 2 > MOST_COSTS


def read_own_maps(images: UInt8Array, public: UInt8Array, patch: int) -> FromHalves | None:
    """Look for a map of each block: of 4-bit halves or of whole values, blocks moved or not.

    Returns what two halves of the images (n, h, w, c) agree on most, None where that is little.
    """
    best = None
    height, width, channels = images.shape[1:]
    for moves in (True, False):
        for nibbles in (True, False):
            blocks = Blocks(patch, (height, width, channels), nibbles, True, moves)

            def learn(some: UInt8Array, blocks: Blocks = blocks) -> Undo | None:
                maps = _maps(some, public, blocks)
                return None if maps is None else maps.undo

            unit = "4-bit halves of values" if nibbles else "values"
            what = f"{unit} moved inside each block by a key of its own"
            one = from_halves(images, patch, learn, what + ("; blocks moved" if moves else ""))
            if one is not None and (best is None or one.agreement > best.agreement):
                best = one
        if best is not None:
            break
    return best


def read_moments(images: UInt8Array, public: UInt8Array, patch: int) -> FromHalves | None:
    """Look for one linear map of all blocks, blocks moved or not, by moments of public pictures."""
    if images.shape[1] != images.shape[2]:
        return None

    def learn(some: UInt8Array) -> Undo | None:
        found = align_blocks(some, public, patch)
        if found is None or not found.found:
            return None
        return lambda more: shown(more, found, patch)

    what = "all blocks mixed in one way, as their moments beside public pictures show"
    return from_halves(images, patch, learn, what)


def from_halves(
    images: UInt8Array, patch: int, learn: Callable[[UInt8Array], Undo | None], what: str
) -> FromHalves | None:
    """Learn from either half of the images; None where pictures do not agree, or have seams."""
    either = [learn(images[start::2]) for start in (0, 1)]
    first, second = either
    if first is None or second is None:
        return None
    one, other = first(images), second(images)
    agreement = agreement_of(one, other)
    seams = max(at_borders(one[1::2], patch), at_borders(other[::2], patch))
    if agreement < HALVES_PARTLY or seams > SEAMLESS:
        return None
    undo = learn(images)
    return None if undo is None else FromHalves(undo, agreement, seams, what)


def agreement_of(one: UInt8Array, other: UInt8Array) -> float:
    """Correlate two sets of pictures (n, h, w, c), each less its mean and the mean of all."""
    first, second = _own(one), _own(other)
    length = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / max(length, 1e-9)


def _own(pictures: UInt8Array) -> Float32Array:
    values = pictures.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    return values - values.mean(axis=0)


def _maps(images: UInt8Array, public: UInt8Array, blocks: Blocks) -> BlockMaps | None:
    try:
        found = recover(images, public, blocks)
    except AttackFailedError:
        return None
    return maps_shown(images, found.pictures, found.block, blocks.patch, nibbles=blocks.nibbles)

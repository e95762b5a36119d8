"""Guesses the side of the blocks from scrambled images alone, or says that it cannot.

What the places in a block, and its borders, explain of the ciphertexts (``periods``) is compared
for all sides. Sides of about the same size that have nothing to do with a side tell what the same
pictures show of it by chance. Places repeat at multiples of the side too, and partly at its
divisors: among the sides that explain, larger ones pay for their many places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from he_compare.common.types import PixelArray
from he_compare.comparisons.attacks.tools.periods import Period, periods

SMALLEST, LARGEST = 2, 64
FEWEST_BLOCKS = 24
# Standard errors beyond chance.
PLACES, SURE_PLACES = 6.0, 15.0
# Unscrambled pictures reach 3.
BORDERS, SURE_BORDERS = 4.5, 6.0
# So many times what unrelated sides of about this size explain.
BEYOND_CHANCE = 3.0
ABOUT = 1.6
PRICE_OF_A_PLACE = 0.5
# Edges of unscrambled pictures explain up to 0.01 at small sides.
LEAST_SHARE = 0.012
# A divisor that explains so much of it is the side: half of the side explains 0.55 of it at most.
NEARLY_ALL = 0.62
# Borders of a multiple are believed where its places explain this many errors more.
MORE = 3.0
# A side that does not tile is believed where it explains so many times what those explain that do.
UNTILED = 2.0
JPEG_GRID = 8


@dataclass(frozen=True)
class SideScore:
    """How one side does: ``share`` of variance that places explain, and ``chance``, the same of
    unrelated sides; ``errors``: the difference in standard errors; ``gain``: in log likelihood,
    after what the places cost; ``borders``: in standard errors."""

    side: int
    share: float
    chance: float
    errors: float
    gain: float
    borders: float


@dataclass(frozen=True)
class Guess:
    """What the images say about the side of their blocks.

    ``patch``: the side, None where it could not be told. ``trace``: what told it, 'places',
    'borders' or ''. ``sure``: the trace is far from chance. ``on_jpeg_grid``: it may be the trace
    of JPEG's own blocks. ``scores``: all sides that tile the images, the most likely first.
    ``untiled``: a side that shows and does not tile the images, or None.
    """

    patch: int | None
    trace: str
    sure: bool
    scores: tuple[SideScore, ...]
    on_jpeg_grid: bool = False
    untiled: int | None = None

    @property
    def share(self) -> float:
        """Share of variance that the places of the guessed blocks explain; 0 without a guess."""
        return next((one.share for one in self.scores if one.side == self.patch), 0.0)


def candidates(height: int, width: int) -> list[int]:
    """Return the sides that tile an image and that are tried."""
    most = min(LARGEST, height // 2, width // 2)
    return [s for s in range(SMALLEST, most + 1) if height % s == 0 and width % s == 0]


def guess_block_size(images: PixelArray, *, jpeg: bool = False) -> Guess:
    """Guess the side of the blocks of images (n, h, w, c).

    ``jpeg``: the files are JPEG, whose own blocks of 8 pixels leave a trace as well.
    """
    guess = _guess(images, JPEG_GRID if jpeg else 0)
    if not jpeg or guess.patch is not None:
        return guess
    again = _guess(images, 0)
    on_grid = again.patch is not None and JPEG_GRID % again.patch == 0
    return replace(again, on_jpeg_grid=on_grid, sure=again.sure and not on_grid)


def _guess(images: PixelArray, grid: int) -> Guess:
    height, width = images.shape[1:3]
    most = min(LARGEST, height // 2, width // 2)
    tiling = candidates(height, width)
    scores = _scored(periods(images, range(SMALLEST, most + 1), grid))
    fitting = [one for one in scores if one.side in tiling]
    ranked = tuple(sorted(fitting, key=lambda one: (one.gain, one.borders), reverse=True))
    best = _told(fitting)
    other = _told([one for one in scores if one.side not in tiling])
    # Some sides that do not tile share a divisor with the one that does, and explain less.
    if other is not None and (best is None or other[0].gain > UNTILED * max(best[0].gain, 0)):
        return Guess(None, "", False, ranked, untiled=other[0].side)
    if best is None:
        return Guess(None, "", False, ranked)
    return Guess(best[0].side, best[1], best[2], ranked)


def _scored(found: Sequence[Period]) -> list[SideScore]:
    scores = []
    for one in found:
        alike = [
            abs(other.share)
            for other in found
            if one.side / ABOUT <= other.side <= one.side * ABOUT
            and other.side % one.side
            and one.side % other.side
        ]
        chance = float(np.median(alike)) if alike else 0.0
        beyond = min(one.share - chance, 0.999)
        gain = -one.pixels * float(np.log(1 - beyond)) - PRICE_OF_A_PLACE * one.side**2
        errors = beyond / one.error
        scores.append(SideScore(one.side, one.share, chance, errors, gain, one.borders))
    return scores


def _told(scores: Sequence[SideScore]) -> tuple[SideScore, str, bool] | None:
    """Return the most likely of these sides, what tells it, and whether that is sure."""
    places = [one for one in scores if one.gain > 0 and one.errors >= PLACES]
    places = [one for one in places if one.share >= max(BEYOND_CHANCE * one.chance, LEAST_SHARE)]
    by_places = _smallest(places)
    by_borders = max(scores, key=lambda one: one.borders, default=None)
    if by_borders is not None and by_borders.borders < BORDERS:
        by_borders = None
    if by_borders is not None and (by_places is None or _grows(by_places, by_borders)):
        return by_borders, "borders", by_borders.borders >= SURE_BORDERS
    if by_places is not None:
        return by_places, "places", by_places.errors >= SURE_PLACES
    return None


def _smallest(places: Sequence[SideScore]) -> SideScore | None:
    """Return the likeliest side, or the least divisor of it that explains nearly as much."""
    best = max(places, key=lambda one: one.gain, default=None)
    if best is None:
        return None
    enough = NEARLY_ALL * (best.share - best.chance)
    divisors = [one for one in places if best.side % one.side == 0]
    return min(
        (one for one in divisors if one.share - one.chance >= enough), key=lambda one: one.side
    )


def _grows(smaller: SideScore, larger: SideScore) -> bool:
    """Say whether a multiple of a side explains more than the side does, beyond chance."""
    if larger.side % smaller.side or larger.side == smaller.side or larger.errors <= 0:
        return False
    error = (larger.share - larger.chance) / larger.errors
    return larger.share - smaller.share > MORE * error

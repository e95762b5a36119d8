"""What an attack is measured by, and what a guess is worth under one key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from he_compare.common.types import Float64Array, UInt8Array


@dataclass(frozen=True)
class AttackMetric:
    """What an attack is measured by.

    ``best``: the ceiling, where that is not the same attack on the identity, which must win half of
    what there is up to ``high`` (``low`` where lower is worse). ``chance``: the chance level, where
    it is known exactly; the same attack on noise is then only compared with it.
    ``resolution``: the least distance of floor and ceiling that means anything. ``low``, ``high``:
    what it can be at all; intervals end there. ``of_pictures``: it compares pictures with the
    originals, so that the ciphertext as it is and the mean public picture are floors as well.
    """

    name: str
    unit: str = ""
    higher_is_worse: bool = True
    best: float | None = None
    chance: float | None = None
    resolution: float = 0.1
    low: float = 0.0
    high: float = 1.0
    of_pictures: bool = False


# What an attack calls what the ciphertext gives to whoever takes it as it is (``effortless``).
AS_IT_IS = "the ciphertext as it is"
# What attacks that make pictures are measured by.
SSIM = AttackMetric("SSIM to the original", low=-1.0, of_pictures=True)


@dataclass(frozen=True)
class Detail:
    """A further number beside the metric."""

    name: str
    value: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """What came out for ciphertext ``position``: uint8 (h, w, c), with the number under it."""

    position: int
    image: UInt8Array
    caption: str


@dataclass(frozen=True)
class Score:
    """What a guess is worth under one key.

    ``spent``: what was used of the budget. ``error``: standard error of the value at chance level,
    from the number of images it is computed on; controls are compared with it.

    ``images``: ids of the images that the value is made of. With them, and with ``each`` (m,), the
    value of every image where ``value`` is their mean, or else ``resampled``, the value under
    weights of the images (draws, m) -> (draws,), the interval resamples images and keys together.
    """

    value: float
    details: Sequence[Detail] = ()
    pictures: Sequence[Picture] = ()
    spent: Mapping[str, Any] = field(default_factory=dict)
    error: float = 0.0
    images: Sequence[str] = ()
    each: Float64Array | None = field(default=None, compare=False)
    resampled: Callable[[Float64Array], Float64Array] | None = field(default=None, compare=False)

"""Intervals of a share where every image was tried several times: images and tries both count."""

from __future__ import annotations

import math
from statistics import NormalDist

from he_compare.common.run.records import Interval
from he_compare.common.types import BoolArray

REPEATED = "Wilson, effective number of {images} images in {draws} draws each"


def wilson_of_repeats(outcomes: BoolArray, level: float = 0.95) -> Interval:
    """Return Wilson's interval of the share of true outcomes, bool (draws, images).

    Tries of one image are alike, so they count for fewer than as many images: the sample is the
    number of independent tries with the variance that the images' own shares show, at least the
    images and at most all tries. Where all outcomes are equal it is the images alone. Source: Kish,
    Survey Sampling, 1965 (effective sample size); Korn and Graubard, Survey Methodology 24(2),
    1998. Raises ValueError where there is no outcome.
    """
    draws, images = outcomes.shape
    if not outcomes.size:
        raise ValueError("no outcomes")
    share = float(outcomes.mean())
    low, high = _wilson(share, _effective(outcomes, share), NormalDist().inv_cdf((1 + level) / 2))
    method = REPEATED.format(images=images, draws=draws) if draws > 1 else "Wilson"
    return Interval(low=low, high=high, level=level, method=method)


def _effective(outcomes: BoolArray, share: float) -> float:
    draws, images = outcomes.shape
    spread = float(outcomes.mean(axis=0).var(ddof=1)) / images if images > 1 else 0.0
    independent = share * (1 - share)
    found = independent / spread if spread > 0 and independent > 0 else float(images)
    return min(max(found, float(images)), float(images * draws))


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

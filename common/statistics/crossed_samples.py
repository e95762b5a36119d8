"""The mean over several trainings, with an interval that holds patients and trainings.

Trainings and patients are two samples that cross: every training answers the images of the same
patients. That is a study of several readers on the same cases, and its variance is known: with the
mean square MS of r trainings and the covariance C of two of them over patients, the mean has the
variance MS / r + max(C, 0) (Obuchowski and Rockette, Communications in Statistics 24:285-308,
1995). MS is known from r trainings alone, so half an interval is that many standard errors: the
mean of Student's t with r - 1 degrees of freedom and of the normal quantile, weighted by the two
parts (Cochran and Cox, Experimental Designs, 1957, section 4.14). Satterthwaite's degrees of
freedom (Hillis, Statistics in Medicine 26:596-619, 2007) cover too little with two trainings.

A plain hierarchical bootstrap (patients and trainings drawn with replacement; Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8) keeps the shape of the distribution, but
understates the variance of few trainings by (r - 1) / r and knows no t. So its draws are stretched
about their mean until they reach as far as said above. Patients are drawn once for all trainings,
and for both sides of a difference. Shares have Wilson's interval of the number of trials with that
variance (Korn and Graubard, Survey Methodology 24:193-201, 1998). The measured coverage stands in
docs/explanation/numbers.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from he_compare.common.run.records import Interval
from he_compare.common.seeds import generator_for
from he_compare.common.statistics.bootstrap import LEVEL
from he_compare.common.statistics.evaluation import wilson_ends
from he_compare.common.types import Float64Array

STRETCHED = (
    "hierarchical bootstrap of patient groups and {trainings} trainings, {draws} draws, stretched "
    "to the variance and Student's t of few trainings"
)
SHARE = "Wilson with the number of trials that patient groups and {trainings} trainings are worth"


@dataclass(frozen=True)
class Uncertainty:
    """Of a mean over r trainings: the variance from trainings, and from the patients they share."""

    count: int
    trainings: float
    patients: float

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return self.trainings + self.patients

    def quantile(self, level: float) -> float:
        """Return how many standard errors half an interval of that level is."""
        normal = NormalDist().inv_cdf((1 + level) / 2)
        if not self.trainings:
            return normal
        from scipy.stats import t

        few = float(t.ppf((1 + level) / 2, self.count - 1))
        return (few * self.trainings + normal * self.patients) / self.variance


def uncertainty_of(values: Float64Array, draws: Float64Array) -> Uncertainty:
    """Return the uncertainty of the mean of r > 1 trainings' values (r,).

    ``draws``: float64 (r, b), the values when patients are resampled, the same ones for all.
    """
    count = len(values)
    whole, single = float(draws.mean(axis=0).var()), float(draws.var(axis=1).sum())
    shared = (count**2 * whole - single) / (count * (count - 1))
    return Uncertainty(count, float(values.var(ddof=1)) / count, max(0.0, shared))


def stretched_interval(
    values: Float64Array,
    draws: Float64Array,
    *,
    seed: int,
    limits: tuple[float, float] | None = None,
    level: float = LEVEL,
) -> tuple[Interval | None, str]:
    """Return the interval of the mean of r > 1 trainings' values (r,), and a note, '' if none.

    ``draws``: float64 (r, b), NaN where a draw of patients leaves a value undefined; such draws are
    left out, and with fewer than half of them left there is no interval. ``limits``: what the value
    cannot be beyond, None for no limits.
    """
    total = draws.shape[1]
    kept = draws[:, np.isfinite(draws).all(axis=0)]
    lost = total - kept.shape[1]
    if not total:
        return None, "no interval: no draws were asked for"
    if 2 * lost > total:
        return None, f"no interval: undefined in {lost} of {total} draws"
    low, high = _stretched_ends(values, kept, seed, level)
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    method = STRETCHED.format(trainings=len(values), draws=total)
    interval = Interval(low=low, high=high, level=level, method=method)
    if lost:
        return interval, f"undefined in {lost} of {total} draws, which are left out"
    if low == high:
        return interval, "all draws agree, so the interval understates the uncertainty"
    return interval, ""


def _stretched_ends(
    values: Float64Array, draws: Float64Array, seed: int, level: float
) -> tuple[float, float]:
    found = uncertainty_of(values, draws)
    reach = found.quantile(level) * math.sqrt(found.variance)
    count, times = draws.shape
    chosen = generator_for(seed, "bootstrap of trainings").integers(0, count, size=(count, times))
    means = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
    deviation, middle = float(means.std()), float(means.mean())
    if not deviation:
        return float(values.mean()) - reach, float(values.mean()) + reach
    stretch = reach / (NormalDist().inv_cdf((1 + level) / 2) * deviation)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return middle + stretch * (float(low) - middle), middle + stretch * (float(high) - middle)


def interval_of_shares(
    values: Float64Array, draws: Float64Array, trials: int, level: float = LEVEL
) -> Interval | None:
    """Return Wilson's interval of the mean of r > 1 trainings' shares (r,) of so many trials each.

    ``draws`` as above. The trainings answer the same images, so that all of them count for at most
    the trials of one. None where the draws tell no variance: all shares are 0 or 1.
    """
    kept = draws[:, np.isfinite(draws).all(axis=0)]
    share = float(values.mean())
    if not kept.size or not 0 < share < 1:
        return None
    found = uncertainty_of(values, kept)
    if not found.variance:
        return None
    worth = min(float(trials), share * (1 - share) / found.variance)
    normal = NormalDist().inv_cdf((1 + level) / 2)
    low, high = wilson_ends(share, worth * (normal / found.quantile(level)) ** 2, level)
    method = SHARE.format(trainings=len(values))
    return Interval(low=low, high=high, level=level, method=method)

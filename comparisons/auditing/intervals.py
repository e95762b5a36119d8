"""Intervals of an attack's result: keys and patients resampled together.

Twelve keys over the same images are not twelve samples. A draw takes keys with replacement and,
independently of them, patients with replacement (the pigeonhole bootstrap: Owen, Annals of Applied
Statistics 1, 2007). A bootstrap of few keys is too narrow, so that the interval reaches at least as
far as Student's t over keys.

Where every image has a key of its own, the keys of clients are no samples of anything: images are
pooled over them and patients alone are drawn. The bootstrap of few patients is too narrow as well,
so that its quantiles are taken further out, as Student's t is beyond the normal distribution
(the expanded percentile interval: Hesterberg, The American Statistician 69, 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from he_compare.common.attack_score import Score
from he_compare.common.run.records import Interval
from he_compare.common.seeds import generator_for
from he_compare.common.types import Float64Array

LEVEL = 0.95
RESAMPLES = 1000
PORTION = 100


@dataclass(frozen=True)
class Resampled:
    """The mean over keys in every draw, float64 (draws,), and from what it was drawn.

    ``pooled``: images of all keys are pooled, and patients alone were drawn. ``paired``: a ceiling
    in the same draws.
    """

    values: Float64Array
    keys: int
    images: int
    groups: int
    pooled: bool = False
    paired: Float64Array | None = None

    @property
    def method(self) -> str:
        """The method in words."""
        whom = f"{self.images} images"
        if self.groups < self.images:
            whom += f" of {self.groups} patients"
        if self.pooled:
            words = f"bootstrap of patients ({whom}, each encrypted by itself), widened for few"
            with_it = ", drawn together with those of the unprotected control"
            return words + (with_it if self.paired is not None else "")
        return (
            f"bootstrap of keys and patients ({self.keys} keys, {whom}), no narrower than "
            "Student's t over keys"
        )


def interval_over_keys(values: Sequence[float], low: float, high: float) -> Interval | None:
    """Student's t interval of the mean over keys, cut to [low, high]; None for one key."""
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    centre = float(np.mean(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(
        low=max(low, centre - half),
        high=min(high, centre + half),
        level=LEVEL,
        method=f"Student's t over {n} keys; images are not resampled",
    )


def interval_of(
    values: Sequence[float], drawn: Resampled | None, low: float, high: float
) -> Interval | None:
    """Return the interval of the mean over keys, cut to [low, high]; None for one key.

    ``drawn``: None where the values of images are not known, so that keys alone can be resampled.
    Pooled images have an interval for one key, too.
    """
    if drawn is not None and drawn.pooled:
        ends = _ends(drawn.values, _tail(drawn.groups))
        method = replace(drawn, paired=None).method
        return Interval(low=max(low, ends[0]), high=min(high, ends[1]), level=LEVEL, method=method)
    found = interval_over_keys(values, -np.inf, np.inf)
    if found is None:
        return None
    method = found.method
    ends = [found.low, found.high]
    if drawn is not None:
        below, above = _ends(drawn.values, (1 - LEVEL) / 2)
        ends = [min(ends[0], below), max(ends[1], above)]
        method = drawn.method
    # A few draws of a resampled mean never lie beyond what the metric can be: only t does.
    return Interval(low=max(low, ends[0]), high=min(high, ends[1]), level=LEVEL, method=method)


def _ends(values: Float64Array, tail: float) -> list[float]:
    """Return the quantiles that leave ``tail`` of the draws with a value at either end."""
    kept = values[np.isfinite(values)]
    below, above = np.quantile(kept, [tail, 1 - tail])
    return [float(below), float(above)]


def _tail(groups: int) -> float:
    """Return what is left at either end of the expanded percentile interval of some patients."""
    from scipy import stats

    reach = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * np.sqrt(groups / (groups - 1))
    return float(stats.norm.cdf(-reach))


def share_interval(
    values: Sequence[float], floor: float, ceiling: float, drawn: Resampled | None = None
) -> Interval | None:
    """Interval of the advantage. Only its ends are cut to [0, 1]: cut one by one, values at chance
    would all come out above it. Floor and ceiling are taken as known, but for a paired ceiling,
    which is drawn along."""
    if floor == ceiling:
        return interval_of([0.0] * len(values), None, 0.0, 1.0)
    if drawn is not None and drawn.pooled and drawn.paired is not None:
        room = drawn.paired - floor
        # Draws in which unprotected images give nothing have no scale.
        room[room * (ceiling - floor) <= 0] = np.nan
        ends = _ends((drawn.values - floor) / room, _tail(drawn.groups))
        low, high = (float(np.clip(end, 0.0, 1.0)) for end in ends)
        return Interval(low=low, high=high, level=LEVEL, method=drawn.method)
    found = interval_of(values, drawn, -np.inf, np.inf)
    if found is None:
        return None
    ends = sorted((end - floor) / (ceiling - floor) for end in (found.low, found.high))
    low, high = (float(np.clip(end, 0.0, 1.0)) for end in ends)
    return found.model_copy(update={"low": low, "high": high})


def pooled_over_keys(
    scores: Sequence[Score],
    groups: Sequence[Sequence[str]],
    seed: int,
    unprotected: tuple[Sequence[Score], Sequence[Sequence[str]]] | None = None,
) -> Resampled | None:
    """Resample patients alone, for scores of images that have a key each.

    ``groups``: as in ``resampled``. ``unprotected``: scores and groups of the control that sets the
    ceiling; it is drawn along where it is over the same images, key by key. None where a score does
    not say what its images give, or with images of one patient only.
    """
    drawn = resampled(scores, groups, seed, own_keys=True)
    if drawn is None or unprotected is None:
        return drawn
    theirs = [list(key) for key in unprotected[1]]
    if theirs != [list(key) for key in groups]:
        return drawn
    ceiling = resampled(unprotected[0], theirs, seed, own_keys=True)
    return replace(drawn, paired=ceiling.values) if ceiling else drawn


def resampled(
    scores: Sequence[Score], groups: Sequence[Sequence[str]], seed: int, *, own_keys: bool = False
) -> Resampled | None:
    """Resample keys and patients together; with ``own_keys`` patients alone.

    ``groups``: of every key, the patient of each image in ``Score.images``. None where a score does
    not say what its images give, with one key, or with images of one patient only.
    """
    known = all(
        len(one.images) and (one.each is not None or one.resampled is not None) for one in scores
    )
    if (len(scores) < 2 and not own_keys) or not known:
        return None
    names = {name: number for number, name in enumerate(sorted({g for key in groups for g in key}))}
    if len(names) < 2:
        return None
    places = [np.array([names[group] for group in key], dtype=np.intp) for key in groups]
    random = generator_for(seed, "bootstrap of keys and patients")
    parts = [
        _draws(scores, places, len(names), min(PORTION, RESAMPLES - start), random, own_keys)
        for start in range(0, RESAMPLES, PORTION)
    ]
    images = {image for score in scores for image in score.images}
    return Resampled(np.concatenate(parts), len(scores), len(images), len(names), own_keys)


def _draws(
    scores: Sequence[Score],
    places: Sequence[np.ndarray],  # type: ignore[type-arg]
    groups: int,
    draws: int,
    random: np.random.Generator,
    own_keys: bool,
) -> Float64Array:
    """Return the weighted mean over keys of each key's value under the weights of its images."""
    patients = _times_taken(groups, draws, random)
    if own_keys:
        # A key counts for as much as its images were taken: they are pooled.
        keys = np.stack([patients[:, place].mean(axis=1) for place in places], axis=1)
    else:
        keys = _times_taken(len(scores), draws, random)
    values = np.stack(
        [_value(score, patients[:, place]) for score, place in zip(scores, places, strict=True)],
        axis=1,
    )
    # A key none of whose patients was taken (or a class none of whose) has no value in that draw.
    defined = np.isfinite(values)
    weights = keys * defined
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Float64Array = (weights * np.where(defined, values, 0.0)).sum(axis=1) / weights.sum(
            axis=1
        )
    return mean


def _value(score: Score, weights: Float64Array) -> Float64Array:
    if score.resampled is not None:
        return score.resampled(weights)
    assert score.each is not None
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Float64Array = (weights @ score.each) / weights.sum(axis=1)
    return mean


def _times_taken(count: int, draws: int, random: np.random.Generator) -> Float64Array:
    """How often each of ``count`` was taken with replacement in each draw: (draws, count)."""
    taken = random.integers(0, count, size=(draws, count)) + count * np.arange(draws)[:, None]
    times = np.bincount(taken.ravel(), minlength=draws * count).reshape(draws, count)
    return times.astype(np.float64)

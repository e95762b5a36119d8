"""From raw samples to timings: one quantile, one median and its interval, for every reader.

A quantile is nearest-rank everywhere: the smallest sample with that share of all samples at or
below it (numpy calls it ``inverted_cdf``; Hyndman and Fan 1996, definition 1). It is a time that
was really measured, also with an even number of samples, so the record that holds it can be looked
up; and the interval of the median, which is made of order statistics, always contains it. An
interpolated median is a time that no image took, and a heavy tail pulls an interpolated p99.

Latency comes from single images in a closed loop, throughput from the batches of the accuracy
phase; the two are never mixed. The samples of all rounds are pooled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.run.records import Interval, Measurement, RunRecord
from he_compare.common.run.view import PipelineView
from he_compare.common.types import Per, Side, Stage

ONE_TIME = (Per.ONCE, Per.KEY)


@dataclass(frozen=True)
class Spread:
    """Quantiles of a pool of samples, in seconds; ``interval`` is that of the median."""

    n: int
    p50: float
    p90: float
    p99: float
    interval: Interval | None


@dataclass(frozen=True)
class StageTiming:
    """One stage on one side."""

    stage: Stage
    side: Side
    spread: Spread


@dataclass(frozen=True)
class Latency:
    """What one image takes: as the client's clock saw it, and the parts of it by side."""

    total: Spread
    sides: dict[Side, Spread]
    stages: tuple[StageTiming, ...]


@dataclass(frozen=True)
class Throughput:
    """Images per second of the accuracy phase and what it is computed from."""

    images_per_second: float
    n_images: int
    n_batches: int


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile: the smallest sample with that share at or below it.

    ``share`` in (0, 1]; 0.5 is the median. Raises ValueError where there is no sample.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_interval(samples: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the distribution-free interval of the median from order statistics.

    Exact binomial ranks; None below six samples, where no 95% interval exists. Source: Hahn and
    Meeker, Statistical Intervals, 1991, section 5.2.
    """
    n = len(samples)
    tail = 0.0
    rank = -1
    while rank + 1 < n:
        tail += math.comb(n, rank + 1) / 2**n
        if tail > (1 - level) / 2:
            break
        rank += 1
    if rank < 0:
        return None
    ordered = sorted(samples)
    return Interval(
        low=ordered[rank], high=ordered[n - 1 - rank], level=level, method="order statistics"
    )


def spread(samples: Sequence[float]) -> Spread:
    """Summarise samples. Raises ValueError where there is none."""
    return Spread(
        n=len(samples),
        p50=quantile(samples, 0.50),
        p90=quantile(samples, 0.90),
        p99=quantile(samples, 0.99),
        interval=median_interval(samples),
    )


def latency_of(pipeline: PipelineView) -> Latency | None:
    """Return the latency of a pipeline over all its ok rounds; None where none was measured."""
    totals: list[float] = []
    sides: dict[Side, list[float]] = {}
    stages: dict[tuple[Stage, Side], list[float]] = {}
    for record in pipeline.timed:
        single = _single_image(record)
        for one in single:
            if one.stage is Stage.TOTAL:
                totals += one.seconds
            else:
                stages.setdefault((one.stage, one.side), []).extend(one.seconds)
        for side, seconds in _per_image_by_side(single).items():
            sides.setdefault(side, []).extend(seconds)
    if not totals:
        return None
    order = list(Stage)
    ordered = sorted(stages, key=lambda key: (key[1] is not Side.CLIENT, order.index(key[0])))
    return Latency(
        total=spread(totals),
        sides={side: spread(seconds) for side, seconds in sides.items() if seconds},
        stages=tuple(StageTiming(*key, spread(stages[key])) for key in ordered if stages[key]),
    )


def _single_image(record: RunRecord) -> list[Measurement]:
    """Measurements of a latency cell whose every sample is one image."""
    return [
        one
        for one in record.measurements
        if one.per is Per.SAMPLE or (one.per is Per.BATCH and set(one.items) == {1})
    ]


def _per_image_by_side(measurements: list[Measurement]) -> dict[Side, list[float]]:
    """Sum the stages of each side image by image.

    A side one of whose stages was not entered exactly once per image is left out.
    """
    counts = {len(one.seconds) for one in measurements if one.stage is Stage.TOTAL}
    n = counts.pop() if len(counts) == 1 else 0
    sums: dict[Side, list[float]] = {}
    for side in Side:
        parts = [
            one.seconds for one in measurements if one.side is side and one.stage is not Stage.TOTAL
        ]
        if n and parts and all(len(part) == n for part in parts):
            sums[side] = [sum(column) for column in zip(*parts, strict=True)]
    return sums


def throughput_of(pipeline: PipelineView) -> Throughput | None:
    """Return images per second of the ok accuracy cell, by the client's total where recorded."""
    record = pipeline.measured
    if record is None:
        return None
    repeated = [one for one in record.measurements if one.per not in ONE_TIME]
    totals = [one for one in repeated if one.stage is Stage.TOTAL]
    seconds = sum(sum(one.seconds) for one in totals or repeated)
    images = sum(sum(one.items) for one in totals) or record.n_images
    if seconds <= 0 or images <= 0:
        return None
    batches = sum(len(one.seconds) for one in totals)
    return Throughput(images / seconds, images, batches)


def one_time_of(pipeline: PipelineView) -> list[Measurement]:
    """Return what was done once or once per key before the first image, in stage order."""
    record = pipeline.measured
    found = [one for one in record.measurements if one.per in ONE_TIME] if record else []
    order = list(Stage)
    return sorted(found, key=lambda one: (order.index(one.stage), one.side.value))


def one_time_seconds(pipeline: PipelineView) -> float:
    """Return the sum of the mean duration of each one-time stage, in seconds."""
    return sum(sum(one.seconds) / len(one.seconds) for one in one_time_of(pipeline) if one.seconds)


def fit_seconds(pipeline: PipelineView) -> float | None:
    """Return what fitting takes in seconds, on all sides, with the making of all that was reused.

    None where no fit was measured, or where what something that was reused had cost is not known.
    """
    record = pipeline.measured
    fits = [one for one in record.measurements if one.stage is Stage.FIT] if record else []
    if record is None or not fits or set(record.reused) - set(record.reused_seconds):
        return None
    return sum(sum(one.seconds) for one in fits) + sum(record.reused_seconds.values())

"""What a pipeline takes: seconds of one image by place, batches per second, one-time work cold.

Latency comes from single images in a closed loop, throughput from the batches of the accuracy
phase; the two are never mixed. The samples of all rounds are pooled. One-time work is cold: what
was made before and used again counts with what it took when it was made.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.run.quantiles import Spread, quantile, spread
from he_compare.common.run.records import Measurement, RunRecord
from he_compare.common.run.single_images import (
    TimedImage,
    seconds_by_side,
    single_image_stages,
    timed_images,
    totals_of,
)
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Per, Side, Stage

ONE_TIME = (Per.ONCE, Per.KEY)
# The fifth of the images, by total, whose shares divide the median among the places.
MIDDLE = (0.4, 0.6)


@dataclass(frozen=True)
class StageTiming:
    """One stage on one side."""

    stage: Stage
    side: Side
    spread: Spread


@dataclass(frozen=True)
class Latency:
    """What one image takes: as the client's clock saw it, and the parts of it by side.

    ``sides``: sums of the stages of each side. ``places``: the same for wire and server, and for
    the hospital all that is neither; empty where stages cannot be told apart image by image.
    """

    total: Spread
    sides: dict[Side, Spread]
    places: dict[Side, Spread]
    stages: tuple[StageTiming, ...]


@dataclass(frozen=True)
class TimeByPlace:
    """Seconds of the median image, divided among the places: they sum to ``total``, its p50.

    ``hospital`` includes ``network``: the image network, where the hospital runs it. ``wire`` is
    loopback here. The shares are those of the middle fifth of the images, by total.
    """

    total: float
    hospital: float
    network: float
    wire: float
    server: float
    n: int


@dataclass(frozen=True)
class Throughput:
    """Images per second in batches: the median batch, the slowest and the fastest."""

    images_per_second: float
    slowest: float
    fastest: float
    n_images: int
    n_batches: int


@dataclass(frozen=True)
class ColdStep:
    """One-time work. ``reused``: made before this cell; ``seconds``: None where not recorded.

    ``name``: of what was reused, '' otherwise.
    """

    stage: Stage
    side: Side
    seconds: float | None
    per: Per = Per.ONCE
    name: str = ""

    @property
    def reused(self) -> bool:
        """True where this was not done in this cell, but before."""
        return bool(self.name)


def latency_of(pipeline: PipelineView) -> Latency | None:
    """Return the latency of a pipeline over all its ok rounds; None where none was measured."""
    totals: list[float] = []
    sides: dict[Side, list[float]] = {}
    stages: dict[tuple[Stage, Side], list[float]] = {}
    for record in pipeline.timed:
        single = single_image_stages(record)
        for one in single:
            if one.stage is Stage.TOTAL:
                totals += one.seconds
            else:
                stages.setdefault((one.stage, one.side), []).extend(one.seconds)
        for side, seconds in seconds_by_side(single).items():
            sides.setdefault(side, []).extend(seconds)
    if not totals:
        return None
    order = list(Stage)
    ordered = sorted(stages, key=lambda key: (key[1] is not Side.CLIENT, order.index(key[0])))
    return Latency(
        total=spread(totals),
        sides={side: spread(seconds) for side, seconds in sides.items() if seconds},
        places=_spread_places(timed_images(pipeline)),
        stages=tuple(StageTiming(*key, spread(stages[key])) for key in ordered if stages[key]),
    )


def _spread_places(images: Sequence[TimedImage]) -> dict[Side, Spread]:
    if not images:
        return {}
    return {
        Side.CLIENT: spread([one.hospital for one in images]),
        Side.NETWORK: spread([one.wire for one in images]),
        Side.SERVER: spread([one.server for one in images]),
    }


def places_of(pipeline: PipelineView) -> TimeByPlace | None:
    """Divide the p50 of one image among hospital, wire and server; None where it cannot be."""
    images = timed_images(pipeline)
    totals = [one.total for one in images]
    if not images or quantile(totals, 0.5) <= 0:
        return None
    low, high = (quantile(totals, share) for share in MIDDLE)
    middle = [one for one in images if low <= one.total <= high]
    p50 = quantile(totals, 0.5)
    scale = p50 / sum(one.total for one in middle)
    return TimeByPlace(
        total=p50,
        hospital=scale * sum(one.hospital for one in middle),
        network=scale * sum(one.network for one in middle),
        wire=scale * sum(one.wire for one in middle),
        server=scale * sum(one.server for one in middle),
        n=len(middle),
    )


def extra_seconds(pipeline: PipelineView, twin: PipelineView) -> Spread | None:
    """Return seconds per image above a twin: of the same image in the same round, differences.

    None where the two share no round.
    """
    theirs = {record.cell.round: totals_of(record) for record in twin.timed}
    found: list[float] = []
    for record in pipeline.timed:
        mine, other = totals_of(record), theirs.get(record.cell.round, [])
        if len(mine) == len(other):
            found += [a - b for a, b in zip(mine, other, strict=True)]
    return spread(found) if found else None


def throughput_of(pipeline: PipelineView) -> Throughput | None:
    """Return images per second of the batches of the ok accuracy cell, by the client's total.

    None where no batch was timed.
    """
    record = pipeline.measured
    rates = [
        items / seconds
        for one in (record.measurements if record else [])
        if one.stage is Stage.TOTAL and one.per not in ONE_TIME
        for items, seconds in zip(one.items, one.seconds, strict=False)
        if items > 0 and seconds > 0
    ]
    if record is None or not rates:
        return None
    return Throughput(quantile(rates, 0.5), min(rates), max(rates), record.n_images, len(rates))


def cold_steps(pipeline: PipelineView) -> tuple[ColdStep, ...]:
    """Return all that comes before the first image: as measured, and what was made before.

    A stage done once per key counts with the mean of its samples. What was reused was made while
    fitting, by the client or at its request.
    """
    record = pipeline.measured
    if record is None:
        return ()
    order = list(Stage)
    once = [one for one in record.measurements if one.per in ONE_TIME and one.seconds]
    once.sort(key=lambda one: (order.index(one.stage), one.side.value))
    measured = [
        ColdStep(_true_stage(record, one), one.side, sum(one.seconds) / len(one.seconds), one.per)
        for one in once
    ]
    made = [
        ColdStep(Stage.FIT, Side.CLIENT, record.reused_seconds.get(name), name=name)
        for name in record.reused
    ]
    return (*made, *measured)


def _true_stage(record: RunRecord, one: Measurement) -> Stage:
    """Older records call the last decryption of a training a refresh, also where there was none."""
    none = record.training.get("refresh_rounds") == 0
    return Stage.DECRYPT if one.stage is Stage.REFRESH and none else one.stage


def cold_seconds(pipeline: PipelineView) -> float | None:
    """Return the seconds of all one-time work, what was reused at the price of making it.

    None where nothing was measured, or where that price was not recorded.
    """
    found = [step.seconds for step in cold_steps(pipeline)]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if found and len(known) == len(found) else None


def fit_seconds(pipeline: PipelineView) -> float | None:
    """Return what fitting takes in seconds, on all sides, with the making of all that was reused.

    None where no fit was measured, or where what something that was reused had cost is not known.
    """
    steps = [step for step in cold_steps(pipeline) if step.stage is Stage.FIT]
    if all(step.reused for step in steps) or any(step.seconds is None for step in steps):
        return None
    return sum(step.seconds or 0.0 for step in steps)


def seconds_of_cells(view: RunView) -> float:
    """Return how long the cells of a run took; those that ran beside each other count once."""
    spans: list[tuple[float, float]] = []
    alone = 0.0
    for one in view.records:
        try:
            begun = datetime.datetime.fromisoformat(one.started_at).timestamp()
        except (ValueError, OverflowError, OSError):  # of a record from outside
            alone += one.seconds
        else:
            spans.append((begun, begun + one.seconds))
    total, end = alone, 0.0
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, end))
        end = max(end, ended)
    return total

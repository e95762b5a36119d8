"""Timed single images: which samples are of one image, and what of each image was spent where."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.records import Measurement, RunRecord
from he_compare.common.run.view import PipelineView
from he_compare.common.types import Per, Side, Stage


@dataclass(frozen=True)
class TimedImage:
    """Seconds of one image: in all, on the wire, at the server, in the network at the hospital."""

    total: float
    wire: float
    server: float
    network: float

    @property
    def hospital(self) -> float:
        """All that is neither on the wire nor at the server."""
        return self.total - self.wire - self.server


def timed_images(pipeline: PipelineView) -> list[TimedImage]:
    """Return every timed image; empty where a record does not tell sides apart by image."""
    found: list[TimedImage] = []
    for record in pipeline.timed:
        single = single_image_stages(record)
        totals = [one.seconds for one in single if one.stage is Stage.TOTAL]
        sides = seconds_by_side(single)
        if len(totals) != 1 or {one.side for one in single if one.seconds} - set(sides):
            return []
        zeros = [0.0] * len(totals[0])
        features = [
            one.seconds for one in single if one.stage is Stage.FEATURES and one.side is Side.CLIENT
        ]
        columns = (
            totals[0],
            sides.get(Side.NETWORK, zeros),
            sides.get(Side.SERVER, zeros),
            [sum(parts) for parts in zip(*features, strict=True)] if features else zeros,
        )
        found += [TimedImage(*row) for row in zip(*columns, strict=True)]
    return found


def totals_of(record: RunRecord) -> list[float]:
    """Return the seconds of each image of a latency cell, by the client's clock."""
    return [
        value
        for one in single_image_stages(record)
        if one.stage is Stage.TOTAL
        for value in one.seconds
    ]


def single_image_stages(record: RunRecord) -> list[Measurement]:
    """Measurements of a latency cell whose every sample is one image."""
    return [
        one
        for one in record.measurements
        if one.per is Per.SAMPLE or (one.per is Per.BATCH and set(one.items) == {1})
    ]


def seconds_by_side(measurements: list[Measurement]) -> dict[Side, list[float]]:
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

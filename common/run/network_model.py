"""What a network takes: modelled from bytes and round trips, and checked where it was measured.

One image is one request and one reply on a connection that is open: a round trip, and every byte at
the speed of the link. Left out are headers of TCP and IP (some 4%) and TCP's slow start, which adds
round trips to large messages where a connection has rested for longer than a retransmission takes.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from he_compare.common.run.quantiles import Spread, spread
from he_compare.common.run.records import RunRecord
from he_compare.common.run.single_images import single_image_stages
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Per, Side, Stage

BITS_PER_BYTE = 8
# A model that is further off than this is said to be.
MODEL_TOLERANCE = 0.15
# Fewer batches are no measure of a link's speed.
LEAST_BATCHES = 3


@dataclass(frozen=True)
class NetworkLink:
    """A network by its speed in bit/s, in both directions, and its round trip in seconds."""

    bits_per_second: float
    round_trip: float

    @property
    def name(self) -> str:
        """Speed and round trip in the units that they are known by."""
        mega = self.bits_per_second / 1e6
        speed = f"{mega / 1e3:g} Gbit/s" if mega >= 1e3 else f"{mega:g} Mbit/s"
        return f"{speed}, {1e3 * self.round_trip:g} ms"

    def seconds(self, sent: float) -> float:
        """Return what a request and its reply take, ``sent`` bytes together."""
        return self.round_trip + BITS_PER_BYTE * sent / self.bits_per_second


# A local network, a hospital's line, and a slow one far away.
LINKS = (NetworkLink(1e9, 0.0002), NetworkLink(50e6, 0.020), NetworkLink(10e6, 0.060))


@dataclass(frozen=True)
class CheckedModel:
    """The network time of one image: as measured, and as the model has it for that link."""

    measured: Spread
    modelled: float

    @property
    def ratio(self) -> float:
        """Measured by modelled, medians."""
        return self.measured.p50 / self.modelled

    @property
    def holds(self) -> bool:
        """Whether the model is within its tolerance of the measurement."""
        return abs(self.measured.p50 - self.modelled) <= MODEL_TOLERANCE * self.modelled


def measured_link(view: RunView) -> NetworkLink | None:
    """Return the link to the host: the round trip of empty requests, and the speed of batches.

    Both come from other measurements than single images do. None where no server was reached
    through a host, or where batches took no longer than a round trip.
    """
    trips = [
        trip
        for record in view.records
        if record.server_host is not None
        for trip in record.server_host.round_trip_seconds
    ]
    if not trips:
        return None
    trip = statistics.median(trips)
    found = [one for pipeline in view.pipelines for one in _batches(pipeline.measured)]
    sent = sum(size for size, _ in found)
    spent = sum(seconds - trip for _, seconds in found)
    if len(found) < LEAST_BATCHES or spent <= 0 or sent <= 0:
        return None
    return NetworkLink(BITS_PER_BYTE * sent / spent, trip)


def _batches(record: RunRecord | None) -> list[tuple[float, float]]:
    """Return bytes and network seconds of each batch of an accuracy cell on a host."""
    if record is None or record.server_host is None or record.traffic is None:
        return []
    traffic = record.traffic
    each = (traffic.upload_bytes + traffic.download_bytes) / max(1, traffic.n_images)
    return [
        (each * items, seconds)
        for one in record.measurements
        if one.stage is Stage.NETWORK and one.per is Per.BATCH
        for items, seconds in zip(one.items, one.seconds, strict=False)
    ]


def network_of(pipeline: PipelineView) -> Spread | None:
    """Return the measured network time of one image; None where none was measured."""
    seconds = [
        value
        for record in pipeline.timed
        for one in single_image_stages(record)
        if one.stage is Stage.NETWORK and one.side is Side.NETWORK
        for value in one.seconds
    ]
    return spread(seconds) if seconds else None


def checked_model(pipeline: PipelineView, link: NetworkLink) -> CheckedModel | None:
    """Compare the model for a link with what single images took; None where none did."""
    measured, moved = network_of(pipeline), single_image_bytes(pipeline)
    if measured is None or moved is None:
        return None
    return CheckedModel(measured, link.seconds(moved))


def single_image_bytes(pipeline: PipelineView) -> float | None:
    """Return the bytes up and down of one single image, from the latency cells."""
    counted = [one.traffic for one in pipeline.timed if one.traffic and one.traffic.n_images > 0]
    if not counted:
        return None
    sent = sum(one.upload_bytes + one.download_bytes for one in counted)
    return sent / sum(one.n_images for one in counted)

"""A sample run as it would be with its servers on a host, over a link of a speed and a length."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from he_compare.common.run.network_model import NetworkLink
from he_compare.common.run.records import Measurement, RunRecord, ServerHost
from he_compare.common.types import Per, Phase, Side, Stage, Status
from tests.support.samplerun.records import _environment
from tests.support.samplerun.runs import SampleRun

Where = Literal["", "same machine", "another machine"]


def on_a_host(
    run: SampleRun,
    link: NetworkLink,
    *,
    where: Where = "another machine",
    machine: str = "0123456789abcdef",
    slower: float = 1.0,
    clock_offset: float = 0.01,
    secure: bool = True,
) -> SampleRun:
    """Return the run with its servers on a host; single images take ``slower`` times as long."""
    host = ServerHost(
        machine=machine,
        environment=_environment().model_copy(update={"cpu": "Invented server CPU"}),
        certificate="AA:BB" if secure else "",
        clock_offset_seconds=clock_offset,
        clock_uncertainty_seconds=link.round_trip / 2,
        round_trip_seconds=[link.round_trip] * 9,
    )
    return replace(
        run, records=tuple(_moved(one, link, host, where, slower) for one in run.records)
    )


def _moved(
    record: RunRecord, link: NetworkLink, host: ServerHost, where: Where, slower: float
) -> RunRecord:
    traffic = record.traffic
    if record.status is not Status.OK or record.no_server or traffic is None:
        return record
    each = (traffic.upload_bytes + traffic.download_bytes) / traffic.n_images
    measured = [one for one in record.measurements if one.side is not Side.NETWORK]
    if record.cell.phase is Phase.LATENCY:
        seconds = [slower * link.seconds(each)] * record.n_images
        measured.append(_network(seconds, [1] * record.n_images, Per.SAMPLE))
    else:
        (total,) = [one for one in measured if one.stage is Stage.TOTAL and one.per is Per.BATCH]
        seconds = [link.seconds(each * items) for items in total.items]
        measured.append(_network(seconds, total.items, Per.BATCH))
    facts = {"server_host": host, "server_on": where, "measurements": measured}
    return record.model_copy(update=facts)


def _network(seconds: list[float], items: list[int], per: Per) -> Measurement:
    return Measurement(
        stage=Stage.NETWORK, side=Side.NETWORK, per=per, seconds=seconds, items=list(items)
    )

"""Servers on a host: what is said of the place, the network that was measured, and its model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.run.latency_cells import latency_elsewhere, standing_latency
from he_compare.common.run.network_model import (
    LINKS,
    MODEL_TOLERANCE,
    NetworkLink,
    checked_model,
    measured_link,
    network_of,
)
from he_compare.common.run.records import RunRecord
from he_compare.common.run.server_places import (
    LOOPBACK,
    TO_HOST,
    TO_ITSELF,
    clock_offset_words,
    remote_records,
    server_place_words,
    wire_is_loopback,
    wire_words,
)
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Phase, Stage, Status
from he_compare.comparisons.judging.diff import diff_runs
from he_compare.comparisons.judging.verify import verify_run
from tests.support.samplerun import SampleRun, three_pipelines, with_the_hospital_alone
from tests.support.samplerun.hosts import on_a_host

LINE = NetworkLink(50e6, 0.020)


def view_of(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def older(run: SampleRun) -> SampleRun:
    """Return a run whose records do not know where servers ran."""
    records = tuple(one.model_copy(update={"server_on": ""}) for one in run.records)
    return replace(run, records=records)


def test_a_link_takes_a_round_trip_and_its_bytes() -> None:
    assert LINE.seconds(0) == 0.020
    assert LINE.seconds(125_000) == pytest.approx(0.020 + 0.020)
    assert [one.name for one in LINKS] == [
        "1 Gbit/s, 0.2 ms",
        "50 Mbit/s, 20 ms",
        "10 Mbit/s, 60 ms",
    ]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
def test_the_link_is_found_from_batches_and_pings_and_predicts_single_images(
    link: NetworkLink, tmp_path: Path
) -> None:
    view = view_of(on_a_host(three_pipelines(), link), tmp_path)
    found = measured_link(view)
    assert found is not None
    assert found.round_trip == link.round_trip
    assert found.bits_per_second == pytest.approx(link.bits_per_second, rel=1e-6)
    for pipeline in view.pipelines:
        checked = checked_model(pipeline, found)
        assert checked is not None and checked.holds
        assert checked.ratio == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(("slower", "holds"), [(1.1, True), (1.3, False), (0.7, False)])
def test_a_model_that_is_off_is_known_to_be(slower: float, holds: bool, tmp_path: Path) -> None:
    view = view_of(on_a_host(three_pipelines(), LINE, slower=slower), tmp_path)
    link = measured_link(view)
    assert link is not None
    checked = [checked_model(one, link) for one in view.pipelines]
    assert all(one is not None and one.holds is holds for one in checked)
    assert abs(slower - 1) > MODEL_TOLERANCE or holds


def test_without_a_host_nothing_is_measured(tmp_path: Path) -> None:
    view = view_of(three_pipelines(), tmp_path)
    assert measured_link(view) is None
    assert all(network_of(one) is None for one in view.pipelines)
    assert wire_words(view) == LOOPBACK and wire_is_loopback(view)
    assert server_place_words(view) == "All servers ran on the client's machine."
    assert remote_records(view) == [] and clock_offset_words(view.records) == ""


def test_older_records_do_not_say_where_servers_ran(tmp_path: Path) -> None:
    view = view_of(older(three_pipelines()), tmp_path)
    assert server_place_words(view) == "On which machine the servers ran is not recorded."
    assert wire_words(view) == LOOPBACK


def test_a_host_is_described_once_with_its_way(tmp_path: Path) -> None:
    view = view_of(on_a_host(with_the_hospital_alone(), LINE), tmp_path)
    words = server_place_words(view)
    assert words.startswith("Servers ran on another machine than the client in ")
    assert words.count("Invented server CPU") == 1 and "over TLS, round trip 20.0 ms" in words
    assert wire_words(view) == TO_HOST
    served = [one for one in view.records if not one.no_server]
    assert f"in {len(served)} of {len(served)} measured cells" in words


def test_a_host_on_the_clients_machine_is_told_from_one_elsewhere(tmp_path: Path) -> None:
    view = view_of(on_a_host(three_pipelines(), LINE, where="same machine", secure=False), tmp_path)
    assert "on the client's machine in" in server_place_words(view)
    assert "without TLS, on loopback" in server_place_words(view)
    assert wire_words(view) == TO_ITSELF


@pytest.mark.parametrize(
    ("offset", "words"),
    [(0.5, ""), (-0.99, ""), (3.0, "3.0 s ahead of"), (-90.0, "90.0 s behind")],
)
def test_a_clock_that_is_off_is_said(offset: float, words: str, tmp_path: Path) -> None:
    view = view_of(on_a_host(three_pipelines(), LINE, clock_offset=offset), tmp_path)
    told = clock_offset_words(view.records)
    assert (words in told) if words else told == ""


# Runs that went on with their servers elsewhere


def renamed(records: tuple[RunRecord, ...], mark: str) -> list[RunRecord]:
    """Return latency cells as other cells of the same rounds."""
    return [
        one.model_copy(update={"identity": f"{mark}{one.identity[1:]}"})
        for one in records
        if one.cell.phase is Phase.LATENCY
    ]


def test_times_of_two_places_are_not_pooled(tmp_path: Path) -> None:
    here = three_pipelines()
    there = renamed(on_a_host(here, LINE).records, "x")
    both = replace(here, records=(*here.records, *there))
    view = view_of(both, tmp_path)
    for pipeline in view.pipelines:
        assert len(pipeline.timed) == 3
        assert all(one.server_host is not None for one in pipeline.timed), "the later place"
    assert len(latency_elsewhere(view.records)) == len(there)
    # With one round there, the place that has more of them stands.
    less = replace(here, records=(*here.records, *[one for one in there if one.cell.round == 1]))
    view = view_of(less, tmp_path / "less")
    assert all(one.server_host is None for each in view.pipelines for one in each.timed)
    assert all(len(each.timed) == 3 for each in view.pipelines)


def test_a_round_that_was_timed_again_counts_once_and_a_later_failure_is_seen() -> None:
    (first, *_) = renamed(three_pipelines().records, "a")
    again = first.model_copy(update={"identity": "b"})
    failed = first.model_copy(update={"identity": "c", "status": Status.FAILED})
    assert standing_latency([first, again]) == [again]
    assert standing_latency([first, failed]) == [first, failed]
    assert standing_latency([failed, first]) == [first]
    late = failed.model_copy(update={"identity": "d"})
    assert standing_latency([failed, late]) == [late]
    assert standing_latency([]) == [] and latency_elsewhere([first, again]) == []


def test_cells_without_a_server_stand_wherever_the_servers_were(tmp_path: Path) -> None:
    view = view_of(on_a_host(with_the_hospital_alone(), LINE), tmp_path)
    assert all(len(one.timed) == 3 for one in view.pipelines)
    assert any(one.no_server for one in view.pipelines)


# verify and diff


def problems(run: SampleRun, path: Path) -> list[str]:
    return [
        line
        for line in verify_run(RunFolder(run.write(path)))
        if "server" in line or "host" in line
    ]


def one_record(run: SampleRun, **update: object) -> SampleRun:
    first, *rest = run.records
    return replace(run, records=(first.model_copy(update=update), *rest))


def test_verify_takes_a_run_with_a_host_and_finds_what_contradicts_itself(tmp_path: Path) -> None:
    good = on_a_host(three_pipelines(), LINE)
    assert problems(good, tmp_path / "good") == []
    lost = one_record(good, server_host=None)
    assert any("does not say on which" in one for one in problems(lost, tmp_path / "lost"))
    assert any("no host that was reached" in one for one in problems(lost, tmp_path / "again"))
    host = good.records[0].server_host
    assert host is not None
    mad = host.model_copy(update={"round_trip_seconds": [-1.0]})
    assert problems(one_record(good, server_host=mad), tmp_path / "mad")
    alone = with_the_hospital_alone()
    (record,) = [one for one in alone.records if one.no_server and one.cell.round == 0]
    wrong = record.model_copy(update={"server_on": "same machine"})
    records = tuple(wrong if one is record else one for one in alone.records)
    assert any(
        "and where it ran" in one
        for one in problems(replace(alone, records=records), tmp_path / "alone")
    )


def test_diff_names_the_places_of_servers(tmp_path: Path) -> None:
    here = RunFolder(three_pipelines().write(tmp_path / "here"))
    there = RunFolder(on_a_host(three_pipelines(), LINE).write(tmp_path / "there"))
    found = diff_runs(here, there, allow_other_environment=True)
    assert "servers on same machine and host 01234567" in found["environment"]
    before = RunFolder(older(three_pipelines()).write(tmp_path / "older"))
    assert diff_runs(here, before, allow_other_environment=False)["environment"] == []


def test_the_wire_is_a_stage_of_its_own(tmp_path: Path) -> None:
    view = view_of(on_a_host(three_pipelines(), LINE), tmp_path)
    for pipeline in view.pipelines:
        found = network_of(pipeline)
        assert found is not None and math.isfinite(found.p50)
        stages = {one.stage for record in pipeline.timed for one in record.measurements}
        assert Stage.NETWORK in stages and Stage.TRANSPORT not in stages

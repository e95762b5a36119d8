"""A report of a run whose servers ran on a host: the network is in it, measured and modelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.run.network_model import NetworkLink
from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document
from he_compare.reports.render.markdown import markdown
from tests.support.samplerun import SampleRun, three_pipelines
from tests.support.samplerun.hosts import on_a_host

LINE = NetworkLink(50e6, 0.020)


def text_of(run: SampleRun, path: Path) -> str:
    return markdown(build_document(RunFolder(run.write(path))))


def test_a_run_with_a_host_is_told_from_one_without(tmp_path: Path) -> None:
    there = text_of(on_a_host(three_pipelines(), LINE), tmp_path / "there")
    here = text_of(three_pipelines(), tmp_path / "here")
    for words in (
        "Network time of one image, measured and modelled",
        "The model is within 15% for all.",
        "The wire is the network to the host",
        "Servers ran on another machine than the client",
        "Servers on host",
        "It ran on a host: messages went over the network to the host.",
    ):
        assert words in there, words
        assert words not in here, words
    assert "All servers ran on the client's machine." in here
    assert "1 Gbit/s, 0.2 ms" in here and "10 Mbit/s, 60 ms" in here


def test_a_model_that_is_off_is_named(tmp_path: Path) -> None:
    text = text_of(on_a_host(three_pipelines(), LINE, slower=1.5), tmp_path)
    assert "The model is off by more than 15% for" in text


def test_a_clock_that_is_off_and_a_changed_checkout_are_deviations(tmp_path: Path) -> None:
    run = on_a_host(three_pipelines(), LINE, clock_offset=-7.0)
    host = run.records[0].server_host
    assert host is not None
    dirty = host.environment.model_copy(update={"source_dirty": True})
    changed = host.model_copy(update={"environment": dirty})
    records = tuple(one.model_copy(update={"server_host": changed}) for one in run.records)
    text = text_of(replace(run, records=records), tmp_path)
    assert "The clock of the host was 7.0 s behind the client's." in text
    assert "the host ran from a checkout with uncommitted changes" in text


@pytest.mark.parametrize("where", ["same machine", "another machine"])
def test_only_another_machine_is_a_deviation(where: str, tmp_path: Path) -> None:
    run = on_a_host(three_pipelines(), LINE, where=where)  # type: ignore[arg-type]
    told = "Times of the hospital and of the server are those of two machines." in text_of(
        run, tmp_path
    )
    assert told is (where == "another machine")

"""Sample runs and golden reports name pipelines, parameters and options that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main

from he_compare.common import plugins
from he_compare.comparisons.cli.app import app
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from tests.support.commandline import parse, words_of
from tests.support.repository import GOLDEN
from tests.support.samplerun import SampleRun, audited, ten_pipelines, three_pipelines

REPORTS = ("report-three.md", "report-ten.md")
RUNS = {"three": three_pipelines, "ten": ten_pipelines, "audited": audited}


@pytest.fixture(params=RUNS, scope="module")
def run(request: pytest.FixtureRequest) -> SampleRun:
    return RUNS[request.param]()


def resolved(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with defaults, after a way through the spelling of the command line."""
    spec = parse_spec(PipelineSpec(name, parameters).text)
    assert spec == PipelineSpec(name, parameters)
    return resolve_parameters(plugins.load("pipelines", name), spec).model_dump(mode="json")


def test_every_pipeline_of_a_sample_run_parses_and_resolves(run: SampleRun) -> None:
    for planned in run.manifest.pipelines:
        assert planned.label == PipelineSpec(planned.name, planned.parameters).label
        real = resolved(planned.name, planned.parameters)
        assert planned.resolved.items() <= real.items()


def test_every_cell_is_one_of_a_planned_pipeline(run: SampleRun) -> None:
    planned = {one.label: one for one in run.manifest.pipelines}
    for record in run.records:
        cell = record.cell
        plan = planned[cell.label]
        told = (cell.pipeline, cell.parameters, cell.resolved)
        assert told == (plan.name, plan.parameters, plan.resolved)


def commands_of(name: str) -> list[str]:
    """Return the commands in code blocks and code spans of a golden report."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^compare .*$", text, flags=re.MULTILINE)
    return blocks + re.findall(r"`(compare [^`\n]+)`", text)


def test_every_command_of_a_sample_run_parses(run: SampleRun) -> None:
    for command in (run.manifest.command, *(one.reproduce for one in run.outcomes)):
        parse(words_of(command))


@pytest.mark.parametrize("name", REPORTS)
def test_every_command_of_a_golden_report_parses(name: str) -> None:
    found = commands_of(name)
    assert len(found) > 5
    for command in found:
        parse(words_of(command))


@pytest.mark.parametrize("name", REPORTS)
def test_every_option_that_a_golden_report_mentions_exists(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    known = {
        option
        for command in ("run", "show", "score", "report")
        for parameter in typer.main.get_command(app).commands[command].params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    mine = "\n".join(line for line in text.splitlines() if not line.startswith("pip install"))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", mine)) <= known

"""Measuring without a server: nothing is started, nothing is sent, all time is the hospital's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Deployment,
    Fitted,
    LocalFitted,
    LocalPipeline,
    Parameters,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
)
from he_compare.common.errors import CellError, NoServerError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float64Array, Per, Side, Stage, UInt8Array
from he_compare.comparisons.measuring import fitting
from he_compare.comparisons.measuring.fitting import fit_and_deploy
from he_compare.comparisons.measuring.pipeline_spec import parse_spec
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.measuring.session import LocalSession, open_session
from tests.support.deployments import CLASSES, ground, images


class Level(LocalFitted):
    """Scores by mean level; ``told``: stages are timed; ``width``: of the scores."""

    def __init__(self, told: bool = True, width: int = len(CLASSES)) -> None:
        self.told, self.width = told, width

    def answer(self, images: UInt8Array, clock: Clock) -> Float64Array:
        level = images.mean(axis=(1, 2, 3))
        if self.told:
            with clock.stage(Stage.FEATURES, items=len(images)):
                time.sleep(0.002)
        return np.repeat(level[:, None], self.width, axis=1)


class Alone(LocalPipeline):
    """Fits what a test says."""

    name = "alone"

    def __init__(self, made: Any = None, starts: bool = False) -> None:
        self.made, self.starts = made or Level(), starts

    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> Any:
        if self.starts:
            context.start_server("alone", b"material")
        return self.made


class Served(Fitted):
    def deploy(self, context: RunContext) -> Deployment:
        raise AssertionError("deployed")

    def claims(self) -> SecurityClaims:
        return SecurityClaims(scheme="x", protects="x", claim_type="none")


class WithServer(Pipeline):
    """Says that it has a server, and fits what needs none."""

    name = "served"

    def fit(self, data: TrainingData, parameters: Any, context: RunContext) -> Fitted:
        return Level()

    def load_server(self, public_material: bytes) -> Server:
        raise AssertionError("loaded")


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*given: Any, **named: Any) -> None:
        raise AssertionError(f"a server process was started: {given}")

    monkeypatch.setattr(fitting, "ServerProcess", start)


def session_of(folder: Path, pipeline: Any) -> LocalSession:
    made = open_session(Planned(parse_spec("alone"), pipeline, Parameters()), ground(folder))
    assert isinstance(made, LocalSession)
    return made


def test_nothing_crosses_and_all_the_time_is_the_clients(tmp_path: Path) -> None:
    session = session_of(tmp_path, Alone())
    clock, crossed = Clock(Side.CLIENT), []
    before = session.byte_count()
    scores = session.run(images()[:5], clock, per=Per.BATCH, record=crossed.extend)
    assert scores.shape == (5, len(CLASSES)) and crossed == []
    assert {side for _, side, _ in clock.samples} == {Side.CLIENT}
    assert clock.items[Stage.TOTAL, Side.CLIENT, Per.BATCH] == [5]
    traffic = session.traffic(before, 5)
    counts = traffic.model_dump(exclude={"n_images", "jpeg_bytes"})
    assert traffic.n_images == 5 and set(counts.values()) == {0}
    assert session.server_facts() == {"no_server": True} and session.server_peak() is None
    assert {stage for stage, *_ in session.fit.once.samples} == {Stage.FIT}
    session.close()


def test_what_times_no_stage_is_counted_as_evaluation(tmp_path: Path) -> None:
    session = session_of(tmp_path, Alone(Level(told=False)))
    clock = Clock(Side.CLIENT)
    session.run(images()[:2], clock, per=Per.SAMPLE)
    assert clock.items[Stage.EVALUATE, Side.CLIENT, Per.BATCH] == [2]
    (evaluated,) = clock.samples[Stage.EVALUATE, Side.CLIENT, Per.BATCH]
    assert 0 < evaluated <= clock.samples[Stage.TOTAL, Side.CLIENT, Per.SAMPLE][0]


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    session = session_of(tmp_path, Alone(Level(width=3)))
    with pytest.raises(CellError, match=r"\(4, 3\).*from answer"):
        session.run(images()[:4], Clock(Side.CLIENT), per=Per.BATCH)


def test_a_fit_without_a_server_has_no_deployment(tmp_path: Path) -> None:
    fit = fit_and_deploy(Alone(), Parameters(), ground(tmp_path))
    assert fit.deployment is None
    with pytest.raises(NoServerError):
        _ = fit.deployed


def test_a_server_for_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CellError, match="it has no server, and starts one"):
        fit_and_deploy(Alone(starts=True), Parameters(), ground(tmp_path))


@pytest.mark.parametrize("pipeline", [Alone(Served()), WithServer()], ids=["served", "local"])
def test_pipeline_and_model_must_agree_on_the_server(tmp_path: Path, pipeline: Any) -> None:
    with pytest.raises(CellError, match="disagree on whether there is a server"):
        fit_and_deploy(pipeline, Parameters(), ground(tmp_path))

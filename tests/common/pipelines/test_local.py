"""The hospital alone: the head of the plain reference, with nobody to send anything to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.contracts import LocalFitted
from he_compare.common.errors import DataError, NoServerError
from he_compare.common.types import Side, Stage
from tests.support.batches import bright_and_dark, training_data
from tests.support.runcontext import Bench

TRAIN, TEST = bright_and_dark(24, 1), bright_and_dark(10, 2)
DATA = training_data(TRAIN, TEST)


def fitted(bench: Bench, **parameters: float) -> LocalFitted:
    pipeline = plugins.load("pipelines", "local")
    made = pipeline.fit(DATA, pipeline.parameters(**parameters), bench.context())
    assert isinstance(made, LocalFitted)
    return made


def test_it_answers_as_the_plain_server_does_and_shares_its_head(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    local = fitted(bench)
    plain = plugins.load("pipelines", "plaintext")
    context = bench.context()
    made = plain.fit(DATA, plain.parameters(model="logistic"), context)
    assert bench.artefacts.made == ["head"]
    served = bench.scores("plaintext", made.deploy(context), TEST.images[:])
    clock = Clock(Side.CLIENT)
    scores = local.answer(TEST.images[:], clock)
    assert np.allclose(scores, served, atol=1e-4)
    assert np.ptp(scores[:, 1]) > 1e-3
    assert {(stage, side) for stage, side, _ in clock.samples} == {
        (Stage.FEATURES, Side.CLIENT),
        (Stage.EVALUATE, Side.CLIENT),
    }


def test_another_c_is_another_head(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    weak, strong = fitted(bench, C=1e-4), fitted(bench, C=10.0)
    clock = Clock(Side.CLIENT)
    assert bench.artefacts.made == ["head", "head"]
    spread = [np.ptp(one.answer(TEST.images[:], clock)[:, 1]) for one in (weak, strong)]
    assert spread[0] < spread[1]


def test_there_is_nothing_to_deploy_to_and_no_server_half(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    local = fitted(bench)
    with pytest.raises(NoServerError, match="nothing to attack"):
        local.deploy(bench.context())
    with pytest.raises(NoServerError, match="local has no server half"):
        plugins.load("pipelines", "local").load_server(b"")
    assert not bench.servers and not bench.crossing.messages and not bench.crossing.public


def test_it_claims_nothing(tmp_path: Path) -> None:
    claims = fitted(Bench(tmp_path)).claims()
    assert (claims.claim_type, claims.server_learns, claims.key_space) == ("none", [], None)
    assert "nothing leaves the hospital" in claims.protects


def test_images_of_one_class_are_refused_in_one_line(tmp_path: Path) -> None:
    pipeline = plugins.load("pipelines", "local")
    one = replace(DATA, train=TRAIN.take(np.flatnonzero(TRAIN.labels == 0)))
    with pytest.raises(DataError, match="no training image of class number 1"):
        pipeline.fit(one, pipeline.parameters(), Bench(tmp_path).context())

"""Validation images are scored without a trace in what is measured, or by the clear reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.contracts import LocalFitted, LocalPipeline, Parameters
from he_compare.common.errors import CellError
from he_compare.common.run.clinical import AS_EXECUTED
from he_compare.common.types import FheMode, Float64Array, UInt8Array
from he_compare.comparisons.measuring.pipeline_spec import parse_spec
from he_compare.comparisons.measuring.plan import Planned
from he_compare.comparisons.measuring.session import Session, open_session
from he_compare.comparisons.measuring.validation_scores import validation_scores
from tests.support.deployments import batch, ground


class Fitted(LocalFitted):
    """Answers the mean level; ``reference``: what the clear model answers."""

    def __init__(self, mode: FheMode, reference: Any) -> None:
        self.fhe_mode, self.reference = mode, reference
        self.answered: list[int] = []

    def answer(self, images: UInt8Array, clock: Clock) -> Float64Array:
        self.answered.append(len(images))
        level = images.mean(axis=(1, 2, 3))
        return np.stack([-level, level], axis=1)

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        return None if self.reference is None else ("clear head", self.reference(len(images)))


class Chosen(LocalPipeline):
    name = "chosen"

    def __init__(self, made: Fitted) -> None:
        self.made = made

    def fit(self, data: Any, parameters: Any, context: Any) -> Fitted:
        return self.made


def session_of(folder: Path, made: Fitted) -> Session:
    return open_session(Planned(parse_spec("chosen"), Chosen(made), Parameters()), ground(folder))


def test_without_encryption_the_executed_path_scores_them_in_batches(tmp_path: Path) -> None:
    made = Fitted(FheMode.NOT_APPLICABLE, reference=lambda n: np.zeros((n, 2)))
    found = validation_scores(session_of(tmp_path, made), batch(), 8)
    assert found is not None
    assert (found.facts.images, found.facts.scored_by) == (30, AS_EXECUTED)
    assert made.answered == [8, 8, 8, 6]
    assert found.scores.shape == (30, 2) and found.scores.any()
    assert np.array_equal(found.labels, batch().labels)


@pytest.mark.parametrize("mode", [FheMode.EXECUTE, FheMode.SIMULATE])
def test_under_encryption_the_clear_reference_does(tmp_path: Path, mode: FheMode) -> None:
    made = Fitted(mode, reference=lambda n: np.full((n, 2), 7.0))
    found = validation_scores(session_of(tmp_path, made), batch(), 8)
    assert found is not None and found.facts.scored_by == "clear head"
    assert made.answered == [] and (found.scores == 7.0).all()


def test_without_a_reference_or_without_images_there_are_none(tmp_path: Path) -> None:
    session = session_of(tmp_path, Fitted(FheMode.EXECUTE, reference=None))
    assert validation_scores(session, batch(), 8) is None
    nothing = batch().take(slice(0, 0))
    assert validation_scores(session, nothing, 8) is None


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    made = Fitted(FheMode.EXECUTE, reference=lambda n: np.zeros((n, 3)))
    with pytest.raises(
        CellError, match=r"clear head has scores of shape \(30, 3\), expected \(30, 2\)"
    ):
        validation_scores(session_of(tmp_path, made), batch(), 8)

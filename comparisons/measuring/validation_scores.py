"""Scores of the validation split, kept so that a threshold is fixed without test images.

They are no result: they enter no timing, no traffic and no tape. A pipeline without homomorphic
encryption scores them as it is executed. Where encryption is executed, its clear reference stands
for it: the cell fails unless both call the same class for every test image, and its scores differ
by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.run.clinical import AS_EXECUTED
from he_compare.common.run.records import ValidationFacts
from he_compare.common.types import FheMode, Float64Array, ImageBatch, IntArray, Per, Side
from he_compare.comparisons.measuring.clear_models import clear_reference_of
from he_compare.comparisons.measuring.session import Session


@dataclass(frozen=True)
class ValidationScores:
    """``labels``: int64 (n,). ``scores``: float64 (n, k), as the test images have them."""

    facts: ValidationFacts
    labels: IntArray
    scores: Float64Array


def validation_scores(session: Session, split: ImageBatch, batch: int) -> ValidationScores | None:
    """Score the validation split, ``batch`` images at a time; None where nothing can.

    Call it after traffic and memory were read. Raises CellError on scores of another shape.
    """
    if not len(split):
        return None
    if session.fitted.fhe_mode is FheMode.NOT_APPLICABLE:
        name, scores = AS_EXECUTED, _executed(session, split, batch)
    else:
        reference = clear_reference_of(session.fitted, split.images, session.classes)
        if reference is None:
            return None
        name, scores = reference
    facts = ValidationFacts(images=len(split), scored_by=name)
    return ValidationScores(facts, split.labels.astype(np.int64), scores.astype(np.float64))


def _executed(session: Session, split: ImageBatch, batch: int) -> Float64Array:
    """Run the split through the whole path on a clock that is thrown away."""
    parts = [
        session.run(split.images[start : start + batch], Clock(Side.CLIENT), per=Per.BATCH)
        for start in range(0, len(split), batch)
    ]
    return np.concatenate(parts)

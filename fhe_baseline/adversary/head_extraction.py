"""A linear head from its answers: d + 1 queries solve for all of it.

Encryption hides the query from the server; it does not hide the head from whoever reads scores.
Source: Tramer, Zhang, Juels, Reiter, Ristenpart, "Stealing Machine Learning Models via Prediction
APIs", USENIX Security 2016 (equation solving).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.backbones.head import LinearModel
from common.types import Float64Array

Ask = Callable[[Float64Array], Float64Array]


@dataclass(frozen=True)
class Fidelity:
    """An extracted head against the true one on inputs that were no queries."""

    same_class: float
    explained: float
    largest_weight_error: float
    queries: int


def extract(ask: Ask, width: int, step: float) -> LinearModel:
    """Ask for the scores of 0 and of ``step`` in each direction; return the head they fix.

    ``ask``: inputs (n, width) to scores (n, k), by whatever protocol.
    """
    queries = np.vstack([np.zeros((1, width)), step * np.eye(width)])
    scores = ask(queries)
    return LinearModel((scores[1:] - scores[0]).T / step, scores[0])


def fidelity(found: LinearModel, truth: LinearModel, inputs: Float64Array) -> Fidelity:
    """Compare two heads on inputs (n, width)."""
    mine, real = found.scores(inputs), truth.scores(inputs)
    spread = float(((real - real.mean(axis=0)) ** 2).sum())
    scale = float(np.abs(truth.weights).max())
    return Fidelity(
        same_class=float((mine.argmax(axis=1) == real.argmax(axis=1)).mean()),
        explained=1 - float(((mine - real) ** 2).sum()) / spread if spread else 0.0,
        largest_weight_error=float(np.abs(found.weights - truth.weights).max()) / scale,
        queries=truth.width + 1,
    )

"""Trainings under encryption as figures and tables read them, from what the record says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from he_compare.common.run.records import RunRecord
from he_compare.common.run.view import PipelineView, RunView

NEEDED = ("iteration", "loss", "loss_of_twin", "relative_difference_to_twin", "seconds")


@dataclass(frozen=True)
class Refresh:
    """Where a refresh found the weights, and the seconds since the one before."""

    iteration: int
    loss: float
    twin_loss: float
    difference: float
    outside: int
    seconds: float


@dataclass(frozen=True)
class EncryptedTraining:
    """One training: its refreshes, where it began and where scikit-learn ends."""

    pipeline: PipelineView
    refreshes: tuple[Refresh, ...]
    facts: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Wall clock after the upload, refreshes included."""
        return sum(one.seconds for one in self.refreshes)

    @property
    def optimum(self) -> float | None:
        """Loss of scikit-learn's optimum."""
        return _number(self.facts.get("scikit_learn"), "loss")

    @property
    def same_calls(self) -> float | None:
        """Share of training rows that scikit-learn's optimum calls the same."""
        return _number(self.facts.get("scikit_learn"), "same_decisions_on_training_rows")

    @property
    def start(self) -> float | None:
        """Loss of zero weights."""
        return _number(self.facts, "loss_at_start")

    @property
    def refresh_bytes(self) -> float:
        """Bytes of all refreshes, both ways."""
        recorded = self.facts.get("bytes")
        ways = (_number(recorded, "refresh_upload"), _number(recorded, "refresh_download"))
        return sum(way or 0.0 for way in ways)

    @property
    def parameter_set(self) -> str:
        """Ring and modulus of the training."""
        claims = self.pipeline.claims
        for facts in claims.lattice if claims else ():
            if facts.task == "training":
                return f"N = {facts.dimension:,}, log2 Q = {facts.log2_q:g}"
        return "parameters not recorded"


def encrypted_trainings(view: RunView) -> list[EncryptedTraining]:
    """Return every training under encryption whose course was recorded."""
    found = []
    for pipeline in view.pipelines:
        record = pipeline.measured
        refreshes = _refreshes(record) if record else ()
        if record and refreshes:
            found.append(EncryptedTraining(pipeline, refreshes, record.training))
    return found


def _refreshes(record: RunRecord) -> tuple[Refresh, ...]:
    """Read the history; empty where it is of another kind (epochs of a network)."""
    history = record.training.get("history")
    if not isinstance(history, list) or not history:
        return ()
    if not all(isinstance(one, dict) and all(key in one for key in NEEDED) for one in history):
        return ()
    return tuple(
        Refresh(
            iteration=int(one["iteration"]),
            loss=float(one["loss"]),
            twin_loss=float(one["loss_of_twin"]),
            difference=float(one["relative_difference_to_twin"]),
            outside=int(one.get("logits_outside_interval", 0)),
            seconds=float(one["seconds"]),
        )
        for one in history
    )


def _number(recorded: Any, name: str) -> float | None:
    value = recorded.get(name) if isinstance(recorded, dict) else None
    return float(value) if isinstance(value, int | float) else None

"""Head extraction: anyone who reads scores solves for the head; only the query is encrypted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.types import Aim, Float64Array, Knowledge, Side
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.victim import victim_of

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


class HeadExtraction(EncryptionCheck):
    """Asks width + 1 encrypted queries through the pipeline's own client and server process."""

    name = "head_extraction"
    title = "Extraction of the head from scores"
    rung = Knowledge.CHOSEN_PLAINTEXTS
    aim = Aim.MODEL
    metric = AttackMetric("share of the scores' variance the extracted head explains", best=1.0)
    source = "Tramer et al., USENIX Security 2016"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Extract the head and compare it with the true one on images that were no queries."""
        victim = victim_of(inspected)
        with victim.serve() as server:

            def ask(inputs: Float64Array) -> Float64Array:
                uploads = victim.client.protect(inputs, Clock(Side.CLIENT))
                return victim.reveal(server.call("infer", uploads, Clock(Side.CLIENT)))

            found = extract(ask, victim.model.width, float(victim.inputs.max()))
        truth = fidelity(found, victim.model, victim.inputs)
        return CheckFinding(
            verdict="broken" if truth.explained > 0.99 else "partial",
            headline=f"{truth.queries} encrypted queries reveal the head: the copy classifies "
            f"{truth.same_class:.1%} of {len(victim.inputs)} images alike",
            value=truth.explained,
            details=[
                Detail("images classified alike", truth.same_class),
                Detail("largest error of a weight / largest weight", truth.largest_weight_error),
            ],
            promised=False,
            claim="secrecy of the head from the client, which matters where somebody else owns the "
            "head; in this pipeline the client owns it",
            limits=[
                "encryption hides images from the server, not the server's model from the client: "
                "it does not limit queries",
            ],
            spent={"queries": truth.queries},
        )


CHECK = HeadExtraction()

"""Invented facts of trainings under encryption: from one upload, with refreshes, and as of old."""

from __future__ import annotations

from typing import Any

import numpy as np

from he_compare.common.run.records import (
    CellScores,
    ClearTwinFacts,
    CostRung,
    Interval,
    PairedDifference,
)
from tests.support.samplerun.kinds import Arrays, Kind

TWINS = (
    ("clear head", ""),
    ("same preparation, scikit-learn's optimum", "preparation"),
    ("same steps, exact sigmoid", "few steps"),
    ("clear twin: same steps, polynomial sigmoid", "polynomial"),
)
LOST = (0.0, 0.004, 0.0025, -0.0008, 0.0)
# Name, ring, bits, levels: (set, what it would take) for three steps.
SETS = (
    ("n8192-214", 8192, 214, 4),
    ("n16384-295", 16384, 295, 6),
    ("n16384-402", 16384, 402, 9),
    ("n16384-430-13", 16384, 430, 13),
    ("n32768-604", 32768, 604, 17),
    ("n32768-868", 32768, 868, 24),
)


def twins_of(kind: Kind) -> list[ClearTwinFacts]:
    if kind.name != "fhe-train" or kind.training == "older":
        return []
    return [ClearTwinFacts(name=name, cost=cost) for name, cost in TWINS]


def with_twins(kind: Kind, arrays: Arrays) -> Arrays:
    """Add the probabilities of the clear models: invented as those of the executed one."""
    count = len(twins_of(kind))
    if not count:
        return arrays
    return arrays | {"twin_probabilities": np.stack([arrays["probabilities"]] * count)}


def rungs_of(twins: list[ClearTwinFacts], cell: CellScores, n: int) -> list[CostRung]:
    """Invent what each step costs, so that the last rung is what the cell has."""
    if not twins:
        return []
    value = {one.name: one.value or 0.0 for one in cell.metrics}
    names = [*[(one.name, one.cost) for one in twins], ("as executed", "encryption")]
    rungs: list[CostRung] = []
    for number, (name, cost) in enumerate(names):
        ahead = sum(LOST[number + 1 :])
        differences = [
            PairedDifference(
                metric=metric,
                pipeline=name,
                reference=rungs[-1].name,
                difference=-LOST[number],
                interval=Interval(
                    low=round(-LOST[number] - 0.7 * abs(LOST[number]) - 0.0004, 6),
                    high=round(-LOST[number] + 0.7 * abs(LOST[number]) + 0.0004, 6),
                    method="invented for tests",
                ),
                p_value=None,
                n=n,
                discordant=None,
            )
            for metric in ("accuracy", "auc")
            if rungs
        ]
        rungs.append(
            CostRung(
                name=name,
                cost=cost,
                accuracy=round(value["accuracy"] + ahead, 6),
                auc=round(value["auc"] + ahead, 6),
                differences=differences,
            )
        )
    return rungs


def training_facts(kind: Kind) -> dict[str, Any]:
    if kind.name != "fhe-train":
        return {"trained_on": "invented images", "epochs": 8, "history": [{"epoch": 1}]}
    if kind.training == "older":
        return _older()
    return _now(refreshes=2 if kind.training == "refreshed" else 0)


def _older() -> dict[str, Any]:
    losses = [round(0.69 * 0.8**step + 0.2, 6) for step in range(8)]
    return {
        "trained_on": "encrypted features and labels",
        "iterations": 8,
        "bytes": {"keys_and_circuit": 17_000_000, "data_upload": 9_700_000, "refresh_download": 1},
        "history": [_stretch(step, loss, 0.4) for step, loss in enumerate(losses, start=1)],
        "relative_difference_to_twin": 7.3e-5,
        "scikit_learn": {"loss": 0.31, "same_decisions_on_training_rows": 0.99},
    }


def _stretch(step: int, loss: float, seconds: float) -> dict[str, Any]:
    return {
        "iteration": step,
        "loss": loss,
        "loss_of_twin": loss + 1e-7,
        "relative_difference_to_twin": 7.3e-5 / step,
        "logits_outside_interval": 0,
        "largest_logit": 3.1,
        "seconds": seconds,
        "server_seconds": 0.9 * seconds,
    }


def _now(refreshes: int) -> dict[str, Any]:
    losses = (0.401, 0.352, 0.337)
    chosen = "n8192-214" if refreshes else "n16384-402"
    ends = range(1, 4) if refreshes else (3,)
    levels = next(one[3] for one in SETS if one[0] == chosen)
    return {
        "trained_on": "encrypted features and labels",
        "iterations": 3,
        "parameter_set": chosen,
        "refresh_rounds": refreshes,
        "loss_at_start": 0.6931,
        "history": [_stretch(end, losses[end - 1], 0.16 if refreshes else 1.52) for end in ends],
        "steps": [_step(number, losses[number - 1], refreshes > 0) for number in (1, 2, 3)],
        "levels": {"available": levels, "first_step": 1, "later_step": 4, "used": levels},
        "bytes": {
            "keys": 22_000_000 if refreshes else 96_000_000,
            "data_upload": 11_000_000 if refreshes else 24_000_000,
            "refresh_upload": refreshes * 655_000,
            "refresh_download": refreshes * 262_000,
            "weights_download": 262_000,
            "circuit": 1_900,
        },
        "seconds": {"encrypt_and_upload": 2.4, "iterations": 1.52, "keys_upload": 0.31},
        "memory": {
            "client_bytes_stated": 410_000_000,
            "client_bytes_measured": 388_000_000,
            "server_bytes_stated": 720_000_000,
            "server_bytes_measured": None,
        },
        "design_space": [_set(*one, chosen=one[0] == chosen) for one in SETS],
        "choice": {
            "grid": [
                {"components": count, "validation_auc": 0.97 + 0.004 * place}
                for place, count in enumerate((31, 63, 127))
            ]
            + [
                {"later_length": length, "interval": interval, "training_loss": 0.34 + length / 90}
                for length in (1.0, 1.5, 2.0)
                for interval in (6.0, 8.0, 12.0)
            ],
            "chosen": {"components": 127, "later_length": 1.5, "interval": 8.0},
            "rule": "the fewest components within 0.002 AUC of the best; step lengths and interval "
            "by the training loss of the clear twin",
            "measured_on": "the validation split, and the training rows; no test image",
        },
        "scikit_learn": {"loss": 0.331, "same_decisions_on_training_rows": 0.991},
        "relative_difference_to_twin": 2.4e-5,
    }


def _step(number: int, loss: float, refreshed: bool) -> dict[str, Any]:
    facts = {
        "step": number,
        "round": number - 1 if refreshed else 0,
        "primes_before": 10,
        "primes_after": 9,
        "length": 4.0 if number == 1 else 1.5,
        "momentum": 0.0,
        "logits_outside_interval": 0,
        "largest_logit": 2.9 * (number - 1),
        "loss_of_twin": loss,
    }
    return facts if number == 1 else facts | {"interval": 8.0}


def _set(name: str, ring: int, bits: int, levels: int, *, chosen: bool) -> dict[str, Any]:
    steps = 1 + (levels - 1) // 4
    return {
        "parameter_set": name,
        "ring": ring,
        "log2_q": bits,
        "levels": levels,
        "steps_from_one_upload": steps,
        "refreshes_for_these_steps": max(0, -(-3 // steps) - 1),
        "keys_bytes": 600 * ring * levels,
        "data_bytes": 1_500 * ring,
        "server_bytes": 4_000 * ring * levels,
        "key_switches": 420,
        "chosen": chosen,
    }

"""The block-scramble pipeline on a bench: invented data, a fit, and what a server may be given."""

from __future__ import annotations

from typing import Any

from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.contracts import Deployment, Fitted, RunContext
from he_compare.common.types import Float64Array, UInt8Array
from tests.support.batches import bright_and_dark, training_data
from tests.support.runcontext import Bench

DATA = training_data(bright_and_dark(32, 0), bright_and_dark(12, 1))
TEST = bright_and_dark(20, 2)


def fit(bench: Bench, context: RunContext | None = None, **parameters: Any) -> Fitted:
    """Fit on DATA; ``parameters`` are those of the pipeline."""
    resolved = BlockScrambleParameters(**parameters)
    return PIPELINE.fit(DATA, resolved, context or bench.context())


def scores_of(bench: Bench, deployment: Deployment, images: UInt8Array) -> Float64Array:
    """Return what the client reads from a new server's answers."""
    return bench.scores(PIPELINE.name, deployment, images)


def header(**changes: Any) -> ServerMaterial:
    """Return the header of public material for images of 32 pixels."""
    fields = {"backbone": "deit_tiny_patch16_224", "image_size": 32, "patch": 16, "classes": 2}
    return ServerMaterial(**(fields | changes))

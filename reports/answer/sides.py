"""The pipelines of a run by what they are to a hospital: open, alone, scrambled, encrypted."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import FheMode

HARDNESS = "reduction to a hardness assumption"


@dataclass(frozen=True)
class Sides:
    """Each planned pipeline is in one of these, in the order of the plan.

    ``scrambled``: what claims to protect and rests on no hardness assumption. ``controls``: the
    ciphers that protect nothing or send nothing, which tell whether attacks work.
    """

    unprotected: tuple[PipelineView, ...]
    alone: tuple[PipelineView, ...]
    scrambled: tuple[PipelineView, ...]
    encrypted: tuple[PipelineView, ...]
    controls: tuple[PipelineView, ...]


def sides_of(view: RunView) -> Sides:
    """Sort the pipelines of a run, those without results too."""
    by_side: dict[str, list[PipelineView]] = {}
    for pipeline in view.pipelines:
        by_side.setdefault(_side(pipeline), []).append(pipeline)
    return Sides(
        *(
            tuple(by_side.get(name, ()))
            for name in ("unprotected", "alone", "scrambled", "encrypted", "controls")
        )
    )


def _side(pipeline: PipelineView) -> str:
    if pipeline.no_server:
        return "alone"
    if is_control_pipeline(pipeline):
        return "controls"
    if pipeline.claims is not None:
        if pipeline.claims.claim_type == HARDNESS:
            return "encrypted"
        if pipeline.claims.claim_type == "heuristic":
            return "scrambled"
        return "unprotected"
    if any(record.fhe_mode is not FheMode.NOT_APPLICABLE for record in pipeline.cells):
        return "encrypted"
    if pipeline.planned.name.startswith("fhe-"):
        return "encrypted"
    return "scrambled" if pipeline.planned.twin_wanted else "unprotected"


def with_results(pipelines: tuple[PipelineView, ...]) -> list[PipelineView]:
    """Return those whose accuracy cell ended ok."""
    return [one for one in pipelines if one.measured]


def ciphers_of(view: RunView, sides: Sides) -> list[tuple[PipelineView, ...]]:
    """Return the scrambled pipelines, those of one cipher together, those without claims alone."""
    groups = [group.pipelines for group in cipher_groups(view)]
    grouped = {one.label for group in groups for one in group}
    rest = [(one,) for one in sides.scrambled if one.label not in grouped]
    return sorted([*groups, *rest], key=lambda group: group[0].number)

"""What parameters that were left to the program came to, as the record of the run tells it.

A parameter such as ``steps = 0`` or ``parameter_set = auto`` asks for a choice. What was chosen is
not among the parameters but in what the pipeline recorded of its training and its claims.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.run.encrypted_training import encrypted_training_of
from he_compare.common.run.spelling import significant
from he_compare.common.run.view import PipelineView

# Values that leave a parameter to the program; 0 does only where a choice was recorded.
LEFT_OPEN = ("auto", "chosen")


def chosen_words(pipeline: PipelineView) -> dict[str, str]:
    """Return, by parameter, the words "chosen: ..." for what was left open and is on record."""
    record = pipeline.accuracy
    resolved = record.cell.resolved if record else pipeline.planned.resolved
    found = _recorded(pipeline)
    return {
        name: f"chosen: {found[name]}"
        for name, value in resolved.items()
        if name in found and _is_open(value)
    }


def _is_open(value: Any) -> bool:
    return value in LEFT_OPEN or (not isinstance(value, bool) and value == 0)


def _recorded(pipeline: PipelineView) -> dict[str, str]:
    """Return what is known to have been chosen, in words."""
    found: dict[str, str] = {}
    claims, training = pipeline.claims, encrypted_training_of(pipeline)
    for name in ("packing", "parameter_set"):
        if claims and isinstance(claims.parameters.get(name), str):
            found[name] = claims.parameters[name]
    if training is None:
        return found
    if isinstance(training.facts.get("parameter_set"), str):
        found["parameter_set"] = training.facts["parameter_set"]
    choice = training.choice
    if choice is None:
        return found
    chosen = choice.chosen
    for name in ("steps", "components"):
        if isinstance(chosen.get(name), int):
            found[name] = f"{chosen[name]:,}"
    intervals, lengths = _of_steps(chosen, "interval"), _of_steps(chosen, "length")
    if intervals:
        found["interval"] = intervals
    if lengths:
        found["schedule"] = f"step lengths {lengths}"
    return found


def _of_steps(chosen: dict[str, Any], name: str) -> str:
    """Return a fact of every step, in their order; one number where all are equal."""
    keys = sorted(
        (key for key in chosen if key.startswith(f"{name}_") and key[len(name) + 1 :].isdigit()),
        key=lambda key: int(key[len(name) + 1 :]),
    )
    values = [chosen[key] for key in keys if isinstance(chosen[key], int | float)]
    told = [significant(value) for value in values]
    return told[0] if len(set(told)) == 1 else ", ".join(told)

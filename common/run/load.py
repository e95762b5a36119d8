"""How busy the machine was while a run was measured, and what that says of its timings."""

from __future__ import annotations

from he_compare.common.run.records import RunRecord
from he_compare.common.run.spelling import significant
from he_compare.common.run.view import RunView

WHAT_IT_SHOWS = (
    "A load average does not say who was busy: client and server of the run itself keep cores "
    "busy, and it counts the minute before a cell. It shows that waiting for other programs was "
    "possible, not that it happened. Intervals of medians show how much timings varied; "
    "differences to a twin are paired by image and round, and suffer less."
)


def loaded_cells(view: RunView) -> list[RunRecord]:
    """Return the cells that began under a load average above the number of cores."""
    return [
        record
        for record in view.records
        if record.environment
        and (record.environment.load_average or 0) > record.environment.logical_cores
    ]


def loaded_words(view: RunView) -> str:
    """Say how many cells that were, and how high the load was; '' where there was none."""
    loaded = loaded_cells(view)
    if not loaded:
        return ""
    most = max(one.environment.load_average or 0 for one in loaded if one.environment)
    cores = {one.environment.logical_cores for one in loaded if one.environment}
    shown = " or ".join(f"{count}" for count in sorted(cores))
    return (
        f"{len(loaded)} of {len(view.records)} cells began under a load average above the {shown} "
        f"cores of the machine (up to {significant(most)})."
    )

"""What a user is told of an estimate: all of it when asked, a line where a run begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.run.store import RunFolder
from he_compare.comparisons.estimating.estimate import forecast, forecast_by_kept_prices
from he_compare.comparisons.estimating.estimate_words import (
    estimate_as_json,
    estimate_text,
    in_one_line,
)
from he_compare.comparisons.measuring.threads import Lanes
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.terminal import terminal_columns

if TYPE_CHECKING:
    from he_compare.comparisons.measuring.plan import RunPlan


def estimate_run(
    plan: RunPlan,
    folder: RunFolder,
    cache_dir: Path,
    progress: ProgressReporter,
    lanes: Lanes,
    *,
    as_json: bool = False,
) -> str:
    """Return what the plan will take, by prices that a probe measures where none are kept.

    Raises CellError where the probe fails.
    """
    found = forecast(
        plan,
        folder,
        cache_dir,
        lanes=lanes,
        before_probe=lambda: progress.line(
            "estimating: this machine is probed once, which takes a minute or two"
        ),
    )
    if as_json:
        return json.dumps(estimate_as_json(found), indent=2, ensure_ascii=False)
    return estimate_text(found, terminal_columns())


def announce_estimate(
    plan: RunPlan, folder: RunFolder, cache_dir: Path, progress: ProgressReporter, lanes: Lanes
) -> None:
    """Say in a line what a run will take, where an earlier probe of this machine knows.

    Where the machine has too little memory or disk, that is said as well; nothing is refused.
    """
    found = forecast_by_kept_prices(plan, folder, cache_dir, lanes=lanes)
    if found is None or all(one.work.kept is not None for one in found.cells):
        return
    progress.line(in_one_line(found))
    for warning in found.warnings:
        progress.line(f"warning: {warning}")

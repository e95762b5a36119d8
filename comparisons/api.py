"""The Python interface: ``run`` a comparison, ``load_run`` its records.

from comparisons import load_run, run

view = run("chestxray", out="runs/mine", profile="smoke")
view = load_run("runs/mine")
view.to_frame()                      # pandas, one row per pipeline
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from he_compare.common.errors import CellError
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run

if TYPE_CHECKING:
    import pandas as pd


class FinishedRun(RunView):
    """A run as ``run`` and ``load_run`` return it: everything that was read, and as a table."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pipeline; see ``he_compare.common.run.table``."""
        from he_compare.common.run.table import frame_of

        return frame_of(self)


def load_run(path: str | Path) -> FinishedRun:
    """Read a run folder, scored first where that was not done.

    Raises UsageError where there is no run, IntegrityError where a file of it does not hold.
    """
    from he_compare.comparisons.judging.scoring import scored

    return _finished(scored(Path(path)))


def run(
    dataset: str,
    *,
    out: str | Path,
    profile: str = "quick",
    data_dir: str | Path | None = None,
    key: str | Path | None = None,
    offline: bool = False,
    require_real: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> FinishedRun:
    """Run pipelines on a dataset, or resume, and return the run.

    ``settings`` are the options of ``compare run`` by their names (``pipelines``, ``seed``,
    ``test_limit``, ...); nothing is printed unless ``quiet`` is false.
    Raises UsageError on an unknown one, CellError where nothing ended ok.
    """
    from he_compare.comparisons.one_run import run_command

    with contextlib.redirect_stdout(io.StringIO() if quiet else sys.stdout):
        run_command(
            dataset=dataset,
            data_dir=Path(data_dir) if data_dir else None,
            profile=profile,
            overrides=settings,
            out=Path(out),
            key=Path(key) if key else None,
            offline=offline,
            require_real=require_real,
            render=lambda _: [],
            explain=False,
            estimate=False,
            as_json=False,
            quiet=quiet,
        )
    view = _finished(RunFolder(Path(out)))
    if not any(pipeline.measured for pipeline in view.pipelines):
        troubles = "; ".join(f"{one.label}: {one.trouble}" for one in view.pipelines)
        raise CellError(
            f"no pipeline ended ok: {troubles}", fix="see the records in the run folder"
        )
    return view


def _finished(folder: RunFolder) -> FinishedRun:
    view = read_run(folder)
    return FinishedRun(**{field.name: getattr(view, field.name) for field in fields(view)})

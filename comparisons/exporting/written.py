"""A run written in one of the forms that `compare export` knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest
from he_compare.common.run.store import RunFolder
from he_compare.common.run.table import export
from he_compare.common.run.view import PipelineView, RunView, read_run
from he_compare.comparisons.exporting.fhe_bench import write_bench_files
from he_compare.comparisons.exporting.latex import write_latex


def write_export(run: Path, form: str, out: Path, labels: Sequence[str], prefix: str) -> list[Path]:
    """Write ``csv``, ``parquet``, ``latex`` or ``fhe-bench`` of these pipelines; of all for ().

    Raises UnknownNameError on a label that the run lacks, UsageError where nothing can be written.
    """
    view = read_run(RunFolder(run))
    chosen = _chosen(view, labels)
    if form == "latex":
        return write_latex(view, chosen, out, prefix)
    if form == "fhe-bench":
        return write_bench_files(view, chosen, out)
    return [export(replace(view, pipelines=tuple(chosen)), out, form)]


def _chosen(view: RunView, labels: Sequence[str]) -> list[PipelineView]:
    known = view.by_label
    for label in labels:
        if label not in known:
            raise UnknownNameError(
                f"no pipeline {label!r} in this run", fix=nearest(label, list(known))
            )
    return [one for one in view.pipelines if not labels or one.label in labels]

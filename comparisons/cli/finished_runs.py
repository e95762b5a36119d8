"""The sub-commands that look at finished runs: verify, diff, export, gallery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_INTEGRITY, UsageError
from he_compare.common.run.store import RunFolder

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


def verify(
    run: RunArgument,
    policy: Annotated[
        Path | None, typer.Option(help="TOML file of limits the run has to keep.")
    ] = None,
) -> None:
    """Check hashes, schemas, invariants, metrics and a policy; exit code 4 where one fails."""
    from he_compare.comparisons.judging.limits import load_policy
    from he_compare.comparisons.judging.verify import verify_run

    limits = load_policy(policy) if policy else None
    problems = verify_run(RunFolder(run), limits)
    for line in problems:
        print(line)
    if problems:
        print(f"{len(problems)} problem{'s' * (len(problems) > 1)}")
        raise typer.Exit(EXIT_INTEGRITY)
    print("ok: hashes, schemas, invariants and metrics hold" + (", policy kept" if limits else ""))


def diff(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of a run.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of another.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow_other_environment: Annotated[
        bool, typer.Option(help="Compare runs of different machines or versions.")
    ] = False,
) -> None:
    """Compare two runs, image by image where both answered the same images."""
    from he_compare.comparisons.judging.diff import diff_runs, render

    found = diff_runs(
        RunFolder(run_a), RunFolder(run_b), allow_other_environment=allow_other_environment
    )
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else render(found))


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="File to write.")],
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Parquet; needs pyarrow.")] = False,
) -> None:
    """Write a run as a table, one row a pipeline."""
    if csv == parquet:
        raise UsageError("one format is needed", fix="pass either --csv or --parquet")
    from he_compare.common.run.table import export as export_frame
    from he_compare.common.run.view import read_run

    print(export_frame(read_run(RunFolder(run)), out, "csv" if csv else "parquet"))


def gallery(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
) -> None:
    """Write one page over many runs and datasets."""
    from he_compare.reports.gallery import write_gallery

    print(write_gallery(runs, out))

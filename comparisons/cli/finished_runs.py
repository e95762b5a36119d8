"""The sub-commands that read finished runs: report, score, show, verify, diff, export, gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_INTEGRITY, UsageError
from he_compare.comparisons.cli.options import Formats, JsonFlag, RunArgument, Wide, print_json


def renderer(formats: str, out: Path | None) -> Callable[[Path], list[Path]]:
    """Check the formats before any work is done; return what renders a run folder."""
    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    if not wanted:
        return lambda _: []
    from he_compare.reports import FORMATS, write_report

    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"unknown report format {name!r}", fix="known: " + ", ".join(FORMATS))
    return lambda run_path: write_report(run_path, wanted, out)


def report(
    run: RunArgument,
    format: Formats = "md,html,pdf",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="RUN/report")
    ] = None,
) -> None:
    """Write the report of a run again."""
    render = renderer(format, out)
    from he_compare.comparisons.judging.scoring import scored

    for path in render(scored(run).path):
        print(path)


def score(run: RunArgument) -> None:
    """Recompute metrics, intervals and paired differences from the stored predictions."""
    from he_compare.common.run.view import read_run
    from he_compare.comparisons.judging.scoring import scored_again
    from he_compare.comparisons.judging.show import table

    print(table(read_run(scored_again(run))))


def show(
    run: RunArgument,
    record: Annotated[
        str | None,
        typer.Argument(help="Label of a pipeline, or the first letters of a record's identity."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a run, or one record of it."""
    from he_compare.common.run.store import RunFolder
    from he_compare.common.run.view import read_run
    from he_compare.comparisons.judging import show as showing

    view = read_run(RunFolder(run))
    if record is not None:
        print_json(showing.find_record(view, record).model_dump(mode="json"))
    elif as_json:
        print_json(showing.as_json(view))
    else:
        print(showing.table(view))


def verify(
    run: RunArgument,
    policy: Annotated[
        Path | None, typer.Option(help="TOML file of limits that the run must keep.")
    ] = None,
) -> None:
    """Check hashes, schemas, invariants, metrics and a policy; exit code 4 if a check fails."""
    from he_compare.common.run.store import RunFolder
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
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of another run.")],
    as_json: JsonFlag = False,
    allow_other_environment: Annotated[
        bool, typer.Option(help="Also compare runs of different machines or versions.")
    ] = False,
    wide: Wide = False,
) -> None:
    """Compare two runs; paired image by image if both classified the same images."""
    from he_compare.common.run.store import RunFolder
    from he_compare.comparisons.judging.diff import diff_runs, render
    from he_compare.comparisons.terminal import terminal_columns

    found = diff_runs(
        RunFolder(run_a), RunFolder(run_b), allow_other_environment=allow_other_environment
    )
    if as_json:
        print_json(found)
    else:
        print(render(found, terminal_columns(wide=wide)))


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="File to write.")],
    csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values.")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write Parquet; needs pyarrow.")
    ] = False,
) -> None:
    """Write a run as a table with one row per pipeline."""
    if csv == parquet:
        raise UsageError("one format is needed", fix="pass either --csv or --parquet")
    from he_compare.common.run.store import RunFolder
    from he_compare.common.run.table import export as export_frame
    from he_compare.common.run.view import read_run

    print(export_frame(read_run(RunFolder(run)), out, "csv" if csv else "parquet"))


def gallery(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
) -> None:
    """Write one page that shows several runs and datasets."""
    from he_compare.reports.gallery import write_gallery

    print(write_gallery(runs, out))

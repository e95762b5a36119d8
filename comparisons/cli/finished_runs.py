"""The sub-commands that read finished runs: report, score, show, verify, diff, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_INTEGRITY, UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.comparisons.cli.options import Formats, JsonFlag, RunArgument, Wide, print_json


def renderer(formats: str, out: Path | None) -> Callable[[Path], list[Path]]:
    """Check the formats before any work is done; return what renders a run folder."""
    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    if not wanted:
        return lambda _: []
    from he_compare.reports import FORMATS, write_report

    for name in wanted:
        if name not in FORMATS:
            raise UnknownNameError(
                f"unknown report format {name!r}", fix=nearest(name, list(FORMATS))
            )
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
    from he_compare.comparisons.terminal import terminal_columns

    print(table(read_run(scored_again(run)), terminal_columns()))


def show(
    run: RunArgument,
    record: Annotated[
        str | None,
        typer.Argument(help="Label of a pipeline, or the first letters of a record's identity."),
    ] = None,
    wide: Wide = False,
    as_json: JsonFlag = False,
) -> None:
    """Show a run, or one record of it."""
    from he_compare.common.run.store import RunFolder
    from he_compare.common.run.view import read_run
    from he_compare.comparisons.judging import show as showing
    from he_compare.comparisons.judging.record_summary import summary_of
    from he_compare.comparisons.terminal import terminal_columns

    view = read_run(RunFolder(run))
    found = showing.find_record(view, record) if record is not None else None
    if as_json:
        print_json(found.model_dump(mode="json") if found else showing.as_json(view))
    elif found is not None:
        print(summary_of(view, found, terminal_columns(wide=wide)))
    else:
        print(showing.table(view, terminal_columns(wide=wide)))


def verify(
    run: RunArgument,
    policy: Annotated[
        Path | None, typer.Option(help="TOML file of limits that the run must keep.")
    ] = None,
) -> None:
    """Check hashes, schemas, invariants, metrics and a policy; exit code 4 if a check fails."""
    from he_compare.common.identity import file_digest
    from he_compare.common.run.store import RunFolder
    from he_compare.common.run.sums import SUMS
    from he_compare.comparisons.judging.limits import load_policy
    from he_compare.comparisons.judging.verify import verification

    limits = load_policy(policy) if policy else None
    folder = RunFolder(run)
    found = verification(folder, limits)
    for line in (*found.problems, *(f"note: {one}" for one in found.notes)):
        print(line)
    if found.problems:
        count = len(found.problems)
        print(f"{count} problem{'s' * (count > 1)}")
        raise typer.Exit(EXIT_INTEGRITY)
    print("ok: hashes, schemas, invariants and metrics hold" + (", policy kept" if limits else ""))
    print(f"plan {folder.manifest().plan}, {SUMS} {file_digest(folder.path / SUMS)}")
    print("Whoever rewrites files and hashes changes the second: compare it with the one you know.")


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
    out: Annotated[
        Path,
        typer.Option(help="File to write; with --latex or --fhe-bench also a folder."),
    ],
    csv: Annotated[bool, typer.Option("--csv", help="Write comma-separated values.")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write Parquet; needs pyarrow.")
    ] = False,
    latex: Annotated[
        bool,
        typer.Option(
            "--latex", help="Write LaTeX tables and a macro per number: FILE.tex or a folder."
        ),
    ] = False,
    fhe_bench: Annotated[
        bool,
        typer.Option(
            "--fhe-bench",
            help="Write JSON of the FHE benchmarking suite, a file per executed pipeline.",
        ),
    ] = False,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(help="Only this pipeline, by its label; repeat for several.", metavar="LABEL"),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="How the macros of --latex begin; letters only.")
    ] = "compare",
) -> None:
    """Write a run as a table with one row per pipeline, for LaTeX, or for the FHE benchmarks."""
    wanted = {"csv": csv, "parquet": parquet, "latex": latex, "fhe-bench": fhe_bench}
    formats = [name for name, asked in wanted.items() if asked]
    if len(formats) != 1:
        raise UsageError(
            "one format is needed", fix="pass one of --csv, --parquet, --latex and --fhe-bench"
        )
    from he_compare.comparisons.exporting.written import write_export

    for path in write_export(run, formats[0], out, pipeline or (), prefix):
        print(path)

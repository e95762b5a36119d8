"""`compare study`: data sets, pipelines and seeds of one file, run, reported and exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import UsageError
from he_compare.comparisons.cli.finished_runs import renderer
from he_compare.comparisons.cli.options import Debug, Formats, JsonFlag, Offline, Quiet, print_json
from he_compare.comparisons.cli.run_options import (
    ClientCertificate,
    ClientCertificateKey,
    ClientKeyFile,
    EstimateOnly,
    InsecureScheduler,
    OtherSideCa,
    SchedulerAddress,
    WorkerCount,
    WorkerSeconds,
)

study_app = typer.Typer(
    help="Run data sets, pipelines and seeds of one file, and say what holds on all of them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
StudyArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a study.")]
StudyFile = Annotated[
    str,
    typer.Argument(
        metavar="STUDY.toml",
        help="A study file, or the name of one that ships: papers, papers-quick, published.",
    ),
]
StudyOut = Annotated[
    Path, typer.Option(help="Folder of the study. One that holds this study is resumed.")
]
StudyDataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder that holds the data sets; paths of the study file are relative to it.",
        show_default="$COMPARE_DATA, then the user cache; for paths $COMPARE_DATA, then the "
        "study file's folder",
    ),
]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Go on where the file asks for something else than the folder holds; without it, "
        "what would change is said and nothing is done.",
    ),
]


@study_app.command("run")
def run(
    study: StudyFile,
    out: StudyOut,
    data_dir: StudyDataDir = None,
    offline: Offline = False,
    key: ClientKeyFile = None,
    accept_changes: AcceptChanges = False,
    estimate: EstimateOnly = False,
    format: Formats = "md,html,pdf",
    workers: WorkerCount = None,
    scheduler: SchedulerAddress = "",
    worker_seconds: WorkerSeconds = 60.0,
    insecure_scheduler: InsecureScheduler = False,
    tls_ca: OtherSideCa = None,
    tls_cert: ClientCertificate = None,
    tls_key: ClientCertificateKey = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run every data set of a study as an ordinary run, or resume, and write the reports."""
    render = renderer(format, None)
    from he_compare.comparisons.cluster.who_runs import WhoRuns
    from he_compare.comparisons.studying.study_data import StudyPlace
    from he_compare.comparisons.studying.study_file import read_study_file
    from he_compare.comparisons.studying.study_run import HowToRun, study_command
    from he_compare.reports.build import REPORT_HOME

    wanted = [part.strip() for part in format.split(",") if part.strip()]
    code = study_command(
        read_study_file(study),
        out,
        HowToRun(
            place=StudyPlace(data_dir, key, offline),
            who=WhoRuns(
                count=workers,
                scheduler=scheduler,
                tls_ca=tls_ca,
                tls_cert=tls_cert,
                tls_key=tls_key,
                insecure=insecure_scheduler,
                wait_seconds=worker_seconds,
            ),
            render=render,
            report=_study_renderer(wanted),
            formats_missing=lambda run: any(
                not (run / REPORT_HOME / f"{REPORT_HOME}.{one}").is_file() for one in wanted
            ),
            accept_changes=accept_changes,
            estimate=estimate,
            quiet=quiet,
        ),
    )
    raise typer.Exit(code)


def _study_renderer(formats: list[str], out: Path | None = None) -> Callable[[Path], list[Path]]:
    if not formats:
        return lambda _: []
    from he_compare.reports.study.study_document import write_study_report

    return lambda folder: write_study_report(folder, formats, out)


@study_app.command("status")
def study_status(study: StudyArgument, as_json: JsonFlag = False) -> None:
    """Say how far a study is: what is done, what is left, and when it ends."""
    from he_compare.common.study.study_folder import StudyFolder
    from he_compare.comparisons.studying.study_words import status_as_json, status_text
    from he_compare.comparisons.terminal import terminal_columns

    folder = StudyFolder(study)
    if as_json:
        print_json(status_as_json(folder))
    else:
        print(status_text(folder, terminal_columns()))


@study_app.command("report")
def report_of_study(
    study: StudyArgument,
    format: Formats = "md,html,pdf",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to, without the runs: nothing in the report leads to them.",
            show_default="FOLDER/report",
        ),
    ] = None,
) -> None:
    """Write the report of a study again, and those of its runs that are missing."""
    render = renderer(format, None)
    from he_compare.common.study.study_folder import StudyFolder
    from he_compare.comparisons.judging.scoring import scored
    from he_compare.reports.build import REPORT_HOME

    wanted = [part.strip() for part in format.split(",") if part.strip()]
    if not wanted:
        raise UsageError("no report format named", fix="pass for instance --format html")
    folder = StudyFolder(study)
    for row in folder.record().rows if out is None else ():
        run = folder.run(row.name)
        if run.exists():
            home = scored(run.path).path / REPORT_HOME
            if any(not (home / f"{REPORT_HOME}.{one}").is_file() for one in wanted):
                render(run.path)
    for path in _study_renderer(wanted, out)(study):
        print(path)


@study_app.command("export")
def export_study(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="File to write, FILE.tex.")],
    latex: Annotated[bool, typer.Option("--latex", help="Write LaTeX tables (booktabs).")] = False,
) -> None:
    """Write the tables of a study for LaTeX, with intervals."""
    if not latex:
        raise UsageError("one format is needed", fix="pass --latex")
    from he_compare.common.study.study_folder import StudyFolder
    from he_compare.common.study.study_view import read_study
    from he_compare.comparisons.exporting.study_latex import write_study_latex

    print(write_study_latex(read_study(StudyFolder(study)), out))

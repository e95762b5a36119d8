"""`compare run`: its options, and what they mean for the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from he_compare.comparisons.cli.finished_runs import renderer
from he_compare.comparisons.cli.options import (
    DATASET_HELP,
    PIPELINE_HELP,
    DataDir,
    Formats,
    Offline,
    PublicImages,
    RequireReal,
)
from he_compare.comparisons.cli.settings import FROM_PROFILE, with_settings


@with_settings(after="require_real")
def run(
    dataset: Annotated[str, typer.Option(help=DATASET_HELP, rich_help_panel="Run")] = "chestxray",
    profile: Annotated[
        str,
        typer.Option(
            help="smoke (about a minute), quick (ten minutes) or full (hours on a CPU).",
            rich_help_panel="Run",
        ),
    ] = "quick",
    pipeline: Annotated[
        list[str] | None,
        typer.Option(
            help=PIPELINE_HELP, metavar="NAME", show_default=FROM_PROFILE, rich_help_panel="Run"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder. A folder that holds the same plan is resumed.",
            show_default="runs/DATASET-PROFILE",
            rich_help_panel="Run",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File of the client's key; made if there is none.",
            show_default="in the user's configuration folder",
            rich_help_panel="Run",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            help="Do not run: say for each cell whether it would run, and why; then --estimate.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            help="Do not run: say what it will take of time, memory, traffic and disk, by a short "
            "probe of this machine.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="With --estimate: print JSON.", rich_help_panel="Run"),
    ] = False,
    data_dir: DataDir = None,
    offline: Offline = False,
    require_real: RequireReal = False,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="Attack the run's own pipelines after measuring them.",
            show_default=FROM_PROFILE,
            rich_help_panel="Attacks and report",
        ),
    ] = None,
    public: PublicImages = None,
    format: Formats = "md,html,pdf",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes on this machine that measure cells beside each other; latency is "
            "measured alone. 1: all in one process. The cores are shared among them, which settles "
            "the threads of a new run; a resumed run keeps its own, with any number of workers.",
            show_default="as many as the machine bears",
            envvar="COMPARE_WORKERS",
            rich_help_panel="Workers",
        ),
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(
            help="Address of a running Dask scheduler whose workers measure the cells, as "
            "tls://HOST:8786. A new run has the threads that its workers were started with.",
            show_default=False,
            rich_help_panel="Workers",
        ),
    ] = "",
    worker_seconds: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to wait for workers of the scheduler.", rich_help_panel="Workers"
        ),
    ] = 60.0,
    insecure_scheduler: Annotated[
        bool,
        typer.Option(
            help="Use a scheduler on another machine without TLS: whoever reaches it runs code on "
            "the workers.",
            show_default=False,
            rich_help_panel="Workers",
        ),
    ] = False,
    host: Annotated[
        str,
        typer.Option(
            help="Address of a running `compare host`, as https://HOST:8700: every server half of "
            "the run runs there.",
            show_default=False,
            rich_help_panel="Other machines",
        ),
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token of that host, readable by nobody else.",
            show_default=False,
            rich_help_panel="Other machines",
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            help="Certificate (PEM) of the authority that signed the certificate of the other "
            "side: of --host (without it those that this system trusts), or of the cluster of "
            "--scheduler.",
            show_default=False,
            rich_help_panel="Other machines",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="Certificate of this side (PEM), shown to --host or --scheduler.",
            show_default=False,
            rich_help_panel="Other machines",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            help="Key of that certificate (PEM), readable by nobody else.",
            show_default=False,
            rich_help_panel="Other machines",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print no progress.", show_default=False)] = False,
    debug: Annotated[
        bool, typer.Option(help="Print the traceback of an error.", show_default=False)
    ] = False,
    **settings: Any,
) -> None:
    """Run pipelines on a dataset and write a report."""
    render = renderer(format, None)
    from he_compare.comparisons.cluster.who_runs import WhoRuns
    from he_compare.comparisons.measuring.config import audit_budget
    from he_compare.comparisons.measuring.host_asked import HostAsked
    from he_compare.comparisons.run import run_command

    # Certificates are for the one other side that is named.
    tls = {"tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}

    code = run_command(
        dataset=dataset,
        data_dir=data_dir,
        profile=profile,
        overrides=settings
        | {
            "pipelines": pipeline or None,
            "public": public or None,
            "audit": None if audit is None else audit_budget(profile, wanted=audit),
        },
        out=out,
        key=key,
        offline=offline,
        require_real=require_real,
        render=render,
        explain=explain,
        estimate=estimate,
        as_json=json,
        quiet=quiet,
        who=WhoRuns(
            count=workers,
            scheduler=scheduler,
            insecure=insecure_scheduler,
            wait_seconds=worker_seconds,
            **({} if host else tls),
        ),
        host=HostAsked(host, token_file, **(tls if host else {})),
    )
    raise typer.Exit(code)

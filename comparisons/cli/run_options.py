"""The options of `compare run` that are no settings of a run: what, who, where, and what is said.

Settings have options of their own (``he_compare.comparisons.cli.settings``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from he_compare.comparisons.cli.options import DATASET_HELP, PIPELINE_HELP
from he_compare.comparisons.cli.settings import FROM_PROFILE

_RUN, _WORKERS, _MACHINES = "Run", "Workers", "Other machines"

RunDataset = Annotated[str, typer.Option(help=DATASET_HELP, rich_help_panel=_RUN)]
ProfileName = Annotated[
    str,
    typer.Option(
        help="smoke (about a minute), quick (ten minutes) or full (hours on a CPU).",
        rich_help_panel=_RUN,
    ),
]
RunPipelines = Annotated[
    list[str] | None,
    typer.Option(
        help=PIPELINE_HELP, metavar="NAME", show_default=FROM_PROFILE, rich_help_panel=_RUN
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        help="Run folder. A folder that holds the same plan is resumed.",
        show_default="runs/DATASET-PROFILE",
        rich_help_panel=_RUN,
    ),
]
ClientKeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File of the client's key; made if there is none.",
        show_default="in the user's configuration folder",
        rich_help_panel=_RUN,
    ),
]
ExplainOnly = Annotated[
    bool,
    typer.Option(
        help="Do not run: say for each cell whether it would run, and why; then --estimate.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
EstimateOnly = Annotated[
    bool,
    typer.Option(
        help="Do not run: say what it will take of time, memory, traffic and disk, by a short "
        "probe of this machine.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
EstimateJson = Annotated[
    bool,
    typer.Option("--json", help="With --estimate: print JSON.", rich_help_panel=_RUN),
]
AuditOrNot = Annotated[
    bool | None,
    typer.Option(
        "--audit/--no-audit",
        help="Attack the run's own pipelines after measuring them.",
        show_default=FROM_PROFILE,
        rich_help_panel="Attacks and report",
    ),
]

WorkerCount = Annotated[
    int | None,
    typer.Option(
        help="Processes on this machine that measure cells beside each other; latency is "
        "measured alone. 1: all in one process. The cores are shared among them, which settles "
        "the threads of a new run; a resumed run keeps its own, with any number of workers.",
        show_default="as many as the machine bears",
        envvar="COMPARE_WORKERS",
        rich_help_panel=_WORKERS,
    ),
]
SchedulerAddress = Annotated[
    str,
    typer.Option(
        help="Address of a running Dask scheduler whose workers measure the cells, as "
        "tls://HOST:8786. A new run has the threads that its workers were started with.",
        show_default=False,
        rich_help_panel=_WORKERS,
    ),
]
WorkerSeconds = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds to wait for workers of the scheduler.", rich_help_panel=_WORKERS
    ),
]
InsecureScheduler = Annotated[
    bool,
    typer.Option(
        help="Use a scheduler on another machine without TLS: whoever reaches it runs code on "
        "the workers.",
        show_default=False,
        rich_help_panel=_WORKERS,
    ),
]

HostAddress = Annotated[
    str,
    typer.Option(
        help="Address of a running `compare host`, as https://HOST:8700: every server half of "
        "the run runs there.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
HostTokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the token of that host, readable by nobody else.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
OtherSideCa = Annotated[
    Path | None,
    typer.Option(
        help="Certificate (PEM) of the authority that signed the certificate of the other "
        "side: of --host (without it those that this system trusts), or of the cluster of "
        "--scheduler.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
ClientCertificate = Annotated[
    Path | None,
    typer.Option(
        help="Certificate of this side (PEM), shown to --host or --scheduler.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
ClientCertificateKey = Annotated[
    Path | None,
    typer.Option(
        help="Key of that certificate (PEM), readable by nobody else.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
NoProgress = Annotated[bool, typer.Option(help="Print no progress.", show_default=False)]
WithTraceback = Annotated[
    bool, typer.Option(help="Print the traceback of an error.", show_default=False)
]

"""The options of `compare audit run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from he_compare.comparisons.cli.options import PIPELINE_HELP

AuditDataset = Annotated[str, typer.Option(help="Dataset, as for `compare run`.")]
AuditCiphers = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME[param=value,...]; repeat for several.",
        metavar="NAME",
        show_default="every cipher, if no pipeline is given",
    ),
]
AuditPipelines = Annotated[list[str] | None, typer.Option(help=PIPELINE_HELP, metavar="NAME")]
AuditAttacks = Annotated[
    list[str] | None,
    typer.Option(
        help="A name of `compare list attacks`; repeat for several.",
        metavar="NAME",
        show_default="all",
    ),
]
BudgetName = Annotated[str, typer.Option(help="quick (3 keys) or full (5 keys).")]
AuditSeed = Annotated[int, typer.Option(min=0, help="Seed of images and guesses, not of keys.")]
KeySeed = Annotated[
    int | None,
    typer.Option(min=0, help="Derive attacked keys from a seed: for debugging only."),
]
AuditDevice = Annotated[
    str,
    typer.Option(help="Where learned attacks and training run: auto, cpu, cuda, cuda:N or mps."),
]
AuditImageSize = Annotated[
    int,
    typer.Option(min=16, max=1024, help="Width and height in pixels; a cipher may cut a few."),
]
AuditSubset = Annotated[str, typer.Option(help="Subset, for instance balanced.")]
AuditTestLimit = Annotated[int | None, typer.Option(min=2, help="Maximum number of test images.")]
AuditOut = Annotated[
    Path | None, typer.Option(help="Folder. A folder that holds the same audit is resumed.")
]
AuditWorkers = Annotated[
    int,
    typer.Option(
        help="Processes on this machine that attack beside each other, each with its own part of "
        "the cells. An audit goes on with any number of them.",
        envvar="COMPARE_WORKERS",
    ),
]

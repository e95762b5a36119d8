"""Options and arguments that several sub-commands share, and how JSON is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

DATASET_HELP = "A name of `compare list datasets`, or folder:PATH, dicom:PATH."
PIPELINE_HELP = "NAME[param=value,...]; repeat for several."

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Print everything, however wide. Else the lines fit the terminal or $COLUMNS, and 100 "
        "columns where the output is piped.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the dataset.",
        show_default="$COMPARE_DATA, then the user cache",
        rich_help_panel="Images",
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Never use the network to get data.", rich_help_panel="Images"),
]
RequireReal = Annotated[
    bool,
    typer.Option(
        "--require-real",
        help="Refuse the synthetic images as a substitute.",
        rich_help_panel="Images",
    ),
]
CopiesPolicy = Annotated[
    str,
    typer.Option(
        "--copies",
        help="drop, keep or error: what becomes of training and validation images whose pixels "
        "equal a test image's.",
        rich_help_panel="Images",
    ),
]
Positive = Annotated[
    str,
    typer.Option(
        help="Class of two for which sensitivity is computed.",
        show_default="as the dataset's card says",
        rich_help_panel="Images",
    ),
]
GroupByFolder = Annotated[
    str,
    typer.Option(
        "--group-by",
        help="folder: each sub-folder of a class folder holds the images of one patient.",
        show_default=False,
        rich_help_panel="Images",
    ),
]
CsvColumns = Annotated[
    str,
    typer.Option(
        help="Columns of the table that have other names: file=NAME,label=NAME,...",
        show_default=False,
        rich_help_panel="Images",
    ),
]
DicomFrames = Annotated[
    str,
    typer.Option(
        "--frames",
        help="first, middle or all: which frames of a DICOM file with several are images.",
        show_default=False,
        rich_help_panel="Images",
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="Report formats, separated by commas: md, html, pdf, json. Empty: no report.",
        rich_help_panel="Attacks and report",
    ),
]
PublicImages = Annotated[
    list[str] | None,
    typer.Option(
        "--public",
        metavar="REF",
        help="Public images an attacker has: natural, synthetic-chest, train, folder:PATH or a "
        "dataset; repeat for several, a row of the matrix each.",
        show_default="natural and train",
        rich_help_panel="Attacks and report",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))

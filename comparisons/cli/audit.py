"""`compare audit`: attacks and checks against ciphers and pipelines, and the matrix of outcomes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_CELLS_FAILED
from he_compare.comparisons.cli.audit_options import (
    AuditAttacks,
    AuditCiphers,
    AuditDataset,
    AuditDevice,
    AuditImageSize,
    AuditOut,
    AuditPipelines,
    AuditSeed,
    AuditSubset,
    AuditTestLimit,
    AuditWorkers,
    BudgetName,
    KeySeed,
)
from he_compare.comparisons.cli.options import (
    CopiesPolicy,
    CsvColumns,
    DataDir,
    Debug,
    DicomFrames,
    GroupByFolder,
    JsonFlag,
    Offline,
    PublicImages,
    Quiet,
    RequireReal,
    Wide,
    print_json,
)

audit_app = typer.Typer(
    help="Attack ciphers and pipelines under the same rules, with controls.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AuditedArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run or an audit.")
]


@audit_app.command("run")
def run(
    dataset: AuditDataset = "chestxray",
    data_dir: DataDir = None,
    cipher: AuditCiphers = None,
    pipeline: AuditPipelines = None,
    attack: AuditAttacks = None,
    public: PublicImages = None,
    budget: BudgetName = "quick",
    seed: AuditSeed = 0,
    key_seed: KeySeed = None,
    device: AuditDevice = "auto",
    image_size: AuditImageSize = 112,
    subset: AuditSubset = "",
    copies: CopiesPolicy = "drop",
    group_by: GroupByFolder = "",
    csv_columns: CsvColumns = "",
    frames: DicomFrames = "",
    test_limit: AuditTestLimit = None,
    out: AuditOut = None,
    workers: AuditWorkers = 1,
    offline: Offline = False,
    require_real: RequireReal = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Attack ciphers and pipelines on a dataset's images and print the matrix."""
    from he_compare.comparisons.auditing.audit_request import AuditRequest
    from he_compare.comparisons.auditing.standalone_folder import audit_command
    from he_compare.comparisons.cluster.standalone_lanes import standalone_lanes
    from he_compare.comparisons.cluster.who_runs import WhoRuns
    from he_compare.comparisons.measuring.opening_options import data_options

    WhoRuns(count=workers).check()
    request = AuditRequest(
        dataset=dataset,
        data_dir=data_dir,
        ciphers=tuple(cipher or ()),
        pipelines=tuple(pipeline or ()),
        attacks=tuple(attack or ()),
        budget=budget,
        seed=seed,
        image_size=image_size,
        subset=subset,
        test_limit=test_limit,
        out=out,
        offline=offline,
        require_real=require_real,
        quiet=quiet,
        key_seed=key_seed,
        public=tuple(public or ()),
        device=device,
        options=data_options(copies, "", group_by, csv_columns, frames),
    )
    raise typer.Exit(audit_command(request, partial(standalone_lanes, workers)))


@audit_app.command("matrix")
def matrix(
    run: AuditedArgument,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Only this target; repeat for several.", metavar="NAME"),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack; repeat for several.", metavar="NAME"),
    ] = None,
    wide: Wide = False,
    as_json: JsonFlag = False,
) -> None:
    """Print attack outcomes by target, grouped by attacker capability."""
    from he_compare.common.run.capability_matrix import controls_failed
    from he_compare.comparisons.auditing import matrix as matrices
    from he_compare.comparisons.auditing.audit import audited
    from he_compare.comparisons.auditing.explaining import only
    from he_compare.comparisons.terminal import terminal_columns

    outcomes = only(audited(run), target or (), attack or ())
    if as_json:
        print_json(matrices.as_json(outcomes))
    else:
        print(matrices.render(outcomes, terminal_columns(wide=wide)))
    if controls_failed(outcomes):
        raise typer.Exit(EXIT_CELLS_FAILED)


@audit_app.command("explain")
def explain(
    run: AuditedArgument,
    cell: Annotated[
        str, typer.Argument(metavar="CELL", help="TARGET/ATTACK of the matrix, or an identity.")
    ],
    wide: Wide = False,
    as_json: JsonFlag = False,
) -> None:
    """Print claim, evidence and limits of one cell, and the command that reproduces it."""
    from he_compare.comparisons.auditing import explaining
    from he_compare.comparisons.auditing.audit import audited
    from he_compare.comparisons.terminal import terminal_columns

    outcome = explaining.find_cell(audited(run), cell)
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    else:
        print(explaining.explain_outcome(outcome, terminal_columns(wide=wide)))


@audit_app.command("parameters")
def parameters(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Folder of a run.", show_default="every named set"),
    ] = None,
    as_json: JsonFlag = False,
    without_tfhe: Annotated[
        bool, typer.Option("--without-tfhe", help="Leave out TFHE, whose circuit is compiled.")
    ] = False,
) -> None:
    """Judge lattice parameters: two published tables, estimated bits, precision, failures."""
    from he_compare.fhe_baseline import parameter_table

    rows, without = (
        (parameter_table.reference_rows(with_tfhe=not without_tfhe), [])
        if run is None
        else parameter_table.rows_of_run(run)
    )
    if as_json:
        print_json(parameter_table.as_json(rows))
    else:
        print(parameter_table.describe(rows, without))


@audit_app.command("attack-file")
def attack_file(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Scrambled images of 8 bits, or arrays (npz)."),
    ],
    patch: Annotated[
        int | None, typer.Option(help="Width of the blocks in pixels.", show_default="guessed")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for the pictures.", show_default="FOLDER.attacked"),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Public pictures of the same kind, for a key of its own for every block.",
            show_default="none",
        ),
    ] = None,
    as_json: JsonFlag = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Reconstruct scrambled images from the images alone, and say how sure the result is.

    The folder is read, partly read, not scrambled as far as looked for, or unknown (exit code 3).
    Unknown is no evidence of safety: what was looked for and what was not is printed and kept in
    attack.json.
    """
    from he_compare.comparisons.attack_file.attack_folder import attack_folder
    from he_compare.comparisons.attack_file.writing import State
    from he_compare.comparisons.progress import ProgressReporter

    with ProgressReporter(quiet=quiet) as progress:
        attack = attack_folder(folder, patch, out, progress, public)
    if as_json:
        print_json(attack.report())
    else:
        print("\n".join(attack.lines))
    if attack.state is State.UNKNOWN:
        raise typer.Exit(EXIT_CELLS_FAILED)

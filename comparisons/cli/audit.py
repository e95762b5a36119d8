"""`compare audit`: attacks and checks against ciphers and pipelines, and the matrix of outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_CELLS_FAILED

audit_app = typer.Typer(
    help="Attack ciphers and pipelines under one harness, with controls.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or an audit.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@audit_app.command("run")
def run(
    dataset: Annotated[str, typer.Option(help="Dataset, as for `compare run`.")] = "chestxray",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the dataset [default: $COMPARE_DATA, user cache]."),
    ] = None,
    cipher: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[param=value,...]; repeat for several [default: every cipher, where no "
            "pipeline is named]."
        ),
    ] = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(help="NAME[param=value,...], as for `compare run`; repeat for several."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="A name of `compare list attacks`; repeat [default: all]."),
    ] = None,
    budget: Annotated[str, typer.Option(help="quick (3 keys) or full (5 keys).")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="Root seed: keys, images, guesses.")] = 0,
    image_size: Annotated[
        int, typer.Option(min=16, max=1024, help="Side in pixels; ciphers may take a few less.")
    ] = 112,
    subset: Annotated[str, typer.Option(help="Subset, for instance balanced.")] = "",
    test_limit: Annotated[
        int | None, typer.Option(min=2, help="Most test images: attacked or candidates.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; one that holds the same audit is resumed.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    require_real: Annotated[
        bool, typer.Option("--require-real", help="Refuse to fall back on the synthetic cohort.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Attack ciphers and pipelines on a dataset's images and print the matrix."""
    from he_compare.comparisons.auditing.audit import AuditRequest, audit_command

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
    )
    raise typer.Exit(audit_command(request))


@audit_app.command("matrix")
def matrix(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Print who is broken by what, by the adversary's knowledge."""
    import json

    from he_compare.common.run.capability_matrix import controls_failed
    from he_compare.comparisons.auditing import matrix as matrices
    from he_compare.comparisons.auditing.audit import audited

    outcomes = audited(run)
    if as_json:
        print(json.dumps(matrices.as_json(outcomes), indent=2, ensure_ascii=False))
    else:
        print(matrices.render(outcomes))
    if controls_failed(outcomes):
        raise typer.Exit(EXIT_CELLS_FAILED)


@audit_app.command("explain")
def explain(
    run: RunArgument,
    cell: Annotated[
        str, typer.Argument(metavar="CELL", help="TARGET/ATTACK of the matrix, or an identity.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Tell claim, evidence, limits and the command that reproduces one cell."""
    import json

    from he_compare.comparisons.auditing import matrix as matrices
    from he_compare.comparisons.auditing.audit import audited

    outcome = matrices.find_cell(audited(run), cell)
    if as_json:
        print(json.dumps(outcome.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        print(matrices.explain(outcome))


@audit_app.command("parameters")
def parameters(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Folder of a run [default: every named set]."),
    ] = None,
    as_json: JsonFlag = False,
    without_tfhe: Annotated[
        bool, typer.Option("--without-tfhe", help="Compile no circuit for TFHE's row.")
    ] = False,
) -> None:
    """Judge lattice parameters: both tables, estimated bits by cost model, precision, failure."""
    from he_compare.common import plugins

    command = plugins.load("commands", "parameters")
    print(command.run(run, as_json=as_json, with_tfhe=not without_tfhe))


@audit_app.command("attack-file")
def attack_file(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Scrambled images (PNG, JPEG, BMP), or arrays (npz)."
        ),
    ],
    patch: Annotated[
        int | None, typer.Option(help="Side of the blocks in pixels [default: guessed].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the pictures [default: FOLDER.attacked].")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Reconstruct somebody's scrambled images from nothing but themselves, and say how sure."""
    from he_compare.comparisons.attack_file.attack import attack_folder
    from he_compare.comparisons.progress import ProgressReporter

    with ProgressReporter(quiet=quiet) as progress:
        attack = attack_folder(folder, patch, out, progress)
    for line in attack.lines:
        print(line)

"""The `compare` command. Imports nothing heavy until a sub-command needs it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from he_compare.common.errors import (
    EXIT_CELLS_FAILED,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    CompareError,
    UsageError,
)
from he_compare.comparisons.cli import finished_runs
from he_compare.comparisons.cli.audit import audit_app
from he_compare.comparisons.cli.keys import key_app
from he_compare.comparisons.cli.scrambling import decrypt, encrypt

app = typer.Typer(
    name="compare",
    help="Compare ways of protecting medical images during outsourced classification: "
    "block scrambling with Vision Transformers, and homomorphic encryption, on the same images, "
    "clock and metrics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
data_app = typer.Typer(help="Look at datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.add_typer(key_app, name="key")
DatasetOption = "Dataset: a name of `compare list datasets`, or folder:PATH, dicom:PATH."
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network for data.")]
RequireReal = Annotated[
    bool, typer.Option("--require-real", help="Refuse to fall back on the synthetic cohort.")
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the dataset [default: $COMPARE_DATA, user cache]."),
]
Formats = Annotated[
    str, typer.Option("--format", help="Comma-separated: md, html, pdf, json; empty: none.")
]


@app.command()
def run(
    dataset: Annotated[str, typer.Option(help=DatasetOption)] = "chestxray",
    data_dir: DataDir = None,
    profile: Annotated[
        str, typer.Option(help="smoke (a minute), quick (ten), full (hours on a CPU).")
    ] = "quick",
    pipeline: Annotated[
        list[str] | None,
        typer.Option(help="NAME[param=value,...]; repeat for several [default: the profile's]."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed [default: 0].")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; one that holds the same plan is resumed.")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="Subset, for instance balanced.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    train_limit: Annotated[int | None, typer.Option(help="Most training images.")] = None,
    val_limit: Annotated[int | None, typer.Option(help="Most validation images.")] = None,
    test_limit: Annotated[int | None, typer.Option(help="Most test images.")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm name of the DeiT.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="hub, untrained, shipped or a .safetensors file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of trained models.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Training batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    infer_batch: Annotated[int | None, typer.Option(help="Images a throughput request.")] = None,
    latency_images: Annotated[int | None, typer.Option(help="Images a latency round.")] = None,
    latency_rounds: Annotated[int | None, typer.Option(help="Latency rounds.")] = None,
    robustness_images: Annotated[
        int | None, typer.Option(help="Test images sent with disturbed bits; 0: none.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads a process; 0: all cores.")] = None,
    call_seconds: Annotated[
        float | None, typer.Option(help="Time limit of one server call.")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option(help="Sample images in the report; 0: none leave the dataset.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Client key file [default: in the user's configuration].")
    ] = None,
    offline: Offline = False,
    require_real: RequireReal = False,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="Attack the run's own pipelines afterwards [default: as the profile says].",
        ),
    ] = None,
    format: Formats = "md,html,pdf",
    explain: Annotated[
        bool, typer.Option(help="Only say which cells would run or be kept, and why.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress on stderr.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Run pipelines on a dataset and write a report."""
    options = dict(locals())
    render = _renderer(format, None)
    from he_compare.comparisons.run import run_command

    overrides = {
        name: options[name]
        for name in (
            *("seed", "subset", "image_size", "train_limit", "val_limit", "test_limit"),
            *("backbone", "weights", "epochs", "batch_size", "learning_rate", "infer_batch"),
            *("latency_images", "latency_rounds", "robustness_images", "threads"),
            *("call_seconds", "pictures"),
        )
    } | {"pipelines": pipeline or None, "audit": _audit_budget(profile, audit)}
    code = run_command(
        dataset=dataset,
        data_dir=data_dir,
        profile=profile,
        overrides=overrides,
        out=out,
        key=key,
        offline=offline,
        require_real=require_real,
        render=render,
        explain=explain,
        quiet=quiet,
    )
    raise typer.Exit(code)


@app.command()
def report(
    run: RunArgument,
    format: Formats = "md,html,pdf",
    out: Annotated[Path | None, typer.Option(help="Folder [default: RUN/report].")] = None,
) -> None:
    """Render the report of a run."""
    render = _renderer(format, out)
    from he_compare.comparisons.judging.scoring import scored

    for path in render(scored(run).path):
        print(path)


@app.command()
def score(run: RunArgument) -> None:
    """Compute metrics, intervals and paired differences again from stored predictions."""
    from he_compare.common.run.view import read_run
    from he_compare.comparisons.judging.scoring import scored_again
    from he_compare.comparisons.judging.show import table

    print(table(read_run(scored_again(run))))


@app.command()
def show(
    run: RunArgument,
    record: Annotated[
        str | None, typer.Argument(help="Label of a pipeline or start of a record's identity.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a run, or one record of it."""
    from he_compare.common.run.store import RunFolder
    from he_compare.common.run.view import read_run
    from he_compare.comparisons.judging import show as showing

    view = read_run(RunFolder(run))
    if record is not None:
        _print_json(showing.find_record(view, record).model_dump(mode="json"))
    elif as_json:
        _print_json(showing.as_json(view))
    else:
        print(showing.table(view))


@app.command("list")
def list_(
    section: Annotated[
        str | None,
        typer.Argument(
            help="datasets, pipelines, ciphers, backbones, metrics, attacks or profiles."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List what there is to run."""
    from he_compare.comparisons.cli import listing

    sections = listing.collect(section, details=as_json or section == "ciphers")
    if as_json:
        _print_json(sections)
    else:
        print(listing.render(sections))


@data_app.command("check")
def data_check(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help=DatasetOption)],
    data_dir: DataDir = None,
    subset: Annotated[str, typer.Option(help="Subset, for instance balanced.")] = "",
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet to this PNG file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of cut splits and of the sheet.")] = 0,
    offline: Offline = False,
    require_real: RequireReal = False,
    as_json: JsonFlag = False,
) -> None:
    """Print a dataset's card, counts, prevalence, groups and copies; draw a contact sheet."""
    from he_compare.comparisons.measuring.data import check_command

    found = check_command(dataset, data_dir, subset, seed, sheet, offline, require_real)
    if as_json:
        _print_json(found.as_json())
    else:
        from he_compare.common.datasets.opened.inspection import describe

        print(describe(found))
        if sheet:
            print(f"\ncontact sheet: {sheet}")


@app.command()
def doctor(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Check that this machine can run everything, and say what mends what it cannot."""
    from he_compare.comparisons.cli import doctor as doctoring
    from he_compare.comparisons.run import default_cache_dir, default_key_file

    checks = doctoring.examine(data_dir, default_key_file(), default_cache_dir())
    if as_json:
        _print_json(doctoring.as_json(checks))
    else:
        print(doctoring.render(checks))
    if any(check.level == "problem" for check in checks):
        raise typer.Exit(EXIT_CELLS_FAILED)


@app.command()
def schema() -> None:
    """Print the JSON schema of all records."""
    from he_compare.common.run.records import export_schema

    _print_json(export_schema())


app.command("encrypt")(encrypt)
app.command("decrypt")(decrypt)
app.command("verify")(finished_runs.verify)
app.command("diff")(finished_runs.diff)
app.command("export")(finished_runs.export)
app.command("gallery")(finished_runs.gallery)


def _audit_budget(profile: str, audit: bool | None) -> str | None:
    """Return the budget that --audit or --no-audit asks for; None: as the profile says."""
    if audit is None:
        return None
    return ("full" if profile == "full" else "quick") if audit else "none"


def _renderer(formats: str, out: Path | None) -> Callable[[Path], list[Path]]:
    """Check the formats before any work is done; return what renders a run folder.

    The one place where this floor reaches up: the report is loaded here, by the command alone.
    """
    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    if not wanted:
        return lambda _: []
    from he_compare.reports import FORMATS, write_report

    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"unknown report format {name!r}", fix="known: " + ", ".join(FORMATS))
    return lambda run_path: write_report(run_path, wanted, out)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def main() -> NoReturn:
    """Run the command; every error is one line on stderr and an exit code."""
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else EXIT_OK
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except CompareError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_OK
    except Exception as error:
        code = _other_error(error)
    if code == EXIT_INTERRUPTED:  # the parser turns Ctrl-C into this code
        print("interrupted; the same command resumes", file=sys.stderr)
    sys.exit(code)


def _other_error(error: Exception) -> int:
    """Usage errors of the command line parser, and what nobody foresaw."""
    shown = getattr(error, "format_message", None)
    if shown is not None:
        print(f"error: {shown()} (see `compare --help`)", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    if "--debug" in sys.argv:
        raise error
    text = " ".join(str(error).split())
    print(
        f"internal error: {type(error).__name__}: {text} (run again with --debug for the trace)",
        file=sys.stderr,
    )
    return EXIT_INTERNAL


if __name__ == "__main__":
    main()

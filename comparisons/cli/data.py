"""`compare data`: looks at every image of a dataset before a run, and deletes what a run kept."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import DataError
from he_compare.comparisons.cli.options import (
    DATASET_HELP,
    CopiesPolicy,
    CsvColumns,
    DataDir,
    DicomFrames,
    GroupByFolder,
    JsonFlag,
    Offline,
    Positive,
    RequireReal,
    print_json,
)

data_app = typer.Typer(
    help="Inspect datasets, and delete decoded images and their features.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@data_app.command("check")
def check(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help=DATASET_HELP)],
    data_dir: DataDir = None,
    subset: Annotated[str, typer.Option(help="Subset, for instance balanced.")] = "",
    copies: CopiesPolicy = "drop",
    positive: Positive = "",
    group_by: GroupByFolder = "",
    csv_columns: CsvColumns = "",
    frames: DicomFrames = "",
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet to this PNG file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for cutting splits and for the sheet.")] = 0,
    offline: Offline = False,
    require_real: RequireReal = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a dataset can be run as it is; print counts, copies and card; draw a sheet.

    The exit code is 2 where it cannot be run.
    """
    import numpy as np

    from he_compare.common.datasets.opened import inspection
    from he_compare.common.datasets.opened.contact_sheet import contact_sheet
    from he_compare.common.types import Split
    from he_compare.comparisons.measuring.class_counts import require_all_classes
    from he_compare.comparisons.measuring.data_access import data_policy
    from he_compare.comparisons.measuring.dataset_opening import open_dataset
    from he_compare.comparisons.measuring.dataset_spec import shown_dataset
    from he_compare.comparisons.measuring.opening_options import data_options, option_words
    from he_compare.comparisons.measuring.planning import pipelines_left_out
    from he_compare.comparisons.measuring.readiness import readiness_of, refused
    from he_compare.comparisons.progress import ProgressReporter

    options = data_options(copies, positive, group_by, csv_columns, frames)
    with ProgressReporter() as progress, data_policy(offline, require_real, progress):
        try:
            opened = open_dataset(dataset, data_dir, subset, seed, options)
            every = {s: np.arange(len(opened.index(s).ids), dtype=np.int64) for s in Split}
            require_all_classes(opened, every)
        except DataError as error:
            answer = refused(error)
            print_json(answer.as_json()) if as_json else print("\n".join(answer.lines("")))
            raise typer.Exit(error.exit_code) from None
        found = inspection.check(opened, progress)
        left_out = pipelines_left_out(len(opened.card.classes))
        answer = readiness_of(found, opened.copies_facts(every), left_out)
        if sheet is not None and answer.ready:
            contact_sheet(opened, sheet, seed)
    if as_json:
        facts = opened.copies_facts(every).model_dump(mode="json")
        print_json(answer.as_json() | found.as_json() | {"copies_across_splits": facts})
    else:
        words = [f"compare run --dataset {shown_dataset(dataset, data_dir)}"]
        words += [f"--subset {subset}"] if subset else []
        words += option_words(options)
        words += [f"--positive {shlex.quote(positive)}"] if positive else []
        first = answer.lines(" ".join(words))
        said = [note for note in found.notes if not any(note in line for line in first)]
        found = replace(found, notes=said)
        print("\n".join([*first, "", inspection.describe(found)]))
        if sheet is not None and answer.ready:
            print(f"\ncontact sheet: {sheet}")
    if not answer.ready:
        raise typer.Exit(DataError.exit_code)


@data_app.command("forget")
def forget(
    yes: Annotated[bool, typer.Option("--yes", help="Delete them.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List decoded images and features of images in the cache; with --yes delete them.

    They are those of all data sets. The next run makes them again. Nothing is deleted while a run
    is decoding.
    """
    from he_compare.common.datasets.stored.forgetting import (
        forget_features,
        forget_images,
        kept_features,
        kept_files,
    )
    from he_compare.comparisons.user_folders import default_cache_dir

    cache = default_cache_dir()
    found = forget_images(cache) if yes else kept_files(cache)
    features = forget_features(cache) if yes else kept_features(cache)
    if as_json:
        told = {"files": [one.as_json() for one in found], "features": features.as_json()}
        print_json({"deleted": yes} | told)
        return
    count = len(found) + features.files
    size = (sum(one.bytes for one in found) + features.bytes) / 2**20
    end = "" if yes or not count else "; --yes deletes them"
    for one in found:
        print(one.sentence())
    if features.files:
        print(features.sentence())
    print(f"{count} files, {size:,.1f} MiB {'deleted' if yes else 'kept'}{end}")

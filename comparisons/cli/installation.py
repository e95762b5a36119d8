"""`compare list`, `compare doctor`, `compare schema`: what is installed, and whether it works."""

from __future__ import annotations

from typing import Annotated

import typer

from he_compare.common.errors import EXIT_CELLS_FAILED
from he_compare.comparisons.cli.listing import SECTIONS
from he_compare.comparisons.cli.options import DataDir, JsonFlag, print_json


def list_(
    section: Annotated[
        str | None, typer.Argument(help="One of: " + ", ".join(SECTIONS) + ".")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the datasets, pipelines, ciphers, attacks and more that can be used."""
    from he_compare.comparisons.cli import listing

    sections = listing.collect(section, details=as_json or section == "ciphers")
    if as_json:
        print_json(sections)
    else:
        print(listing.render(sections))


def doctor(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Check the installation and suggest a fix for each problem."""
    from he_compare.comparisons.cli import doctor as checking
    from he_compare.comparisons.user_folders import default_cache_dir, default_key_file

    checks = checking.examine(data_dir, default_key_file(), default_cache_dir())
    if as_json:
        print_json(checking.as_json(checks))
    else:
        print(checking.render(checks))
    if any(check.level == "problem" for check in checks):
        raise typer.Exit(EXIT_CELLS_FAILED)


def schema() -> None:
    """Print the JSON schema of all records, those of studies too."""
    from he_compare.common.run.records import export_schema
    from he_compare.common.study.study_records import StudyRecord

    print_json(export_schema(StudyRecord))

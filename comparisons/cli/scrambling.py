"""`compare encrypt` and `compare decrypt`: folders of images, shared and read back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from he_compare.common.errors import EXIT_CELLS_FAILED
from he_compare.comparisons.cli.options import Debug, Quiet

if TYPE_CHECKING:
    from he_compare.block_scramble.folder.work import FolderOutcome

# Whoever encrypts a folder of many other files knows them by their first thousand.
MAX_LEFT_OUT_SHOWN = 1000
Source = Annotated[Path, typer.Argument(metavar="IN", help="Folder to read.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")]


def encrypt(
    source: Source,
    target: Target,
    cipher: Annotated[
        str,
        typer.Option(help="NAME[param=value,...] of `compare list ciphers`; also key_policy=..."),
    ],
    key: Annotated[Path, typer.Option(help="Client key file; made if there is none.")],
    size: Annotated[
        int | None, typer.Option(help="First resize images to squares of this many pixels.")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Encrypt a folder of images under a client key, to share it; exit 3 if files are left out."""
    from he_compare.block_scramble.folder.encrypt import encrypt_folder
    from he_compare.comparisons.measuring.pipeline_spec import parse_spec
    from he_compare.comparisons.progress import ProgressReporter

    spec = parse_spec(cipher, "cipher")
    with ProgressReporter(quiet=quiet) as progress:
        outcome = encrypt_folder(
            source,
            target,
            cipher=spec.name,
            options=spec.parameters,
            key_file=key,
            size=size,
            progress=progress,
        )
    _finish(outcome)


def decrypt(
    source: Source,
    target: Target,
    key: Annotated[Path, typer.Option(help="Key file the folder was encrypted under.")],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Decrypt a folder that `compare encrypt` wrote, to the same pixels."""
    from he_compare.block_scramble.folder.decrypt import decrypt_folder
    from he_compare.comparisons.progress import ProgressReporter

    with ProgressReporter(quiet=quiet) as progress:
        outcome = decrypt_folder(source, target, key_file=key, progress=progress)
    _finish(outcome)


def _finish(outcome: FolderOutcome) -> None:
    """Print notes and files left out on stderr, then the result; exit 3 where it is not all."""
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    if outcome.left_out:
        number = len(outcome.left_out)
        print(f"left out: {number:,} file{'s' if number > 1 else ''}", file=sys.stderr)
        for line in outcome.left_out[:MAX_LEFT_OUT_SHOWN]:
            print(f"  {line}", file=sys.stderr)
        more = number - MAX_LEFT_OUT_SHOWN
        if more > 0:
            print(f"  and {more:,} more", file=sys.stderr)
    encoding = sys.stdout.encoding or "utf-8"
    print(outcome.result.encode(encoding, "backslashreplace").decode(encoding))
    if not outcome.complete:
        raise typer.Exit(EXIT_CELLS_FAILED)

"""`compare encrypt` and `compare decrypt`: folders of images, shared and read back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from he_compare.comparisons.cli.options import Debug, Quiet

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
    """Encrypt a folder of images under a client key, to share it."""
    from he_compare.block_scramble.folder.encrypt import encrypt_folder
    from he_compare.comparisons.measuring.pipeline_spec import parse_spec
    from he_compare.comparisons.progress import ProgressReporter

    spec = parse_spec(cipher, "cipher")
    with ProgressReporter(quiet=quiet) as progress:
        lines = encrypt_folder(
            source,
            target,
            cipher=spec.name,
            options=spec.parameters,
            key_file=key,
            size=size,
            progress=progress,
        )
    _print(lines)


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
        lines = decrypt_folder(source, target, key_file=key, progress=progress)
    _print(lines)


def _print(lines: list[str]) -> None:
    """Print the first line as the result, the others as notes on stderr."""
    result, *notes = lines
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(result)

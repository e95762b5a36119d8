"""`compare encrypt` and `compare decrypt`: folders of images, shared and read back.

The work is done by commands found by name, so that this floor imports no cipher.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Source = Annotated[Path, typer.Argument(metavar="IN", help="Folder that is read.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="Folder that is written.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def encrypt(
    source: Source,
    target: Target,
    cipher: Annotated[
        str,
        typer.Option(help="NAME[param=value,...] of `compare list ciphers`; also key_policy=..."),
    ],
    key: Annotated[Path, typer.Option(help="Client key file; made if there is none.")],
    size: Annotated[
        int | None, typer.Option(help="Squash images to squares of this side first.")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Encrypt a folder of images under a client key, so that it can be shared."""
    from he_compare.comparisons.measuring.config import parse_spec

    spec = parse_spec(cipher, "cipher")
    _run(
        "encrypt",
        source,
        target,
        quiet,
        cipher=spec.name,
        options=spec.parameters,
        key_file=key,
        size=size,
    )


def decrypt(
    source: Source,
    target: Target,
    key: Annotated[Path, typer.Option(help="Key file the folder was encrypted under.")],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Decrypt a folder that `compare encrypt` wrote, back to the same pixels."""
    _run("decrypt", source, target, quiet, key_file=key)


def _run(name: str, source: Path, target: Path, quiet: bool, **options: Any) -> None:
    """Find the command of that name, run it, print what it says: facts, then notes on stderr."""
    from he_compare.common import plugins
    from he_compare.comparisons.progress import ProgressReporter

    with ProgressReporter(quiet=quiet) as progress:
        told, *notes = plugins.load("commands", name).run(
            source, target, progress=progress, **options
        )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(told)

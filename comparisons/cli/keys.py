"""`compare key show` and `compare key rotate`: the client key file, without showing the key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from he_compare.comparisons.cli.options import Debug

key_app = typer.Typer(
    help="Describe and rotate client keys.", no_args_is_help=True, rich_markup_mode=None
)
KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="Client key file.")]


@key_app.command("show")
def show(key: KeyFile, debug: Debug = False) -> None:
    """Print fingerprint, generation and retired keys of a client key file, never the key."""
    from he_compare.block_scramble.keys import key_files

    info = key_files.describe(key)
    print(f"fingerprint: {info.fingerprint}")
    print(f"generation: {info.generation}")
    print(f"created: {info.created or 'unknown'}")
    if info.note:
        print(f"note: {info.note}")
    if info.previous:
        print(f"retired: {', '.join(info.previous)}")
    if info.insecure:
        print(f"insecure: {info.insecure}")


@key_app.command("rotate")
def rotate(
    key: KeyFile,
    note: Annotated[str, typer.Option(help="Note to keep in the new file.")] = "",
    debug: Debug = False,
) -> None:
    """Replace a client key by a new one. The old key is kept beside it under its fingerprint."""
    from he_compare.block_scramble.keys import key_files

    new = key_files.rotate(key, note)
    old = key_files.describe(key).previous[-1]
    retired = key_files.retired_path(key, old)
    print(f"new key {new.fingerprint}: {key}")
    print(f"old key {old}, for what was encrypted under it: {retired}")

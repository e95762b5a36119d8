"""`compare key show` and `compare key rotate`: the client key file, without showing the key.

The work is done by commands found by name, so that this floor imports no key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

key_app = typer.Typer(
    help="Look at client keys and rotate them.", no_args_is_help=True, rich_markup_mode=None
)
KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="Client key file.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@key_app.command("show")
def show(key: KeyFile, debug: Debug = False) -> None:
    """Print fingerprint, generation and retired keys of a client key file, never the key."""
    from he_compare.common import plugins

    print("\n".join(plugins.load("commands", "key_show").run(key)))


@key_app.command("rotate")
def rotate(
    key: KeyFile,
    note: Annotated[str, typer.Option(help="Kept in the new file.")] = "",
    debug: Debug = False,
) -> None:
    """Put a new key in the place of the old one, which is kept beside it under its fingerprint."""
    from he_compare.common import plugins

    print("\n".join(plugins.load("commands", "key_rotate").run(key, note=note)))

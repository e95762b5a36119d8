"""Commands as they stand in documents, parsed by the real command line and not run."""

from __future__ import annotations

import re
import shlex
from typing import Any

import typer.main

from he_compare.comparisons.cli.app import app


def words_of(line: str) -> list[str]:
    """Split a command; what stands in brackets is optional and left out, | means the first."""
    line = re.sub(r"(?<![\w'-])\[[^\]]*\]", "", line)
    return shlex.split(line, comments=True)[1:]


def parse(words: list[str]) -> Any:
    """Parse the words after ``compare``. Raises on a command, option or value that is none."""
    command = typer.main.get_command(app)
    name = "compare"
    while hasattr(command, "commands"):
        head, *words = words
        assert head in command.commands, f"no command {name} {head}"
        command, name = command.commands[head], head
    return command.make_context(name, list(words))

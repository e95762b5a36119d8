"""How a dataset that was asked for (``NAME`` or ``NAME:ARGUMENT``) is written down.

An argument that is a path of this machine can name a patient: ``PATH`` stands for it in commands,
and folder names leave it out.
"""

from __future__ import annotations

import re
from pathlib import Path

from he_compare.common import plugins
from he_compare.common.dataset import is_path


def shown_dataset(spec: str, data_dir: Path | None) -> str:
    """Return the specification as it may be written into records and commands."""
    name, _, argument = spec.partition(":")
    if not argument:
        return name
    hidden = is_path(plugins.load("datasets", name), argument, data_dir)
    return f"{name}:PATH" if hidden else f"{name}:{argument}"


def default_folder_name(spec: str, data_dir: Path | None) -> str:
    """Return the name of the default run folder, without any path of this machine."""
    name, _, argument = shown_dataset(spec, data_dir).partition(":")
    if argument in ("", "PATH"):
        return name
    return f"{name}-" + re.sub(r"[^\w.,=-]+", "-", argument)

"""Distributions of third parties, as ``pip`` leaves them: metadata, entry points and modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_distribution(
    site: Path, name: str, entries: Mapping[str, str], modules: Mapping[str, str]
) -> Path:
    """Write a distribution into a new folder ``site``; return the folder.

    ``entries``: value by ``KIND/NAME``, for instance ``{"ciphers/mine": "my_module"}``.
    ``modules``: source by module name.
    """
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for entry, value in entries.items():
        kind, _, plugin = entry.partition("/")
        lines.append(f"[he_compare.{kind}]\n{plugin} = {value}\n")
    (info / "entry_points.txt").write_text("".join(lines))
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    return site

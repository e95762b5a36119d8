"""What `compare list` prints: found by file name, without importing anything heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import discover, load, nearest

SECTIONS = (
    "datasets",
    "pipelines",
    "ciphers",
    "packings",
    "backbones",
    "metrics",
    "attacks",
    "profiles",
)


def collect(section: str | None, *, details: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return name, summary and origin of everything in a section, or in all of them.

    ``details``: with the cards of the datasets and the properties of the ciphers.
    """
    if section is not None and section not in SECTIONS:
        raise UnknownNameError(
            f"nothing to list under {section!r}", fix=nearest(section, list(SECTIONS))
        )
    found = {name: _rows(name) for name in SECTIONS if section in (None, name)}
    if details:
        for row in found.get("datasets", []):
            row["card"] = load("datasets", row["name"]).card().model_dump(mode="json")
        for row in found.get("ciphers", []):
            row["properties"] = load("ciphers", row["name"]).describe()
    return found


def _rows(section: str) -> list[dict[str, Any]]:
    if section == "backbones":
        from he_compare.common.backbones.catalog import BACKBONES

        return [
            {"name": info.name, "summary": info.summary, "origin": "timm"}
            for info in BACKBONES.values()
        ]
    if section == "metrics":
        from he_compare.common.statistics.evaluation import all_metrics

        return [
            {"name": metric.name, "summary": metric.formula, "origin": metric.source}
            for metric in all_metrics()
        ]
    if section == "profiles":
        from he_compare.comparisons.measuring.config import PROFILES, profile_names

        return [_profile_row(name, PROFILES / f"{name}.toml") for name in profile_names()]
    return [
        {"name": plugin.name, "summary": plugin.summary, "origin": plugin.origin}
        for plugin in discover(section).values()
    ]


def _profile_row(name: str, path: Path) -> dict[str, Any]:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return {"name": name, "summary": first.lstrip("# ").strip(), "origin": "built in"}


def render(sections: dict[str, list[dict[str, Any]]]) -> str:
    """Lay the sections out as plain text."""
    lines: list[str] = []
    for section, rows in sections.items():
        lines.append(f"{section}:")
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            lines.append(f"  {row['name']:<{width}}  {row['summary']}")
            for name, value in row.get("properties", {}).items():
                lines.append(f"  {'':<{width}}    {name}: {value}")
        if not rows:
            lines.append("  (none)")
        lines.append("")
    return "\n".join(lines).rstrip()

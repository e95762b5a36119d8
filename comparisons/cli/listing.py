"""What `compare list` prints: plug-ins, found without importing the built-in ones.

Plug-ins of third parties are imported, so that one that cannot be used is shown with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import BUILT_IN, import_third_parties, load, nearest

SECTIONS = (
    "datasets",
    "pipelines",
    "ciphers",
    "packings",
    "backbones",
    "metrics",
    "attacks",
    "checks",
    "sections",
    "profiles",
)


def collect(section: str | None, *, details: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return name, summary and origin of everything in a section, or in all of them.

    ``details``: with the cards of the datasets and the properties of the ciphers.
    """
    if section is not None and section not in SECTIONS:
        raise UnknownNameError(f"unknown section {section!r}", fix=nearest(section, list(SECTIONS)))
    found = {name: _rows(name) for name in SECTIONS if section in (None, name)}
    if details:
        _add(found.get("datasets", []), "card", _card)
        _add(found.get("ciphers", []), "properties", _properties)
    return found


def _add(rows: list[dict[str, Any]], field: str, details: Callable[[str], Any]) -> None:
    """Add a field to every row; a plug-in that raises is shown as broken, the others go on."""
    for row in rows:
        if row.get("broken"):
            continue
        try:
            row[field] = details(row["name"])
        except Exception as error:
            row["broken"] = f"its {field} raised {type(error).__name__}: {error}"


def _card(name: str) -> Any:
    return load("datasets", name).card().model_dump(mode="json")


def _properties(name: str) -> Any:
    return load("ciphers", name).describe()


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
        ] + _broken_rows(section)
    if section == "profiles":
        from he_compare.comparisons.measuring.config import PROFILES, profile_names

        return [_profile_row(name, PROFILES / f"{name}.toml") for name in profile_names()]
    return [
        {"name": plugin.name, "summary": plugin.summary, "origin": plugin.origin}
        for plugin in import_third_parties(section).usable.values()
    ] + _broken_rows(section)


def _broken_rows(section: str) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "summary": "", "origin": one.origin, "broken": one.reason}
        for one in import_third_parties(section).broken
    ]


def _profile_row(name: str, path: Path) -> dict[str, Any]:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return {"name": name, "summary": first.lstrip("# ").strip(), "origin": "built in"}


def _brought_by(section: str, row: dict[str, Any]) -> str:
    """Name the package of a third party's plug-in; metrics and backbones name a source instead."""
    ours = section in ("backbones", "metrics") or row["origin"] == BUILT_IN
    return "" if ours else f" [{row['origin']}]"


def render(sections: dict[str, list[dict[str, Any]]]) -> str:
    """Lay the sections out as plain text."""
    lines: list[str] = []
    for section, rows in sections.items():
        lines.append(f"{section}:")
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            broken = f"BROKEN: {row['broken']}" if row.get("broken") else ""
            summary = broken or row["summary"].replace("``", "")
            lines.append(f"  {row['name']:<{width}}  {summary}{_brought_by(section, row)}")
            for name, value in row.get("properties", {}).items():
                lines.append(f"  {'':<{width}}    {name}: {value}")
        if not rows:
            lines.append("  (none)")
        lines.append("")
    return "\n".join(lines).rstrip()

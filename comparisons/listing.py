"""What `compare list` prints: found by file name, without importing anything heavy."""

from __future__ import annotations

from typing import Any

from common.errors import UnknownNameError
from common.plugins import discover, nearest

SECTIONS = ("datasets", "pipelines", "ciphers", "backbones", "metrics", "attacks", "profiles")


def collect(section: str | None) -> dict[str, list[dict[str, Any]]]:
    """Return name, summary and origin of everything in a section, or in all of them."""
    if section is not None and section not in SECTIONS:
        raise UnknownNameError(
            f"nothing to list under {section!r}", fix=nearest(section, list(SECTIONS))
        )
    return {name: _rows(name) for name in SECTIONS if section in (None, name)}


def _rows(section: str) -> list[dict[str, Any]]:
    if section == "backbones":
        from common.backbones.catalog import BACKBONES

        return [
            {"name": info.name, "summary": info.summary, "origin": "timm"}
            for info in BACKBONES.values()
        ]
    if section == "profiles":
        from comparisons.config import PROFILES, profile_names

        return [
            {
                "name": name,
                "summary": _first_comment(PROFILES / f"{name}.toml"),
                "origin": "built in",
            }
            for name in profile_names()
        ]
    return [
        {"name": plugin.name, "summary": plugin.summary, "origin": plugin.origin}
        for plugin in discover(section).values()
    ]


def _first_comment(path: Any) -> str:
    first: str = path.read_text(encoding="utf-8").splitlines()[0]
    return first.lstrip("# ").strip()


def render(sections: dict[str, list[dict[str, Any]]]) -> str:
    """Lay the sections out as plain text."""
    lines: list[str] = []
    for section, rows in sections.items():
        lines.append(f"{section}:")
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            lines.append(f"  {row['name']:<{width}}  {row['summary']}")
        if not rows:
            lines.append("  (none)")
        lines.append("")
    return "\n".join(lines).rstrip()

"""The spelling under which names of plug-ins are compared."""

from __future__ import annotations


def canonical_name(name: str) -> str:
    """Return the spelling under which names are compared."""
    return name.strip().lower().replace("_", "-")

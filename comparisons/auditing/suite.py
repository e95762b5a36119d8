"""The suite of an audit: every attack and every check, under one list of names.

An attack guesses what was hidden, a check examines a target; both end in an outcome. They are two
kinds of plug-in, but ``--attack NAME`` finds either, so a name may occur in one kind only.
"""

from __future__ import annotations

from typing import Any

from he_compare.common import plugins
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import Plugin, canonical_name, nearest

SUITE_KINDS = ("attacks", "checks")


def find(name: str) -> Plugin:
    """Return the attack or check of that name.

    Raises UnknownNameError with the nearest names, UsageError where it cannot be used or where an
    attack and a check have the same name.
    """
    found = [
        plugins.find(kind, name) for kind in SUITE_KINDS if canonical_name(name) in _spellings(kind)
    ]
    if not found:
        known = [known for kind in SUITE_KINDS for known in plugins.discover(kind)]
        raise UnknownNameError(f"unknown attack or check {name!r}", fix=nearest(name, known))
    if len(found) > 1:
        modules = " and ".join(plugin.module for plugin in found)
        raise UsageError(
            f"an attack and a check are called {name!r}: {modules}",
            fix="rename or uninstall one of them",
        )
    return found[0]


def _spellings(kind: str) -> set[str]:
    """Return the names of a kind as they are compared, those that cannot be used included."""
    survey = plugins.survey(kind)
    names = [*survey.usable, *(plugin.name for plugin in survey.broken)]
    return {canonical_name(name) for name in names}


def load(name: str) -> Any:
    """Find an attack or a check by name, import it and return it. Raises as ``find`` does."""
    return find(name).load()


def names() -> list[str]:
    """Return the names of all attacks and checks that load; a warning names each of the others."""
    return [name for kind in SUITE_KINDS for name in plugins.load_all(kind)]

"""The suite of an audit: every attack and every check, under one list of names.

An attack guesses what was hidden, a check examines a target; both end in an outcome. They are two
kinds of plug-in, but ``--attack NAME`` finds either, so they share their names: of an attack and a
check of one name neither can be used, unless one of them is built in.
"""

from __future__ import annotations

from typing import Any

from he_compare.common import plugins
from he_compare.common.errors import UnknownNameError
from he_compare.common.plugin_names import canonical_name
from he_compare.common.plugins import Plugin, nearest

SUITE_KINDS = ("attacks", "checks")


def find(name: str) -> Plugin:
    """Return the attack or check of that name.

    Raises UnknownNameError with the nearest names, BrokenPluginError where it cannot be used.
    """
    surveys = {kind: plugins.survey(kind) for kind in SUITE_KINDS}
    usable = {kind: list(found.usable) for kind, found in surveys.items()}
    broken = {kind: [one.name for one in found.broken] for kind, found in surveys.items()}
    # One that can be used comes before one of its name that cannot.
    for names_of in (usable, broken):
        for kind, names in names_of.items():
            if canonical_name(name) in map(canonical_name, names):
                return plugins.find(kind, name)
    known = [known for names in usable.values() for known in names]
    raise UnknownNameError(f"unknown attack or check {name!r}", fix=nearest(name, known))


def load(name: str) -> Any:
    """Find an attack or a check by name, import it and return it. Raises as ``find`` does."""
    return find(name).load()


def images_wanted() -> set[int]:
    """Return the numbers of ciphertexts that attacks take where a budget has fewer."""
    return {
        int(step.wants_images) for kind in SUITE_KINDS for step in plugins.load_all(kind).values()
    }


def names() -> list[str]:
    """Return the names of all attacks and checks that load; a warning names each of the others."""
    return [name for kind in SUITE_KINDS for name in plugins.load_all(kind)]

"""Says what is wrong with the object of a plug-in: its type, what it lacks, its name."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any, Protocol

from he_compare.common.plugin_names import canonical_name


class Expected(Protocol):
    """What objects of a kind must be; ``he_compare.common.plugins.PluginKind`` says the same."""

    @property
    def attribute(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def required(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Flaw:
    """What is wrong with an object, and what to do about it."""

    what: str
    fix: str


def flaw_of(value: Any, expected: Expected, path: str, name: str) -> Flaw | None:
    """Return what is wrong with the object at ``path``, registered as ``name``; None if nothing."""
    base = pkgutil.resolve_name(expected.base)
    if isinstance(value, type) and base is not object:
        called = value.__name__
        return Flaw(f"{path} is the class {called}", f"assign an instance: {path} = {called}()")
    if not isinstance(value, base):
        kind, full = type(value).__name__, expected.base.replace(":", ".")
        return Flaw(
            f"{path} is an object of type {kind}, but must be a {base.__name__}",
            f"derive a class from {full} and assign an instance of it to {expected.attribute}",
        )
    return _lacking(value, expected.required, path) or _misnamed(value, expected, path, name)


def _lacking(value: Any, required: tuple[str, ...], path: str) -> Flaw | None:
    for attribute in required:
        try:
            getattr(value, attribute)
        except AttributeError:
            fix = f"set {attribute} in the class {type(value).__name__}"
            return Flaw(f"{path} has no attribute {attribute}", fix)
        except Exception as error:  # a property of code from elsewhere may raise anything
            what = f"{attribute} of {path} raised {type(error).__name__}: {error}"
            return Flaw(what, "repair it or uninstall it")
    return None


def _misnamed(value: Any, expected: Expected, path: str, name: str) -> Flaw | None:
    if "name" not in expected.required:
        return None
    own = value.name
    if isinstance(own, str) and canonical_name(own) == canonical_name(name):
        return None
    return Flaw(
        f"{path} has the name {own!r}, but is registered as {name!r}",
        f"set name = {name!r} in the class {type(value).__name__}, or register it as {own!r}",
    )

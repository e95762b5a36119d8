"""Discovery of plug-ins by file name, without importing them, plus third-party entry points.

One file is one plug-in: its name is the file's stem, its one-line summary the first line of its
docstring (read from the syntax tree, so that listing never imports torch). A plug-in module hands
over its object under a fixed attribute. Third parties register modules under the entry-point group
``he_compare.<kind>``. ``-`` and ``_`` are the same letter in a name.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from he_compare.common.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: where its files lie and which attribute a module hands over."""

    name: str
    packages: tuple[str, ...]
    attribute: str
    singular: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("datasets", ("he_compare.common.datasets",), "DATASET", "dataset"),
        Kind("metrics", ("he_compare.common.metrics",), "METRICS", "metric family"),
        Kind(
            "pipelines",
            (
                "he_compare.common.pipelines",
                "he_compare.block_scramble.pipelines",
                "he_compare.fhe_baseline.pipelines",
            ),
            "PIPELINE",
            "pipeline",
        ),
        Kind("ciphers", ("he_compare.block_scramble.ciphers",), "CIPHER", "cipher"),
        Kind("packings", ("he_compare.fhe_baseline.ckks.packings",), "PACKING", "packing"),
        Kind(
            "attacks",
            (
                "he_compare.comparisons.attacks",
                "he_compare.fhe_baseline.checks",
            ),
            "ATTACK",
            "attack",
        ),
        Kind(
            "commands",
            ("he_compare.block_scramble.commands", "he_compare.fhe_baseline.commands"),
            "COMMAND",
            "command",
        ),
    )
}


@dataclass(frozen=True)
class Plugin:
    """A plug-in that was found but not yet imported."""

    kind: str
    name: str
    module: str
    summary: str
    origin: str

    def load(self) -> Any:
        """Import the module and return the object it hands over."""
        attribute = KINDS[self.kind].attribute
        loaded = importlib.import_module(self.module)
        try:
            return getattr(loaded, attribute)
        except AttributeError:
            raise UsageError(
                f"module {self.module} is no {KINDS[self.kind].singular}: it has no {attribute}",
                fix=f"assign the plug-in to {attribute} at module level",
            ) from None


def canonical_name(name: str) -> str:
    """Return the spelling under which names are compared."""
    return name.strip().lower().replace("_", "-")


def _summary_of(file: Path) -> tuple[str, bool]:
    """First docstring line of a file, and whether any top-level assignment marks it a plug-in."""
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    docstring = ast.get_docstring(tree) or ""
    assigned = {
        target.id
        for node in tree.body
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if isinstance(target, ast.Name)
    }
    attributes = {kind.attribute for kind in KINDS.values()}
    return docstring.split("\n", 1)[0].strip(), bool(assigned & attributes)


def _files_of(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    return [
        file
        for location in spec.submodule_search_locations
        for file in sorted(Path(location).glob("*.py"))
        if not file.stem.startswith("_")
    ]


@cache
def discover(kind: str) -> dict[str, Plugin]:
    """Find all plug-ins of a kind, in order of name.

    A module of the package that assigns none of the plug-in attributes is support code and left
    out. Two plug-ins of one name are an error: nothing is overwritten silently.
    """
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind of plug-in {kind!r}", fix=_nearest(kind, KINDS))
    found: dict[str, Plugin] = {}
    for package in KINDS[kind].packages:
        for file in _files_of(package):
            summary, is_plugin = _summary_of(file)
            if is_plugin:
                name = _display_name(kind, file.stem)
                _register(found, Plugin(kind, name, f"{package}.{file.stem}", summary, "built in"))
    for entry in entry_points(group=f"he_compare.{kind}"):
        origin = entry.dist.name if entry.dist else "entry point"
        _register(found, Plugin(kind, entry.name, entry.value, f"from {origin}", origin))
    return dict(sorted(found.items()))


def _display_name(kind: str, stem: str) -> str:
    return stem.replace("_", "-") if kind in ("pipelines", "datasets", "packings") else stem


def _register(found: dict[str, Plugin], plugin: Plugin) -> None:
    for known in found.values():
        if canonical_name(known.name) == canonical_name(plugin.name):
            raise UsageError(
                f"two {plugin.kind} are called {plugin.name!r}: {known.module} and {plugin.module}",
                fix="rename or uninstall one of them",
            )
    found[plugin.name] = plugin


def find(kind: str, name: str) -> Plugin:
    """Return the plug-in of that name, or raise ``UnknownNameError`` with the nearest names."""
    plugins = discover(kind)
    for plugin in plugins.values():
        if canonical_name(plugin.name) == canonical_name(name):
            return plugin
    raise UnknownNameError(f"unknown {KINDS[kind].singular} {name!r}", fix=_nearest(name, plugins))


def load(kind: str, name: str) -> Any:
    """Find a plug-in by name, import it and return the object it hands over."""
    return find(kind, name).load()


def _nearest(name: str, known: Any) -> str:
    return nearest(name, list(known))


def nearest(name: str, known: list[str]) -> str:
    """Return "did you mean ..." where a known name is near, else the list of known names."""
    spelled = {canonical_name(item): item for item in known}
    close = difflib.get_close_matches(canonical_name(name), spelled, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(spelled[item]) for item in close) + "?"
    return "known: " + (", ".join(sorted(known)) or "none")

"""What a module's source says of it without importing it: docstring, names it binds, its family.

Listing plug-ins must neither import torch nor run anybody's code, so names and summaries are read
from the syntax tree.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

FAMILY = "NAMES"
# A module with one of these can have attributes that its source does not show.
_OPEN_ENDED = frozenset({"*", "__getattr__"})


@dataclass(frozen=True)
class ModuleOutline:
    """What was read from the syntax tree.

    ``summary``: first line of the docstring. ``bound``: names bound at module level. ``family``:
    the literal ``NAMES`` (name to summary) of a module that serves several names, else None.
    """

    summary: str
    bound: frozenset[str]
    family: dict[str, str] | None = None

    def surely_lacks(self, name: str) -> bool:
        """Say whether the module cannot have this attribute."""
        return name not in self.bound and not self.bound & _OPEN_ENDED


def read_outline(file: Path) -> ModuleOutline:
    """Parse a source file.

    Raises OSError where it cannot be read and ValueError, with the line, where it does not parse
    or its ``NAMES`` is no literal dictionary of strings.
    """
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    docstring = ast.get_docstring(tree) or ""
    summary = docstring.split("\n", 1)[0].strip()
    return ModuleOutline(summary, frozenset(_bindings(tree)), _family(tree))


def _bindings(node: ast.AST) -> Iterator[str]:
    """Yield the names that running the module binds; bodies of functions and classes do not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name
        elif isinstance(child, ast.alias):
            yield child.asname or child.name.partition(".")[0]
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif not isinstance(child, ast.Lambda) and not _only_annotates(child):
            yield from _bindings(child)


def _only_annotates(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and node.value is None


def _family(tree: ast.Module) -> dict[str, str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if not any(isinstance(target, ast.Name) and target.id == FAMILY for target in targets):
            continue
        try:
            value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
        except (ValueError, TypeError):
            value = None
        if isinstance(value, dict) and all(isinstance(x, str) for x in (*value, *value.values())):
            return value
        raise ValueError(f"line {node.lineno}: {FAMILY} is no literal dictionary of strings")
    return None


def spec_of(module: str) -> ModuleSpec | None:
    """Find a module without importing its parents, or return None.

    ``importlib.util.find_spec`` would run the ``__init__`` of every package above it.
    """
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        path = None if spec is None else spec.submodule_search_locations
        if spec is not None and path is None:
            return None
        spec = _first_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
    return spec


def _first_spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        found = finder.find_spec(name, path, None) if hasattr(finder, "find_spec") else None
        if found is not None:
            return found
    return None


def files_of(package: str) -> list[Path]:
    """Return the source files directly in a package but its ``__init__``, in order of name."""
    spec = spec_of(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return [
        file
        for location in locations or ()
        for file in sorted(Path(location).glob("*.py"))
        if file.stem != "__init__"
    ]

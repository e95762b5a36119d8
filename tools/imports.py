"""The import graph of the house: its circles, and imports that run up or past the door.

``python -m tools.imports`` prints them and ends with 1 when there is one. Imports inside functions
and those for type checkers count: a circle that is hidden is a circle.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

NAMESPACE = "he_compare"
# What each floor may import besides itself; the door may import everything (docs/adr/0013).
FLOORS: dict[str, frozenset[str]] = {
    "common": frozenset(),
    "block_scramble": frozenset({"common"}),
    "fhe_baseline": frozenset({"common"}),
    "comparisons": frozenset({"common"}),
    "reports": frozenset({"common"}),
}
DOORS = (f"{NAMESPACE}.comparisons.cli",)
# This opens the door: `python -m comparisons`.
THRESHOLDS = (f"{NAMESPACE}.comparisons.__main__",)
# What lies beside the house and may import it, but not be imported by it.
OUTSIDE = ("tests", "tools", "benchmarks")

Graph: TypeAlias = Mapping[str, frozenset[str]]


def modules(root: Path) -> dict[str, Path]:
    """Return the file of every module of the house by its full name."""
    found = {}
    for floor in FLOORS:
        for file in sorted((root / floor).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join((NAMESPACE, *parts)).removesuffix(".__init__")
            found[name] = file
    return found


@cache
def parsed(file: Path) -> ast.Module:
    """Return the syntax tree of a file, which is read once."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def imported_names(file: Path, package: str = "") -> Iterator[str]:
    """Yield the full name of everything a file imports; ``package`` resolves relative imports."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def graph_of(files: Mapping[str, Path]) -> Graph:
    """Return the modules that each module imports, itself left out.

    A name that is no module belongs to the module that it is imported from. Raises ValueError on
    an import of a module that does not exist.
    """
    return {
        name: frozenset(_module(imported, files, name) for imported in _of_the_house(name, file))
        - {name}
        for name, file in files.items()
    }


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of modules that import each other, sorted (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for imported in graph.get(name, ()):
            if imported not in order:
                visit(imported)
            if imported in stack:
                lowest[name] = min(lowest[name], lowest[imported])
        if lowest[name] == order[name]:
            at = stack.index(name)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in order:
            visit(name)
    return sorted(circle for circle in found if len(circle) > 1)


def upward(graph: Graph) -> list[str]:
    """Return a line for every import that runs up the floors, sideways, or into the door."""
    return sorted(
        f"{name} imports {imported}"
        for name, found in graph.items()
        for imported in found
        if not _allowed(name, imported)
    )


def foreign(files: Iterable[tuple[str, Path]]) -> list[str]:
    """Return a line for every import of a folder of the house past its name ``he_compare``.

    ``files``: names and paths. ``comparisons`` itself may be imported, by those outside the house:
    it is the Python interface. The house imports nothing that lies beside it.
    """
    lines = []
    for name, file in files:
        inside = name.startswith(f"{NAMESPACE}.")
        for imported in imported_names(file):
            top, _, rest = imported.partition(".")
            past = top in FLOORS and (
                top != "comparisons" or inside or rest not in ("run", "load_run")
            )
            if past or (inside and top in OUTSIDE):
                lines.append(f"{name} imports {imported}")
    return sorted(lines)


def siblings(graph: Graph, packages: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return a line for every plug-in that imports another of its kind.

    ``packages``: the packages whose modules are plug-ins, by kind; deeper packages are not.
    """
    lines = []
    for kind, folders in packages.items():
        plugins = {name for name in graph if name.rpartition(".")[0] in folders}
        plugins -= {name for name in plugins if any(one.startswith(f"{name}.") for one in graph)}
        for name in plugins:
            lines += [f"{name} imports {one} ({kind})" for one in graph[name] & plugins]
    return sorted(lines)


def _of_the_house(name: str, file: Path) -> Iterator[str]:
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    for imported in imported_names(file, package):
        if imported.startswith(f"{NAMESPACE}."):
            yield imported


def _module(imported: str, files: Mapping[str, Path], importer: str) -> str:
    for name in (imported, imported.rpartition(".")[0]):
        if name in files:
            return name
    raise ValueError(f"{importer} imports {imported}, which does not exist")


def _is_door(name: str) -> bool:
    return any(name == door or name.startswith(f"{door}.") for door in DOORS)


def _allowed(name: str, imported: str) -> bool:
    if _is_door(name):
        return True
    if _is_door(imported):
        return name in THRESHOLDS
    here, there = name.split(".")[1], imported.split(".")[1]
    return here == there or there in FLOORS[here]


def main() -> int:
    """Print what is wrong with the imports of this checkout; return the exit code."""
    files = modules(Path(__file__).resolve().parents[1])
    graph = graph_of(files)
    found = [f"circle: {', '.join(circle)}" for circle in circles(graph)]
    found += [f"upward: {line}" for line in upward(graph)]
    print(*found, f"{len(files)} modules, {len(found)} circles and upward imports", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

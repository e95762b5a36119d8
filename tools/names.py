"""Names that mean two things: classes, functions, constants and modules that share one name.

``python -m tools.names`` prints them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.imports import modules, parsed

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def shared_classes(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules that define a public class at top level, where there are several."""
    found = defaultdict(list)
    for name, file in files.items():
        for node in _body(file):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return _several(found)


def shared_functions(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules that define a public function at top level, where there are several."""
    found = defaultdict(list)
    for name, file in files.items():
        for node in _body(file):
            if isinstance(node, FUNCTIONS) and not node.name.startswith("_"):
                found[node.name].append(name)
    return _several(found)


def shared_constants(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules that define a public constant, where several do and others import it.

    A constant that no other module imports is its module's own affair, whatever it is called.
    """
    found, imported = defaultdict(list), set()
    for name, file in files.items():
        for node in _body(file):
            for constant in _assigned(node):
                if not constant.startswith("_"):
                    found[constant].append(name)
        imported |= set(_imports(file))
    several = _several(found)
    return {
        constant: names
        for constant, names in several.items()
        if any((name, constant) in imported for name in names)
    }


def _body(file: Path) -> list[ast.stmt]:
    return parsed(file).body


def _assigned(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement assigns."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        for one in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(one, ast.Name):
                yield one.id


def _imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything imported by name, wherever in the file."""
    for node in ast.walk(ast.Module(_body(file), [])):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name


def shared_stems(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the modules whose names end in the same word, where there are several."""
    found = defaultdict(list)
    for name, file in files.items():
        if not file.stem.startswith("__"):
            found[file.stem].append(name)
    return _several(found)


def _several(found: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {word: sorted(names) for word, names in sorted(found.items()) if len(names) > 1}


def main() -> None:
    """Print the names of this checkout that mean two things."""
    files = modules(Path(__file__).resolve().parents[1])
    for what, found in (
        ("class", shared_classes(files)),
        ("function", shared_functions(files)),
        ("constant", shared_constants(files)),
        ("module", shared_stems(files)),
    ):
        for word, names in found.items():
            print(f"{what} {word}: {', '.join(names)}")


if __name__ == "__main__":
    main()

"""Which modules a module imports, directly or not, and their code without its wording.

Both are read from the syntax tree; nothing is imported. ``he_compare.common.identity`` hashes what
is found here, so that a kept result is redone when code that can change it changes, and only then.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path

from he_compare.common.module_outline import spec_of

HOUSE = __name__.partition(".")[0]
INIT = "__init__"
# Modules that cannot change a value, so that their code keys nothing. ``errors``: classes and
# sentences. ``plugins``: finds a module by its name; which one, and its code, is keyed by itself.
# ``old_records``: fills in what a stored record lacks, and a new one lacks nothing. This module and
# ``module_outline``: make keys, and no value. ``costs``: what a run will take.
INERT = frozenset(
    f"{HOUSE}.{name}"
    for name in (
        "common.costs",
        "common.errors",
        "common.module_outline",
        "common.plugin_kinds",
        "common.plugin_names",
        "common.plugin_object",
        "common.plugins",
        "common.run.old_records",
        "common.sources",
    )
)
# Modules that say what a run will take, before it runs: nothing of a result comes from them.
FORECASTS = frozenset(
    f"{HOUSE}.{name}"
    for name in (
        "block_scramble.scrambling_costs",
        "common.backbones.network_costs",
        "fhe_baseline.encryption_costs",
    )
)
FIELD = ast.dump(ast.Name("Field", ast.Load()))


@cache
def sources_of(*modules: str) -> tuple[str, ...]:
    """Return the modules and all that they import, directly or not: dotted names, sorted.

    Followed are imports within this project and within each module's own top-level package, those
    inside functions and workers started with ``-m`` included, those for type checkers left out. A
    package counts with its ``__init__`` (as ``package.__init__``) where a name is taken from it,
    not because a module below it is. Plug-ins are looked up by name at run time and are not found:
    name their modules as well. What ``INERT`` names is left out unless it is asked for: a reworded
    error redoes nothing. Raises ValueError for a module without source.
    """
    roots = {HOUSE, *(module.partition(".")[0] for module in modules)}
    found: set[str] = set()
    waiting = [_file_module(module) for module in modules]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported_by(module, frozenset(roots))
    return tuple(sorted(found))


def libraries_of(*modules: str) -> tuple[str, ...]:
    """Return what these modules import from outside this project: dotted names, sorted.

    Imports inside functions count, those for type checkers do not. Nothing is imported, so a name
    may be of something that is not installed. Raises ValueError for a module without source.
    """
    found = set()
    for module in modules:
        for _, file in source_files(_file_module(module)):
            found |= {source for source, _, level in _read(file)[0] if source and not level}
    return tuple(sorted(name for name in found if name.partition(".")[0] != HOUSE))


def source_files(module: str) -> tuple[tuple[str, Path], ...]:
    """Return name (relative to the module's folder) and path of a module's source files.

    A package has every ``.py`` file below it. Raises ValueError for a module without source.
    """
    spec = _found(module)
    origin = Path(str(spec.origin))
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    return tuple((file.relative_to(origin.parent).as_posix(), file) for file in files)


def code_of(file: Path) -> str:
    """Return a file's syntax tree as text, without its wording and layout.

    Wording: comments, docstrings, and the ``description`` of a record's ``Field``.
    """
    return _read(file)[1]


@cache
def _read(file: Path) -> tuple[tuple[tuple[str, str, int], ...], str]:
    """Parse a file once: its imports, as ``_imports`` yields them, and its code as text."""
    tree = ast.parse(file.read_bytes())
    imports = tuple(_imports(tree.body))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
        if isinstance(node, ast.Call) and ast.dump(node.func) == FIELD:
            node.keywords = [word for word in node.keywords if word.arg != "description"]
    return imports, ast.dump(tree)


def _is_text(statement: ast.AST) -> bool:
    """Say whether a statement is a bare string: a docstring, or the note below a constant."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _found(module: str) -> ModuleSpec:
    """Find a module; those of this project stay where they are while it runs."""
    return _of_the_house(module) if module.partition(".")[0] == HOUSE else _with_source(module)


def _with_source(module: str) -> ModuleSpec:
    spec = spec_of(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {module!r} has no source")
    return spec


_of_the_house = cache(_with_source)


def _file_module(module: str) -> str:
    """Name the module that holds the source itself: ``package.__init__`` for a package."""
    spec = _found(module)
    return f"{module}.{INIT}" if spec.submodule_search_locations else module


@cache
def _imported_by(module: str, roots: frozenset[str]) -> tuple[str, ...]:
    """Return the modules of ``roots`` that one module imports itself."""
    ((_, file),) = source_files(module)
    package = module.rpartition(".")[0]
    found = set()
    for source, name, level in _read(file)[0]:
        base = _absolute(source, level, package)
        if base.partition(".")[0] not in roots:
            continue
        below = f"{base}.{name}"
        taken = below if name and spec_of(below) is not None else base
        spec = spec_of(taken)
        if spec is not None and spec.origin is not None:
            found.add(_file_module(taken))
    return tuple(sorted(found - INERT - FORECASTS))


def _imports(nodes: list[ast.stmt]) -> Iterator[tuple[str, str, int]]:
    """Yield (module, name taken from it or '', leading dots) of imports in these statements."""
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name, node.level) for alias in node.names)
        elif isinstance(node, ast.List | ast.Tuple):
            yield from ((worker, "", 0) for worker in _workers(node.elts))
        if isinstance(node, ast.If) and _for_type_checkers(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _absolute(module: str, level: int, package: str) -> str:
    """Spell where an import takes names from without its leading dots."""
    if not level:
        return module
    above = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*above, module] if module else above)


def _workers(words: list[ast.expr]) -> Iterator[str]:
    """Yield the modules that a command line starts: ``[..., "-m", "package.module"]``."""
    texts = [word.value if isinstance(word, ast.Constant) else None for word in words]
    for flag, module in pairwise(texts):
        if flag == "-m" and isinstance(module, str):
            yield module


def _for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"

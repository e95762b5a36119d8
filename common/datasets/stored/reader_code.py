"""What turned bytes into the pixels, digests and looks of a store: code and libraries, as a digest.

Counted are the pass and the file, the types of the dataset and of what it reads with (its opener,
a plug-in of somebody else), and all that they import. Of libraries, the versions count.
"""

from __future__ import annotations

import functools
import importlib.metadata
import secrets
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from he_compare.common.contracts import OpenDataset
from he_compare.common.identity import digest_of, source_digest
from he_compare.common.sources import HOUSE, libraries_of, sources_of

PASS = (
    "he_compare.common.datasets.stored.one_pass",
    "he_compare.common.datasets.stored.picture_file",
    "he_compare.common.datasets.stored.picture_writer",
)
# Decoders that pydicom finds by itself: no import of ours names them.
FOUND_BY_PYDICOM = (
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
    "python-gdcm",
)
# Libraries that Pillow decodes with: a build of one version may come with several.
BEHIND_PILLOW = ("jpg", "jpg_2000", "libjpeg_turbo", "libtiff", "webp", "zlib", "zlib_ng")


def reader_version(dataset: OpenDataset) -> str:
    """Return the SHA-256 of the code and libraries that decode the images of a dataset.

    Where the code of a part cannot be read, nobody knows whether it changed: every call then
    returns another value, so that no store passes for one of this reader.
    """
    modules = code_behind(dataset)
    try:
        sources = sources_of(*modules)
        return digest_of([source_digest(*sources), versions_of(libraries_of(*sources))])
    except ValueError:
        return secrets.token_hex(32)


def code_behind(dataset: OpenDataset) -> tuple[str, ...]:
    """Name the modules of the pass, and those of the dataset and of what it holds, sorted.

    Left out are modules of libraries whose version is counted instead.
    """
    found = {module for part in _parts_of(dataset) for module in _modules_of(part)}
    return tuple(sorted({*PASS, *(module for module in found if not _is_library(module))}))


def versions_of(libraries: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of decoders, and of the packages of these modules; '' where missing."""
    from PIL import features

    tops = {name.partition(".")[0] for name in libraries} - sys.stdlib_module_names
    packages = {package for top in tops for package in _packages().get(top, [top])}
    versions = {name: package_version(name) for name in {*packages, *FOUND_BY_PYDICOM, "pillow"}}
    behind = {f"pillow {name}": str(features.version(name) or "") for name in BEHIND_PILLOW}
    return versions | behind


def package_version(package: str) -> str:
    """Return the version of an installed package, '' where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _parts_of(dataset: OpenDataset) -> Iterator[Any]:
    """Yield the dataset, what it holds to call, and objects in it whose code is of its makers."""
    makers = {HOUSE, type(dataset).__module__.partition(".")[0]}
    waiting: list[Any] = [dataset]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        own = type(part).__module__.partition(".")[0] in makers
        if id(part) not in seen and (own or callable(part)):
            seen.add(id(part))
            yield part
            waiting += _held_by(part) if own else _behind(part)


def _held_by(part: Any) -> list[Any]:
    return list(getattr(part, "__dict__", {}).values())


def _behind(function: Any) -> list[Any]:
    """Return what a method is bound to, and what a partial function calls and passes."""
    if isinstance(function, functools.partial):
        return [function.func, *function.args, *function.keywords.values()]
    owner = getattr(function, "__self__", None)
    return [] if owner is None else [owner]


def _modules_of(part: Any) -> list[str]:
    """Return the module of a function or class, or those of the types of an object."""
    if callable(part) and hasattr(part, "__qualname__"):
        return [part.__module__ or "builtins"]
    return [kind.__module__ for kind in type(part).__mro__]


def _is_library(module: str) -> bool:
    """Say whether a module is part of Python or of an installed package that is no plug-in."""
    top = module.partition(".")[0]
    if top == HOUSE:
        return False
    return top in sys.stdlib_module_names or top in _counted()


@cache
def _counted() -> frozenset[str]:
    """Return the top modules of libraries that the house imports: their versions are counted."""
    used = libraries_of(*sources_of(*PASS))
    return frozenset(name.partition(".")[0] for name in used)


@cache
def _packages() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())

"""What a cached result is keyed by: every input that can change a value, and nothing else.

A key is the SHA-256 of canonical JSON. Source code counts as an input: ``source_digest`` hashes the
modules whose code can change the value, so an edited cipher never serves yesterday's result. Which
modules those are, ``he_compare.common.sources.sources_of`` finds from their imports.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.sources import code_of, source_files

KEY_LENGTH = 16


def canonical_json(value: Any) -> str:
    """Serialise to JSON in one unique form: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def key_of(**inputs: Any) -> str:
    """Return the short key under which a result of these inputs is kept."""
    return digest_of(inputs)[:KEY_LENGTH]


def array_digest(*arrays: np.ndarray[Any, Any]) -> str:
    """Return the hexadecimal SHA-256 over dtype, shape and bytes of the arrays."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


def file_digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def source_digest(*modules: str) -> str:
    """Return the SHA-256 over the code of the named modules and packages (found, not imported).

    A package counts with every ``.py`` file below it. Comments, docstrings and layout do not count.
    Raises ValueError for a module without source.
    """
    hasher = hashlib.sha256()
    for module in sorted(modules):
        for name, file in source_files(module):
            hasher.update(f"{module}:{name}\x00".encode())
            hasher.update(_code_digest(file))
    return hasher.hexdigest()


@cache
def _code_digest(file: Path) -> bytes:
    return hashlib.sha256(code_of(file).encode()).digest()

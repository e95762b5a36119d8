"""What an array inside an npz file claims to be, read from its header alone: no memory is taken."""

from __future__ import annotations

import zipfile
from typing import Any, NamedTuple

import numpy as np


class ClaimedArray(NamedTuple):
    """``size``: bytes that its numbers take by its header. ``objects``: it would need pickle."""

    shape: tuple[int, ...]
    size: int
    objects: bool


def claimed_array(archive: zipfile.ZipFile, name: str) -> ClaimedArray:
    """Read the header of the array ``name`` of an npz file.

    Raises what zip and npy parsers raise on damaged bytes: ValueError, KeyError, EOFError, OSError,
    RuntimeError, zipfile.BadZipFile or zlib.error.
    """
    layout: Any = np.lib.format
    with archive.open(f"{name}.npy") as stream:
        version = layout.read_magic(stream)
        read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
        shape, _, dtype = read(stream)
    size = int(dtype.itemsize)
    for extent in shape:
        size *= int(extent)
    return ClaimedArray(tuple(shape), size, bool(dtype.hasobject))

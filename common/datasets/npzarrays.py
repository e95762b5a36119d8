"""Reading npz archives that nobody vouches for: no pickle, sizes checked before memory is taken."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import DataError

MAX_ARRAY_BYTES = 2 * 1024**3


def read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return the named arrays of an npz file.

    Raises DataError on a file that is truncated or no npz, a missing array, an array of objects
    (pickle), or one larger than ``MAX_ARRAY_BYTES``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            for key in keys:
                if f"{key}.npy" not in members:
                    present = ", ".join(sorted(name.removesuffix(".npy") for name in members))
                    raise DataError(
                        f"{path.name} has no array {key!r} (it has {present or 'none'})",
                        fix="use a file in MedMNIST layout",
                    )
                _check_header(archive, key, path.name)
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path.name} cannot be read as npz: {error or type(error).__name__}",
            fix="delete it and fetch it again",
        ) from None


def _check_header(archive: zipfile.ZipFile, key: str, file: str) -> None:
    layout: Any = np.lib.format
    with archive.open(f"{key}.npy") as stream:
        version = layout.read_magic(stream)
        read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise DataError(f"array {key!r} of {file} holds Python objects", fix="store plain numbers")
    size = dtype.itemsize
    for extent in shape:
        size *= int(extent)
    if size > MAX_ARRAY_BYTES:
        raise DataError(
            f"array {key!r} of {file} claims {size:,} bytes, more than {MAX_ARRAY_BYTES:,}",
            fix="fetch the file again",
        )

"""Arrays of a run as npz: written whole, read without pickle and within limits."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError
from he_compare.common.files import write_atomic
from he_compare.common.npz_header import claimed_array

# What the arrays of one file of a run may take in memory, and how many there may be; of sample
# pictures, less.
MOST_ARRAY_BYTES, MOST_PICTURE_BYTES = 1 << 30, 1 << 28
MOST_ARRAYS = 10_000
# What zipfile, zlib and NumPy raise on damaged bytes. SyntaxError (and the TokenError of
# ``tokenize`` in older Python) come from headers, which NumPy parses as Python literals.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, LookupError, ArithmeticError, TypeError, AttributeError),
    *(RuntimeError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error),
)


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays as npz; text arrays are fixed-width unicode, never objects."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds objects")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(arrays))
    return buffer.getvalue()


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as npz, atomically."""
    write_atomic(path, npz_bytes(arrays))


def load_arrays(path: Path, *, most: int = MOST_ARRAY_BYTES) -> dict[str, npt.NDArray[Any]]:
    """Read an npz without pickle: its arrays take ``most`` bytes together, by their headers.

    Raises IntegrityError naming the file.
    """
    redo = "run the same `compare run` again: what is damaged is made again"
    try:
        if path.stat().st_size > most + MOST_ARRAY_BYTES // 4:
            raise IntegrityError(f"{path.name} has more bytes than its arrays may take", fix=redo)
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"cannot read the arrays in {path.name}: {error.strerror or error}", fix=redo
        ) from None
    return _arrays(data, path.name, most, redo)


def parse_arrays(
    data: bytes, name: str, *, most: int = MOST_ARRAY_BYTES
) -> dict[str, npt.NDArray[Any]]:
    """Read the bytes of an npz in the same way. ``name``: for errors."""
    return _arrays(data, name, most, "")


def _arrays(data: bytes, name: str, most: int, redo: str) -> dict[str, npt.NDArray[Any]]:
    source = io.BytesIO(data)
    try:
        with zipfile.ZipFile(source) as archive:
            names = [one.removesuffix(".npy") for one in archive.namelist()]
            if len(names) > MOST_ARRAYS or len(set(names)) < len(names):
                raise IntegrityError(f"{name} holds too many arrays, or two of one name", fix=redo)
            claimed = [claimed_array(archive, one) for one in names]
        if any(one.objects for one in claimed):
            raise IntegrityError(f"{name} holds Python objects, which are never read", fix=redo)
        if (size := sum(one.size for one in claimed)) > most:
            raise IntegrityError(
                f"the arrays in {name} claim {size:,} bytes, more than {most:,}", fix=redo
            )
        source.seek(0)
        with np.load(source, allow_pickle=False) as arrays:
            return {one: arrays[one] for one in arrays.files}
    except _UNREADABLE as error:
        why = str(error) or type(error).__name__
        raise IntegrityError(f"cannot read the arrays in {name}: {why}", fix=redo) from None
    except Exception as error:  # tokenize.TokenError is an Exception and nothing else
        if type(error).__name__ != "TokenError":
            raise
        raise IntegrityError(f"cannot read the arrays in {name}: {error}", fix=redo) from None

"""Reading untrusted npz archives: no pickle, sizes checked before memory is taken.

Arrays of more than ``IN_MEMORY_BYTES`` are unpacked once into the user cache and mapped from there,
so that the larger MedMNIST sets need disk instead of memory.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.search import data_cache
from he_compare.common.errors import DataError
from he_compare.common.npz_header import claimed_array

IN_MEMORY_BYTES = 1024**3
MAX_ARRAY_BYTES = 16 * 1024**3
_PART = 16 << 20


def read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return the named arrays of an npz file; large ones are memory maps.

    Raises DataError on a file that is truncated or no npz, a missing array, an array of objects
    (pickle), or one larger than ``MAX_ARRAY_BYTES``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {key: _claimed_bytes(archive, key, path.name) for key in keys}
            small = [key for key in keys if sizes[key] <= IN_MEMORY_BYTES]
            mapped = {
                key: _unpack(archive, path, key, sizes[key]) for key in keys if key not in small
            }
        with np.load(path, allow_pickle=False) as arrays:
            return {key: mapped[key] if key in mapped else arrays[key] for key in keys}
    except DataError:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path.name} cannot be read as npz: {error or type(error).__name__}",
            fix="delete it and fetch it again",
        ) from None


def _claimed_bytes(archive: zipfile.ZipFile, key: str, file: str) -> int:
    """Return the bytes of an array that its header states. Raises DataError on too many."""
    members = set(archive.namelist())
    if f"{key}.npy" not in members:
        present = ", ".join(sorted(repr(name.removesuffix(".npy")) for name in members)[:20])
        raise DataError(
            f"{file} has no array {key!r} (it has {present or 'none'})",
            fix="use a file in MedMNIST layout",
        )
    claimed = claimed_array(archive, key)
    if claimed.objects:
        raise DataError(f"array {key!r} of {file} holds Python objects", fix="store plain numbers")
    size = claimed.size
    if size > MAX_ARRAY_BYTES:
        raise DataError(
            f"array {key!r} of {file} claims {size:,} bytes, more than {MAX_ARRAY_BYTES:,}",
            fix="fetch the file again",
        )
    return size


def _unpack(archive: zipfile.ZipFile, path: Path, key: str, size: int) -> npt.NDArray[Any]:
    """Return a map of the array, unpacked into the user cache unless it is there already."""
    about = path.stat()
    named = f"{path.resolve()}\x00{about.st_size}\x00{about.st_mtime_ns}"
    folder = data_cache("unpacked") / hashlib.sha256(named.encode()).hexdigest()[:16]
    target = folder / f"{key}.npy"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(folder).free:
            raise DataError(
                f"array {key!r} of {path.name} needs {size >> 20:,} MiB on the disk of the user "
                "cache, more than is free",
                fix="free some space, or use a smaller size of the set",
            )
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as partial:
            unpacked = Path(partial) / target.name
            with archive.open(f"{key}.npy") as source, unpacked.open("wb") as sink:
                _copy(source, sink, size)
            unpacked.replace(target)
    mapped: npt.NDArray[Any] = np.load(target, mmap_mode="r", allow_pickle=False)
    return mapped


def _copy(source: IO[bytes], sink: IO[bytes], size: int) -> None:
    """Copy an npy member; stop one that is longer than its header says."""
    written = 0
    while part := source.read(_PART):
        written += len(part)
        if written > size + _PART:
            raise ValueError("an array is longer than its header says")
        sink.write(part)

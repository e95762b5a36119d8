"""Reading untrusted npz archives: no pickle, sizes checked before memory is taken.

Arrays of more than ``IN_MEMORY_BYTES`` are unpacked once into the user cache and mapped from there,
so that the larger MedMNIST sets need disk instead of memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.search import data_cache
from he_compare.common.datasets.reading.source_policy import say
from he_compare.common.datasets.stored.nameless import nameless_files
from he_compare.common.errors import DataError
from he_compare.common.files import PRIVATE_FILE, Draft, close_to_others, sweep, write_atomic
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
    """Return a map of the array, unpacked into the user cache unless it is there already.

    What is there is used only if its digest holds. Where the cache cannot be written, the array is
    unpacked into a file without a name.
    """
    about = path.stat()
    named = f"{path.resolve()}\x00{about.st_size}\x00{about.st_mtime_ns}"
    folder = data_cache("unpacked") / hashlib.sha256(named.encode()).hexdigest()[:16]
    target = folder / f"{key}.npy"
    if (kept := _kept(target)) is not None:
        return kept
    try:
        close_to_others(folder)
        sweep(folder)
        if size > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _unpacked_into(target, archive, key, size)
    except OSError as error:
        why = error.strerror or type(error).__name__
    for place, descriptor in nameless_files(size):
        say(f"array {key!r} of {path.name} is not kept in the cache ({why}) but in {place}")
        with os.fdopen(descriptor, "r+b") as stream:
            _copy(archive, key, stream, size)
            return _map_of(stream)
    raise DataError(
        f"array {key!r} of {path.name} needs {size >> 20:,} MiB, more than is free on the disks of "
        f"the user cache ({why}) and of temporary files, and more than half of the memory",
        fix="free some space, use a smaller size of the set, or set XDG_CACHE_HOME to a folder "
        "that has room",
    )


def _unpacked_into(target: Path, archive: zipfile.ZipFile, key: str, size: int) -> npt.NDArray[Any]:
    draft = Draft(target.parent, PRIVATE_FILE)
    try:
        with os.fdopen(draft.handle, "r+b", closefd=False) as stream:
            _copy(archive, key, stream, size)
            os.fsync(stream.fileno())
            digest = _digest_of(stream)
            mapped = _map_of(stream)
        _digest_file(target).unlink(missing_ok=True)
        draft.become(target)
    finally:
        draft.close()
    write_atomic(_digest_file(target), f"{digest}\n".encode(), mode=PRIVATE_FILE)
    return mapped


def _kept(target: Path) -> npt.NDArray[Any] | None:
    """Return a map of an array in the cache, None where there is none whose digest holds."""
    try:
        with target.open("rb") as stream:
            wanted = _digest_file(target).read_bytes()
            if wanted == f"{_digest_of(stream)}\n".encode():
                return _map_of(stream)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        pass
    say(f"{target.name} in the cache is damaged: it is unpacked again")
    return None


def _digest_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _digest_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _map_of(stream: IO[bytes]) -> npt.NDArray[Any]:
    """Map the array of an open npy file. Raises ValueError where it is none."""
    layout: Any = np.lib.format
    stream.seek(0)
    version = layout.read_magic(stream)
    read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    order: Any = "F" if fortran else "C"
    return np.memmap(stream, dtype, "r", offset=stream.tell(), shape=shape, order=order)


def _copy(archive: zipfile.ZipFile, key: str, sink: IO[bytes], size: int) -> None:
    """Copy an npy member; stop one that is longer than its header says."""
    written = 0
    with archive.open(f"{key}.npy") as source:
        while part := source.read(_PART):
            written += len(part)
            if written > size + _PART:
                raise ValueError("an array is longer than its header says")
            sink.write(part)
    sink.flush()

"""Reads a folder of somebody's ciphertexts: 8-bit pictures, or arrays of numbers in npz files.

Nobody vouches for these files. An npz holds one array, or one named ``ciphertext`` as `compare
encrypt` writes it; its header is read and judged before any of its numbers, and nothing in it is
ever unpickled.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

import numpy as np
from numpy.lib import format as npy

from he_compare.common.datasets.reading.class_folders import is_debris
from he_compare.common.datasets.reading.decoding import (
    MAX_PIXELS,
    SUFFIXES,
    as_rgb,
    header_facts,
    open_image,
)
from he_compare.common.datasets.reading.file_names import shown_name
from he_compare.common.errors import CompareError, DataError, UsageError
from he_compare.common.types import Float32Array, PixelArray, UInt8Array

ARRAY, ARRAY_SUFFIX = "ciphertext", ".npz"
READABLE = ("uint8", "float32", "float64")
JPEG_MARK = b"\xff\xd8\xff"
# Beyond any byte value times the root of the values in a block.
LARGEST = 1e6


@dataclass(frozen=True)
class CiphertextFolder:
    """``names``: relative posix paths in order; ``arrays``: they are npz files."""

    root: Path
    names: tuple[str, ...]
    arrays: bool

    def size(self) -> tuple[int, int]:
        """Return (height, width) of all, from their headers. Raises DataError where they differ."""
        sizes: dict[tuple[int, int], list[str]] = {}
        for name in self.names:
            sizes.setdefault(self._size_of(name), []).append(name)
        if len(sizes) > 1:
            (first, ones), (second, others), *_ = sorted(sizes.items(), key=lambda s: -len(s[1]))
            raise DataError(
                f"images have {len(sizes)} sizes: {first[0]} x {first[1]} ({len(ones)} images) and "
                f"{second[0]} x {second[1]} ({others[0]}); keys depend on the size",
                fix="put each size into a folder of its own",
            )
        return next(iter(sizes))

    def read(self, names: Sequence[str]) -> PixelArray:
        """Decode ciphertexts: uint8 or float32 (n, h, w, c). Numbers that are all bytes are bytes.

        Raises DataError that names the file.
        """
        if not self.arrays:
            found = [as_rgb(open_image(self.root / name, name)) for name in names]
            return np.stack(found)
        arrays = [read_array(self.root / name, name) for name in names]
        shapes = {array.shape: name for name, array in zip(names, arrays, strict=True)}
        if len(shapes) > 1:
            raise DataError(f"arrays differ in shape: {sorted(map(str, shapes))}")
        return cast(PixelArray, np.stack(arrays))

    def jpegs(self) -> int:
        """Return how many files are JPEG, by their first bytes."""
        if self.arrays:
            return 0
        return sum(_begins_with(self.root / name, JPEG_MARK) for name in self.names)

    def _size_of(self, name: str) -> tuple[int, int]:
        if not self.arrays:
            facts = header_facts(self.root / name, name)
            if facts.deep:
                raise DataError(
                    f"image {shown_name(name)} has more than 8 bits per channel",
                    fix="put ciphertexts of other values into npz files",
                )
            return facts.size
        shape, _ = array_header(self.root / name, name)
        return shape[1], shape[0]


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(mark)) == mark


def list_ciphertexts(folder: Path) -> CiphertextFolder:
    """List pictures or arrays below a folder. Raises UsageError or DataError in one line."""
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {state}", fix="pass a folder of scrambled images")
    names, arrays = [], []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_debris(name))
        for name in sorted(files):
            relative = (Path(path) / name).relative_to(folder).as_posix()
            ending = PurePosixPath(name).suffix.lower()
            if is_debris(name):
                continue
            if ending in SUFFIXES:
                names.append(relative)
            elif ending == ARRAY_SUFFIX:
                arrays.append(relative)
    if arrays and names:
        raise DataError(
            f"{folder} holds {len(names)} pictures and {len(arrays)} arrays of numbers "
            f"({arrays[0]})",
            fix="put each kind into a folder of its own",
        )
    if not names and not arrays:
        raise DataError(
            f"{folder} has no {', '.join(sorted({*SUFFIXES, ARRAY_SUFFIX}))} files",
            fix="add images",
        )
    return CiphertextFolder(folder, tuple(sorted(names or arrays)), bool(arrays))


def array_header(path: Path, name: str) -> tuple[tuple[int, int, int], np.dtype]:  # type: ignore[type-arg]
    """Return shape (h, w, c) and type of the array in an npz file without reading its numbers.

    Raises DataError that names the file.
    """
    with _member(path, name) as stream:
        return _header(stream, name)


def read_array(path: Path, name: str) -> PixelArray:
    """Return the array of an npz file: uint8 or float32 (h, w, c). Raises DataError."""
    with _member(path, name) as stream:
        shape, dtype = _header(stream, name)
        wanted = int(np.prod(shape)) * dtype.itemsize
        data = stream.read(wanted + 1)
    if len(data) != wanted:
        raise DataError(
            f"{name} holds {'more' if len(data) > wanted else 'fewer'} numbers than its header "
            "says",
            fix="restore the file",
        )
    array = np.frombuffer(data, dtype).reshape(shape)
    if dtype == np.uint8:
        return cast(UInt8Array, array)
    if not np.isfinite(array).all() or np.abs(array).max(initial=0) > LARGEST:
        raise DataError(
            f"{name} holds numbers that cannot be a ciphertext of bytes", fix="leave it out"
        )
    if ((array == np.rint(array)) & (array >= 0) & (array <= 255)).all():
        return cast(UInt8Array, array.astype(np.uint8))
    return cast(Float32Array, array.astype(np.float32))


class _member:
    """Opens the one array of an npz; whatever goes wrong inside becomes a DataError."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def __enter__(self) -> IO[bytes]:
        try:
            self._archive = zipfile.ZipFile(self.path)
            members = self._archive.namelist()
            one = f"{ARRAY}.npy" if f"{ARRAY}.npy" in members else members[0]
            if one != f"{ARRAY}.npy" and len(members) != 1:
                raise DataError(
                    f"{self.name} holds {len(members)} arrays and none named {ARRAY!r}",
                    fix=f"store one array per file, named {ARRAY!r}",
                )
            self._stream = self._archive.open(one)
        except Exception as error:
            raise self._as_data_error(error) from None
        return self._stream

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._stream.close()
        self._archive.close()
        if isinstance(error, Exception):
            raise self._as_data_error(error) from None

    def _as_data_error(self, error: Exception) -> CompareError:
        if isinstance(error, CompareError):
            return error
        # The parsers of zip and npy raise anything from struct.error to KeyError on hostile bytes.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return DataError(
            f"{self.name} is not an npz file with one array: {reason}",
            fix="restore the file or leave it out",
        )


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, int, int], np.dtype]:  # type: ignore[type-arg]
    version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = reader(stream)  # type: ignore[no-untyped-call]
    if dtype.name not in READABLE or dtype.byteorder == ">":
        raise DataError(
            f"{name} holds {dtype}, not {', '.join(READABLE)}",
            fix="these attacks read pictures of bytes and blocks under a rotation",
        )
    if len(shape) == 2:
        shape = (*shape, 1)
    pictures = len(shape) == 3 and shape[2] in (1, 3) and not fortran
    if not pictures or not min(shape[:2]) >= 8 or np.prod(shape[:2], dtype=float) > MAX_PIXELS:
        raise DataError(
            f"{name} holds an array of {shape}, no picture (height, width, 1 or 3)",
            fix="store one ciphertext per file, as `compare encrypt` does",
        )
    return shape, dtype

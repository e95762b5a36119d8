"""Ciphertexts that a server was sent, in a file of its own instead of in its memory.

The file has no name: it lies in the folder of temporary files, nobody else can open it, and the
system gives its space back when the server ends, however it ends. It holds what the server holds
anyway, ciphertexts, and nothing that a client keeps to itself.
"""

from __future__ import annotations

import tempfile
import threading
from math import prod

import numpy as np

from he_compare.block_scramble.keyed_cipher import CiphertextArray
from he_compare.common.disk_errors import FULL
from he_compare.common.errors import CellError
from he_compare.common.types import IntArray


class SpooledCiphertexts:
    """Ciphertexts of one shape and type, (n, h, w, 3), appended to a file and read by position.

    ``shape``: of one of them. ``dtype``: uint8 or float32.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._bytes = prod(shape) * self._dtype.itemsize
        self._count = 0
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(prefix="compare-ciphertexts-", buffering=0)  # noqa: SIM115  # for as long as this object

    def __len__(self) -> int:
        return self._count

    def append(self, ciphertexts: CiphertextArray) -> None:
        """Add (n, h, w, 3) at the end. Raises CellError where there is no space; nothing is added.

        Raises ValueError on another shape or type.
        """
        if ciphertexts.shape[1:] != self._shape or ciphertexts.dtype != self._dtype:
            raise ValueError(f"ciphertexts are {ciphertexts.dtype} {ciphertexts.shape}")
        left = np.ascontiguousarray(ciphertexts).reshape(-1).view(np.uint8).data
        with self._lock:
            try:
                self._file.seek(self._count * self._bytes)
                while left:
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise self._refused(error, len(ciphertexts)) from None
            self._count += len(ciphertexts)

    def __getitem__(self, index: slice | IntArray, /) -> CiphertextArray:
        """Return those at a slice or at positions, in memory, in that order."""
        positions = np.arange(self._count)[index]
        found = np.empty((len(positions), *self._shape), self._dtype)
        for row, position in zip(found, positions.tolist(), strict=True):
            self._read_into(row.reshape(-1).view(np.uint8).data, position * self._bytes)
        return found

    def _read_into(self, left: memoryview, place: int) -> None:
        with self._lock:  # a place in the file, not pread: Windows has none
            self._file.seek(place)
            while left:
                read = self._file.readinto(left)
                if not read:
                    raise CellError("the server's file of ciphertexts was cut short")
                left = left[read:]

    def _refused(self, error: OSError, more: int) -> CellError:
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        return CellError(
            f"the server cannot keep {more} more ciphertexts of {self._bytes:,} bytes beside the "
            f"{self._count:,} that it has: {why}",
            fix="free space in the folder of temporary files, name another one in TMPDIR, or pass "
            "a smaller --train-limit",
        )

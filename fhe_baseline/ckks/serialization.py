"""SEAL objects as bytes and back: the one place where foreign bytes meet SEAL's parser.

``tenseal.sealapi`` saves to and loads from paths only. On Linux the path is that of an anonymous
memory file (memfd_create(2) under ``/proc/self/fd``), so that nothing touches a disk; elsewhere it
is a file of mode 0600 in a directory of mode 0700 that is removed at once.

SEAL checks what it loads against the context (parameter hash, sizes, every residue below its
prime) and inflates its Zstandard streams piece by piece. So a small message cannot make it allocate
more than one ciphertext of the context's size; a message of evaluation keys can name as many keys
as the ring has coefficients, and a hostile one of 0.65 MB took 1.9 GB at N = 1024. Its complaints
become a ``MessageError`` here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from he_compare.common.errors import MessageError

# What pybind11 makes of the C++ exceptions that SEAL and TenSEAL throw on bytes that do not parse.
PARSE_ERRORS = (RuntimeError, ValueError, IndexError, OverflowError, MemoryError)

Parsed = TypeVar("Parsed")


@contextmanager
def _private_path() -> Iterator[Path]:
    """Yield a path only this process can read; its content is gone afterwards."""
    descriptors = Path("/proc/self/fd")
    if hasattr(os, "memfd_create") and descriptors.is_dir():
        handle = os.memfd_create("seal", os.MFD_CLOEXEC)
        try:
            yield descriptors / str(handle)
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory(prefix="seal-") as folder:
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        yield Path(name)


def seal_bytes(seal_object: Any) -> bytes:
    """Serialise any SEAL object that has ``save`` (Zstandard-compressed, SEAL's own format)."""
    with _private_path() as path:
        seal_object.save(str(path))
        return path.read_bytes()


def load_seal(seal_object: Any, context: Any, data: bytes, what: str) -> Any:
    """Fill an empty SEAL object from bytes of unknown origin and return it.

    Raises MessageError naming ``what`` where they are not such an object of this context, or where
    bytes follow it.
    """
    with _private_path() as path:
        path.write_bytes(data)
        parse_foreign(what, lambda: seal_object.load(context, str(path)))
    if _declared_size(data) != len(data):
        raise MessageError(f"{what}: {len(data)} bytes, its header says {_declared_size(data)}")
    return seal_object


def parse_foreign(what: str, parse: Callable[[], Parsed]) -> Parsed:
    """Run a parser of SEAL or TenSEAL on foreign bytes, its complaints turned to MessageError."""
    try:
        return parse()
    except PARSE_ERRORS as error:
        raise MessageError(f"{what} does not parse: {error}") from None


def _declared_size(data: bytes) -> int:
    """Read the size field of SEAL's 16-byte header (seal/serialization.h, struct SEALHeader)."""
    return int.from_bytes(data[8:16], "little")

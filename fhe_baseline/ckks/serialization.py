"""SEAL objects as bytes and back: the one place where foreign bytes meet SEAL's parser.

``tenseal.sealapi`` saves to and loads from paths only. On Linux the path is that of an anonymous
memory file (memfd_create(2) under ``/proc/self/fd``), so that nothing touches a disk; elsewhere it
is a file of mode 0600 in a directory of mode 0700 that is removed at once.

What comes from outside is inflated and checked to the last number before SEAL sees it
(``seal_objects``): SEAL ends the process on some bytes, and makes room for as many keys as a
message names. What SEAL complains of all the same becomes a ``MessageError``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.fhe_baseline.ckks.seal_objects import checked_ciphertext, checked_switching_keys


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


def load_ciphertext(
    empty: Any, context: Any, data: bytes, what: str, primes: int | None = None
) -> Any:
    """Fill an empty SEAL ciphertext from bytes of unknown origin and return it.

    ``primes``: under how many it must be; None: any level of data. Raises MessageError naming
    ``what`` where the bytes are no ciphertext of this context, or where bytes follow it.
    """
    return load_own(empty, context, checked_ciphertext(context, data, what, primes), what)


def load_relinearisation_keys(empty: Any, context: Any, data: bytes, what: str) -> Any:
    """Fill empty SEAL keys from bytes of unknown origin. Raises MessageError."""
    return load_own(empty, context, checked_switching_keys(context, data, what, None), what)


def load_galois_keys(
    empty: Any, context: Any, data: bytes, what: str, elements: Collection[int]
) -> Any:
    """Fill empty SEAL keys from bytes of unknown origin, that hold keys for these elements alone.

    Raises MessageError; not where one of them is missing, which the keys tell.
    """
    return load_own(empty, context, checked_switching_keys(context, data, what, elements), what)


def load_own(empty: Any, context: Any, checked: bytes, what: str) -> Any:
    """Fill an empty SEAL object from bytes of this program's making, or checked ones."""
    with _private_path() as path:
        path.write_bytes(checked)
        del checked
        with parsed_as_hostile(what):
            empty.load(context, str(path))
    return empty

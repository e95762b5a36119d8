"""Files without a name, for decoded images that no cache can keep: on disk or in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from he_compare.common.datasets.stored.picture_writer import MARGIN_BYTES
from he_compare.common.files import PRIVATE_FILE

# Of the memory that is free, what decoded images may take.
MEMORY_SHARE = 0.5


def nameless_files(needed: int) -> Iterator[tuple[str, int]]:
    """Yield where a file of so many bytes has room, in words, and a descriptor of one there.

    Each is empty and open for reading and writing; whoever takes it closes it.
    """
    place = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        if shutil.disk_usage(place).free >= needed + MARGIN_BYTES:
            yield "a temporary file", _on_disk(place)
    roomy = psutil.virtual_memory().available * MEMORY_SHARE >= needed
    if roomy and hasattr(os, "memfd_create"):
        yield "memory", os.memfd_create("decoded images", os.MFD_CLOEXEC)


def _on_disk(place: Path) -> int:
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):
            return os.open(place, os.O_TMPFILE | os.O_RDWR, PRIVATE_FILE)
    handle, name = tempfile.mkstemp(dir=place)
    Path(name).unlink()
    return handle

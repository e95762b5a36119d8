"""Results that are kept so that they need not be made again: one file each, with its digest.

Layout::

    magic (8 bytes), SHA-256 of all that follows (32 bytes)
    length of the facts (4 bytes, little endian), facts (JSON): name, seconds
    payload

A file is used only where its digest holds and its name is the one that was asked for: not a byte
of a payload is parsed before. What is damaged is removed, named once, and made again. Where nothing
can be written, that is said once and nothing is kept: whoever asked goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.errors import IntegrityError
from he_compare.common.files import PRIVATE_FILE, close_to_others, sweep, write_atomic

STORAGE_LOG = logging.getLogger("he_compare.storage")
KEPT_MAGIC = b"HECKEPT\x01"
KEPT_SUFFIX = ".kept"
# The folder of the cache in which the features of images are kept.
FEATURES_FOLDER = "features"
DIGEST_BYTES, LENGTH_BYTES = 32, 4
_PAYLOAD_FACTS_AT = len(KEPT_MAGIC) + DIGEST_BYTES


# Folders that this process swept, and those of which it said that nothing can be kept there.
_SWEPT: set[Path] = set()
_NOT_WRITABLE: set[Path] = set()


@dataclass(frozen=True, repr=False)
class Kept:
    """Something that was made. ``seconds``: what making it took, None where not recorded."""

    data: bytes
    seconds: float | None = None


def sealed(name: str, kept: Kept) -> bytes:
    """Return the file of a kept result."""
    facts = json.dumps({"name": name, "seconds": kept.seconds}).encode()
    content = len(facts).to_bytes(LENGTH_BYTES, "little") + facts + kept.data
    return KEPT_MAGIC + hashlib.sha256(content).digest() + content


def unsealed(name: str, file: bytes) -> Kept:
    """Return a kept result from the bytes of its file. Raises IntegrityError with the reason."""
    view = memoryview(file)
    if file[: len(KEPT_MAGIC)] != KEPT_MAGIC:
        raise IntegrityError("it is no kept result of this version")
    digest, content = view[len(KEPT_MAGIC) : _PAYLOAD_FACTS_AT], view[_PAYLOAD_FACTS_AT:]
    if hashlib.sha256(content).digest() != digest:
        raise IntegrityError("its digest does not hold")
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    try:
        facts = json.loads(bytes(content[LENGTH_BYTES:end]))
        found, seconds = facts["name"], facts["seconds"]
        seconds = None if seconds is None else float(seconds)
    except (ValueError, KeyError, TypeError):
        raise IntegrityError("its facts do not read") from None
    if found != name:
        raise IntegrityError("it is another result")
    return Kept(bytes(content[end:]), seconds)


class KeptResults:
    """Results in one folder, by name. ``private``: others may not look into it."""

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        self.folder = folder
        self._private = private

    def place(self, name: str) -> Path:
        """Return the file of a result."""
        return self.folder / f"{name}{KEPT_SUFFIX}"

    def find(self, name: str, *, remove: bool = True) -> Kept | None:
        """Return a result; None where there is none, or one that is damaged, which is said.

        ``remove``: delete one that is damaged.
        """
        path = self.place(name)
        try:
            return unsealed(name, path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            STORAGE_LOG.warning("%s cannot be read (%s): it is made again", path, error.strerror)
        except IntegrityError as error:
            STORAGE_LOG.warning("%s is not used, %s: it is made again", path, error.problem)
            if remove:
                with contextlib.suppress(OSError):
                    path.unlink()
        return None

    def keep(self, name: str, kept: Kept) -> bool:
        """Keep a result; say whether it is kept. That it could not be is said once."""
        if self.folder not in _SWEPT:
            _SWEPT.add(self.folder)
            sweep(self.folder)
        try:
            if self._private:
                close_to_others(self.folder)
            mode = PRIVATE_FILE if self._private else 0o644
            write_atomic(self.place(name), sealed(name, kept), mode=mode)
        except OSError as error:
            if self.folder not in _NOT_WRITABLE:
                _NOT_WRITABLE.add(self.folder)
                why = error.strerror or type(error).__name__
                STORAGE_LOG.warning(
                    "nothing is kept in %s (%s): what is needed again is made again",
                    self.folder,
                    why,
                )
            return False
        return True

    def names(self) -> list[str]:
        """Return the names of what is kept, damaged or not."""
        with contextlib.suppress(OSError):
            found = (one.name for one in os.scandir(self.folder))
            return sorted(n.removesuffix(KEPT_SUFFIX) for n in found if n.endswith(KEPT_SUFFIX))
        return []

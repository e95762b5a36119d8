"""Downloads that are complete and checked, or do not exist.

A file gets its name only once all its bytes have come and its checksum holds. Until then they lie
in a folder of their own, which is deleted whatever happens: an interrupted download starts over.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from he_compare.common.datasets.reading.source_policy import current_policy, say
from he_compare.common.files import PRIVATE_FILE, close_to_others
from he_compare.common.temporary_folders import swept_folder

PART = 1 << 20
PARTIAL_PREFIX = ".download-"
STALE_SECONDS = 24 * 3600.0


class DownloadError(Exception):
    """A download did not happen or is not what was expected; the text is the reason."""


def fetch(address: str, md5: str, target: Path) -> Path:
    """Download an https address to ``target`` under the current policy. Raises DownloadError."""
    policy = current_policy()
    if policy.offline:
        raise DownloadError("not tried: downloads are off (offline)")
    if not address.startswith("https://"):
        raise DownloadError(f"{address} is not an https address")
    say(f"downloading {target.name} from {address.partition('?')[0]}")
    try:
        close_to_others(target.parent)
        _remove_stale(target.parent)
        with swept_folder("download", target.parent) as folder:
            partial = folder / target.name
            found = _receive(address, partial, policy.download_seconds)
            if found != md5:
                raise DownloadError(f"its MD5 is {found}, not {md5}; it was deleted and not used")
            partial.chmod(PRIVATE_FILE)
            return partial.replace(target)
    except (OSError, HTTPException) as error:
        raise DownloadError(_reason(error)) from None


def open_address(address: str, seconds: float) -> AbstractContextManager[Any]:
    """Open an https address for reading; ``seconds`` bounds every wait for the network."""
    from urllib.request import Request, urlopen

    opened: AbstractContextManager[Any] = urlopen(
        Request(address, headers={"User-Agent": "he-compare"}), timeout=seconds
    )
    return opened


def _receive(address: str, partial: Path, seconds: float) -> str:
    """Write what the address sends into a file; return its MD5."""
    progress = current_policy().progress
    hasher = hashlib.md5(usedforsecurity=False)
    received = 0
    with open_address(address, seconds) as response, partial.open("wb") as stream:
        promised = int(response.headers.get("Content-Length") or 0)
        if promised > shutil.disk_usage(partial.parent).free:
            raise DownloadError(f"it is {promised >> 20:,} MiB, more than the disk has free")
        for part in _parts(response):
            stream.write(part)
            hasher.update(part)
            received += len(part)
            if progress is not None:
                progress(f"downloading {partial.name} (MiB)", received >> 20, promised >> 20)
    if promised and received != promised:
        raise DownloadError(f"it ended after {received:,} of {promised:,} bytes; nothing was kept")
    return hasher.hexdigest()


def _parts(response: IO[bytes]) -> Iterator[bytes]:
    while part := response.read(PART):
        yield part


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


def _remove_stale(folder: Path) -> None:
    """Delete what killed downloads left behind more than a day ago."""
    for leftover in folder.glob(f"{PARTIAL_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(leftover)

"""The npz file of a MedMNIST set: its name and size, where it is found, and how it is fetched.

``NAME.npz`` is the 28-pixel set, ``NAME_224.npz`` (64, 128) a larger one. The file is read from
where data is looked for, or fetched once into the user cache from the address, and checked against
the MD5, that the ``medmnist`` package states.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from he_compare.common.datasets.medmnist_sets.known_sets import ARCHIVE, SIZES, MedMnistSet
from he_compare.common.datasets.reading.download import DownloadError, fetch
from he_compare.common.datasets.reading.search import (
    ENVIRONMENT_VARIABLE,
    data_cache,
    locate,
    passed_over,
)
from he_compare.common.datasets.reading.source_policy import current_policy, say
from he_compare.common.errors import DataError

HASHED_FILE_BYTES = 1024**3


def size_of(name: str, argument: str) -> int:
    """Return the pixels per side that the argument asks for, 28 where it is ''."""
    if argument and argument not in {str(size) for size in SIZES}:
        raise DataError(
            f"{name} has no size {argument!r}", fix="sizes: " + ", ".join(map(str, SIZES))
        )
    return int(argument or SIZES[0])


def file_name(name: str, size: int) -> str:
    """Return the name MedMNIST gives the file of a size."""
    return f"{name}.npz" if size == 28 else f"{name}_{size}.npz"


def find_npz(name: str, size: int, data_dir: Path | None) -> tuple[Path | None, str]:
    """Return the npz where data is looked for, or None and an account of the places."""
    wanted = file_name(name, size)
    if data_dir is not None and data_dir.is_file():
        raise DataError(f"--data-dir {data_dir} is a file", fix="pass the folder that holds it")

    def there(folder: Path) -> Path | None:
        return folder / wanted if (folder / wanted).is_file() else None

    return locate(name, data_dir, there, wanted)


def find_or_fetch(facts: MedMnistSet, size: int, data_dir: Path | None) -> Path:
    """Return the npz from where data is looked for, else from a download into the user cache.

    With ``data_dir`` nothing is fetched. Raises DataError listing the places looked at.
    """
    name = file_name(facts.name, size)
    path, account = find_npz(facts.name, size, data_dir)
    if path is not None and not _is_damaged(facts, path, size):
        return path
    if path is not None:
        say(f"{path} is not what was downloaded (MD5): it is not used and fetched again")
        account = f"{account}; {name} in the user cache is damaged"
    if data_dir is not None:
        raise DataError(
            f"no {facts.name} data found; looked in {account}",
            fix=f"put {name} there, or omit --data-dir to download it",
        )
    try:
        return fetch_npz(facts, size)
    except DownloadError as error:
        raise DataError(
            f"no {facts.name} data found; looked in {account}; download of {name}: {error}",
            fix=f"fetch {name} from {ARCHIVE} and pass its folder with --data-dir or "
            f"{ENVIRONMENT_VARIABLE}",
        ) from None


def _is_damaged(facts: MedMnistSet, path: Path, size: int) -> bool:
    """Say whether a file that was fetched into the user cache is not the official one any more.

    Those that are too large to be hashed every time are held to the checksums in the archive.
    """
    ours = path.parent.resolve() == data_cache(facts.name).resolve()
    return ours and path.stat().st_size <= HASHED_FILE_BYTES and _md5(path) != facts.md5[size]


def fetch_npz(facts: MedMnistSet, size: int) -> Path:
    """Download the npz of a size into the user cache. Raises DownloadError."""
    if current_policy().offline:
        raise DownloadError("not tried: downloads are off (offline)")
    name = file_name(facts.name, size)
    try:
        from medmnist import INFO
    except ImportError as error:
        raise DownloadError(f"the medmnist package cannot be imported: {error}") from None
    stated = INFO[facts.name]
    part = "" if size == SIZES[0] else f"_{size}"
    address, md5 = str(stated[f"url{part}"]), str(stated[f"MD5{part}"])
    return fetch(address, md5, data_cache(facts.name) / name)


def origin_notes(facts: MedMnistSet, path: Path, size: int) -> list[str]:
    """Return notes: whose split it is, whether the file is the official one, what was skipped."""
    notes = ["split of MedMNIST v2", *passed_over(facts.name, path)]
    if path.stat().st_size > HASHED_FILE_BYTES:
        return [*notes, f"{path.name} was not compared with its official MD5: it is too large"]
    if _md5(path) == facts.md5[size]:
        return [*notes, f"{path.name} is the official file (MD5)"]
    return [*notes, f"{path.name} is not byte for byte the official file: its MD5 differs"]


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

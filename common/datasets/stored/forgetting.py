"""Which decoded images and features of images the cache keeps, and their deletion."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from he_compare.common.datasets.stored.image_store import STORE_FOLDER, SUFFIX
from he_compare.common.datasets.stored.picture_file import header_of
from he_compare.common.datasets.stored.picture_writer import UNFINISHED
from he_compare.common.errors import DataError, IntegrityError
from he_compare.common.exclusive import HeldElsewhereError, locked_now
from he_compare.common.kept import FEATURES_FOLDER

LOCK_SUFFIX = ".lock"


@dataclass(frozen=True)
class KeptFile:
    """A file with decoded images. ``images``: how many, 0 where it cannot be read or is unfinished.

    ``side``: pixels. ``made``: local date and time.
    """

    path: Path
    images: int
    side: int
    bytes: int
    made: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, the file by its name."""
        return asdict(self) | {"path": self.path.name}

    def sentence(self) -> str:
        """Say in a line what it is."""
        what = f"{self.images:,} images of {self.side} x {self.side} pixels"
        if not self.images:
            what = "unfinished" if self.path.suffix == UNFINISHED else "unreadable"
        return f"{self.path.name}  {what}, {self.bytes / 2**20:,.1f} MiB, made {self.made}"


@dataclass(frozen=True)
class KeptFeatures:
    """The features of images in the cache, of all data sets: a file does not say of which it is."""

    folder: Path
    files: int
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"files": self.files, "bytes": self.bytes}

    def sentence(self) -> str:
        """Say in a line what they are."""
        size = f"{self.bytes / 2**20:,.1f} MiB"
        return f"features of images: {self.files} files in {self.folder}, {size}"


def kept_features(cache_dir: Path) -> KeptFeatures:
    """Return what there is of features of images."""
    folder = cache_dir / FEATURES_FOLDER
    sizes = []
    for path in _feature_files(folder):
        with contextlib.suppress(FileNotFoundError):  # another command may have deleted it
            if not path.name.startswith("."):  # a lock
                sizes.append(path.stat().st_size)
    return KeptFeatures(folder, len(sizes), sum(sizes))


def forget_features(cache_dir: Path) -> KeptFeatures:
    """Delete all features of images and return what was deleted.

    A run makes them again. Raises DataError where a file cannot be deleted.
    """
    found = kept_features(cache_dir)
    try:
        for path in _feature_files(found.folder):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"features in {found.folder} cannot be deleted: {error.strerror}",
            fix="see that the folder is yours",
        ) from None
    return found


def _feature_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def kept_files(cache_dir: Path) -> list[KeptFile]:
    """Return the files that hold images of patients, finished or not, in order of name."""
    folder = cache_dir / STORE_FOLDER
    found = folder.iterdir() if folder.is_dir() else ()
    return [_told(path) for path in sorted(found) if path.is_file() and path.suffix != LOCK_SUFFIX]


def forget_images(cache_dir: Path) -> list[KeptFile]:
    """Delete every file of decoded images and return what was deleted.

    A run that reads one goes on reading it where the system lets an open file be deleted. Raises
    DataError where images are being decoded now, and then nothing is deleted; or where a file
    cannot be deleted.
    """
    folder = cache_dir / STORE_FOLDER
    try:
        with contextlib.ExitStack() as held:
            for lock in sorted(folder.glob(f"*{LOCK_SUFFIX}")):
                held.enter_context(locked_now(lock))
            kept = kept_files(cache_dir)
            for one in kept:
                one.path.unlink(missing_ok=True)
    except HeldElsewhereError:
        raise DataError(
            "images are being decoded into the cache now, so that nothing was deleted",
            fix="try again when that run has decoded its images, or stop it",
        ) from None
    except OSError as error:
        raise DataError(
            f"decoded images cannot be deleted: {error.strerror}",
            fix="end the runs that use them, and see that the folder is yours",
        ) from None
    return kept


def _told(path: Path) -> KeptFile:
    facts = path.stat()
    images = side = 0
    if path.suffix == SUFFIX:
        with contextlib.suppress(IntegrityError):
            header = header_of(path)
            images, side = header.count, header.side
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.st_mtime))
    return KeptFile(path, images, side, facts.st_size, made)

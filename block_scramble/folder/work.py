"""What is done with one file: encrypt or decrypt it, or keep what is there and still holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.folder.image_files import (
    SUFFIX_OF,
    ciphertext_bytes,
    png_bytes,
    read_ciphertext,
    read_plain,
    sha256_of,
)
from he_compare.block_scramble.folder.manifest import FileEntry, RestoredFile
from he_compare.block_scramble.folder.places import write_inside
from he_compare.block_scramble.folder.sealing import FolderCipher
from he_compare.common.contracts import Progress
from he_compare.common.datasets.reading.decoding import map_threaded
from he_compare.common.datasets.reading.file_names import shown_name
from he_compare.common.errors import DataError, IntegrityError
from he_compare.common.types import UInt8Array

SAVE_SECONDS = 2.0
# Plain images are for their owner's eyes.
PRIVATE = 0o600

Done = TypeVar("Done")


@dataclass(frozen=True)
class FolderOutcome:
    """What to tell the user: the result, notes, and the files left out with what they are.

    ``missing``: images that an interrupted encryption did not come to.
    """

    result: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: int = 0

    @property
    def complete(self) -> bool:
        """Say whether every file of the folder was dealt with."""
        return not self.left_out and not self.missing


@dataclass(frozen=True)
class EncryptFile:
    """Encrypts the image of a name. ``stems``: where to; ``known``: what was done before.

    ``shapes``: of the images when the folder was checked; ``depth``: the window of 16-bit grey.
    """

    source: Path
    target: Path
    size: int | None
    depth: int | None
    shapes: Mapping[str, tuple[int, ...]]
    cipher: FolderCipher
    stems: Mapping[str, str]
    known: Mapping[str, FileEntry]

    def __call__(self, name: str) -> tuple[str, FileEntry, bool]:
        """Return the name, its entry in the manifest, and whether it was kept."""
        image = self.read(name)
        entry = self.known.get(name)
        if entry is not None and self._still_holds(entry, image):
            return name, entry, True
        ciphertext, nonce = self.cipher.encrypt(image)
        data = ciphertext_bytes(ciphertext)
        written = self.stems[name] + SUFFIX_OF[self.cipher.choice.ciphertext]
        write_inside(self.target, written, data)
        entry = FileEntry(
            source=name,
            ciphertext=written,
            shape=ImageShape(*image.shape),
            sha256=sha256_of(data),
            nonce=nonce.hex(),
        )
        return name, entry, False

    def read(self, name: str) -> UInt8Array:
        """Decode the plain image. Raises DataError where it is not as it was when checked."""
        resume = "when nothing writes to the folder, run the same command again: it resumes"
        try:
            image = read_plain(self.source / name, name, self.size, self.depth)
        except DataError as error:
            raise DataError(
                f"{error.problem}: it was changed since the folder was checked", fix=resume
            ) from None
        if image.shape != self.shapes[name]:
            raise DataError(
                f"image {shown_name(name)} was changed since the folder was checked", fix=resume
            )
        return image

    def _still_holds(self, entry: FileEntry, image: UInt8Array) -> bool:
        """Say whether the ciphertext that is there is the image's.

        It has to be decrypted: no hash of a plain image is kept that could tell.
        """
        data = _stored(self.target / entry.ciphertext, entry.sha256)
        if data is None or tuple(entry.shape) != image.shape:
            return False
        return np.array_equal(_decrypted(self.cipher, data, entry), image)


@dataclass(frozen=True)
class DecryptFile:
    """Decrypts one entry of the manifest to a PNG. ``known``: what was done before."""

    source: Path
    target: Path
    cipher: FolderCipher
    known: Mapping[str, RestoredFile]

    def __call__(self, entry: FileEntry) -> tuple[str, RestoredFile, bool]:
        """Return the name of the PNG, its hashes, and whether it was kept."""
        data = _read_checked(self.source, entry)
        name = restored_name(entry)
        known = self.known.get(name)
        if known is not None and self._still_holds(name, known, entry):
            return name, known, True
        pixels = png_bytes(_decrypted(self.cipher, data, entry))
        write_inside(self.target, name, pixels, mode=PRIVATE)
        return name, RestoredFile(ciphertext=entry.sha256, sha256=sha256_of(pixels)), False

    def _still_holds(self, name: str, known: RestoredFile, entry: FileEntry) -> bool:
        same_ciphertext = known.ciphertext == entry.sha256
        return same_ciphertext and _stored(self.target / name, known.sha256) is not None


def restored_name(entry: FileEntry) -> str:
    """Return the name of the file that an entry is decrypted to."""
    return PurePosixPath(entry.ciphertext).with_suffix(".png").as_posix()


def _stored(path: Path, sha256: str) -> bytes | None:
    """Return the bytes of a file that was written before, None where they are others."""
    if path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    return data if sha256_of(data) == sha256 else None


def _decrypted(cipher: FolderCipher, data: bytes, entry: FileEntry) -> UInt8Array:
    shape = cipher.choice.ciphertext_shape(entry.shape)
    ciphertext = read_ciphertext(data, entry.ciphertext, shape, cipher.choice.ciphertext)
    try:
        return cipher.decrypt(ciphertext, bytes.fromhex(entry.nonce), entry.shape)
    except IntegrityError as error:
        raise IntegrityError(f"{entry.ciphertext}: {error.problem}", fix=error.fix) from None


def _read_checked(folder: Path, entry: FileEntry) -> bytes:
    """Return the bytes of a ciphertext. Raises IntegrityError unless they are the manifest's."""
    path = folder / entry.ciphertext
    again = "copy the file again from where it was encrypted"
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise IntegrityError(
            f"ciphertext {entry.ciphertext} is missing, not a file, or a link out of the folder",
            fix=again,
        )
    data = path.read_bytes()
    if sha256_of(data) != entry.sha256:
        raise IntegrityError(
            f"ciphertext {entry.ciphertext} ({len(data):,} bytes) is not what was encrypted: "
            "truncated, altered or another file",
            fix=again,
        )
    return data


def work_off(
    what: str,
    jobs: Sequence[Any],
    work: Callable[[Any], tuple[str, Done, bool]],
    files: dict[str, Done],
    save: Callable[[], None],
    progress: Progress,
) -> int:
    """Run the jobs in a few threads, collect results in ``files``; return how many were kept.

    ``save`` is called before the first, every few seconds, and at the end whatever happens.
    """
    save()
    kept, saved = 0, time.monotonic()
    try:
        results = map_threaded(lambda position: work(jobs[position]), range(len(jobs)))
        for number, (name, done, was_kept) in enumerate(results, start=1):
            files[name] = done
            kept += was_kept
            progress(what, number, len(jobs))
            if time.monotonic() - saved > SAVE_SECONDS:
                save()
                saved = time.monotonic()
    finally:
        save()
    return kept

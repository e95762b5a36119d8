"""A folder of images in, a folder of encrypted images out, and back with the same pixels.

What makes data shareable as in Al Amin et al. (arXiv 2411.05901): every image becomes one file of
the same name, and a manifest says how the holder of the key reads them back. An interrupted call is
resumed by the same call: files that are done, and still are what they should be, are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from block_scramble import keyfile
from block_scramble.cipher import ImageShape
from block_scramble.folder_cipher import FolderChoice, FolderCipher
from block_scramble.folder_images import (
    CIPHERTEXT_SUFFIXES,
    SUFFIX_OF,
    Listing,
    check_size,
    ciphertext_bytes,
    header_size,
    list_files,
    png_bytes,
    read_ciphertext,
    read_plain,
    sha256_of,
    stems_of,
)
from block_scramble.folder_manifest import (
    MANIFEST,
    RESTORED,
    FileEntry,
    FolderManifest,
    RestoredFile,
    RestoredFolder,
    read_manifest,
    read_restored,
)
from block_scramble.keys import ClientKey
from common.contracts import Progress
from common.datasets.images import SUFFIXES, map_threaded
from common.errors import DataError, IntegrityError, UsageError
from common.store import write_atomic
from common.types import UInt8Array

SAVE_SECONDS = 2.0
PRIVATE = 0o600

Done = TypeVar("Done")


@dataclass(frozen=True)
class FolderOutcome:
    """What a call came to. ``notes``: what the user should know."""

    written: int
    kept: int
    cipher: str
    key_fingerprint: str
    notes: tuple[str, ...] = ()


def encrypt_folder(
    source: Path,
    target: Path,
    *,
    cipher: str,
    options: Mapping[str, Any],
    key_file: Path,
    size: int | None,
    progress: Progress,
) -> FolderOutcome:
    """Encrypt every image below ``source`` into ``target``; the key file is made if there is none.

    ``options``: of the cipher, and ``key_policy``. ``size``: squash images to squares first.
    Everything that headers and names tell is checked before anything is written. Raises UsageError,
    DataError or IntegrityError naming the file.
    """
    check_size(size)
    choice = FolderChoice(cipher, options)
    listing = list_files(_folder(source), SUFFIXES)
    stems = stems_of(listing.images)
    sizes = _checked_sizes(source, listing, choice, size)
    _check_target(source, target)
    _check_key_place(key_file, target)
    key, before = _key_and_manifest(target, key_file)
    manifest = _manifest_for(choice, key, size, listing)
    known = _resumable(before, manifest, listing, target)
    manifest = manifest.model_copy(update={"folder": before.folder if before else manifest.folder})
    encryption = _Encryption(source, target, size, FolderCipher(choice, key), stems, known)
    order = sorted(listing.images, key=lambda name: (sizes[name], name))
    encryption.cipher.encrypt(read_plain(source / order[0], order[0], size))
    files = dict(known)

    def save() -> None:
        manifest.model_copy(update={"files": list(files.values())}).sealed(key).write(target)

    def collect(done: tuple[FileEntry, bool]) -> bool:
        files[done[0].source] = done[0]
        return done[1]

    save()
    kept = _work_off(order, encryption, collect, save, progress, "encrypting images")
    notes = _encryption_notes(manifest, listing)
    return FolderOutcome(
        len(order) - kept, kept, choice.cipher.name, key.fingerprint, notes
    )


def decrypt_folder(
    source: Path, target: Path, *, key_file: Path, progress: Progress
) -> FolderOutcome:
    """Decrypt a folder that ``encrypt_folder`` wrote: PNG files of the original names and pixels.

    The manifest has to hold under the key, and every ciphertext to be the one it names. Raises
    UsageError on another key, IntegrityError naming the file that was altered or is missing.
    """
    manifest = read_manifest(_folder(source))
    key = _matching_key(manifest, key_file)
    manifest.check(key, source)
    _refuse_foreign(source, manifest)
    _check_target(source, target)
    choice = FolderChoice(
        manifest.cipher, manifest.parameters | {"key_policy": manifest.key_policy.value}
    )
    before = _restored_before(target, manifest)
    decryption = _Decryption(source, target, FolderCipher(choice, key), before)
    entries = sorted(manifest.files, key=lambda entry: (entry.shape, entry.source))
    files = dict(before)

    def save() -> None:
        RestoredFolder(folder=manifest.folder, files=files).write(target)

    def collect(done: tuple[str, RestoredFile, bool]) -> bool:
        files[done[0]] = done[1]
        return done[2]

    save()
    kept = _work_off(entries, decryption, collect, save, progress, "decrypting images")
    missing = manifest.images - len(entries)
    notes = [f"{missing} of {manifest.images} images are not in it: encryption was interrupted"]
    return FolderOutcome(
        len(entries) - kept, kept, manifest.cipher, key.fingerprint, tuple(notes if missing else ())
    )


@dataclass(frozen=True)
class _Encryption:
    """Encrypts one file, or keeps the one that is there."""

    source: Path
    target: Path
    size: int | None
    cipher: FolderCipher
    stems: Mapping[str, str]
    known: Mapping[str, FileEntry]

    def __call__(self, name: str) -> tuple[FileEntry, bool]:
        image = read_plain(self.source / name, name, self.size)
        entry = self.known.get(name)
        if entry is not None and self._still_holds(entry, image):
            return entry, True
        ciphertext, nonce = self.cipher.encrypt(image)
        data = ciphertext_bytes(ciphertext)
        written = self.stems[name] + SUFFIX_OF[self.cipher.choice.ciphertext]
        _write_inside(self.target, written, data)
        entry = FileEntry(
            source=name,
            ciphertext=written,
            shape=ImageShape(*image.shape),
            sha256=sha256_of(data),
            nonce=nonce.hex(),
        )
        return entry, False

    def _still_holds(self, entry: FileEntry, image: UInt8Array) -> bool:
        """Say whether the ciphertext that is there decrypts to this image: nothing else tells,
        since no hash of a plain image is kept."""
        path = self.target / entry.ciphertext
        if entry.shape != image.shape or path.is_symlink() or not path.is_file():
            return False
        data = path.read_bytes()
        if sha256_of(data) != entry.sha256:
            return False
        return np.array_equal(_decrypted(self.cipher, data, entry), image)


@dataclass(frozen=True)
class _Decryption:
    """Decrypts one file, or keeps the one that is there."""

    source: Path
    target: Path
    cipher: FolderCipher
    before: Mapping[str, RestoredFile]

    def __call__(self, entry: FileEntry) -> tuple[str, RestoredFile, bool]:
        data = _read_checked(self.source, entry)
        written = str(Path(entry.ciphertext).with_suffix(".png"))
        known, path = self.before.get(entry.source), self.target / written
        if known is not None and known.ciphertext == entry.sha256 and path.is_file():
            if not path.is_symlink() and sha256_of(path.read_bytes()) == known.sha256:
                return entry.source, known, True
        pixels = png_bytes(_decrypted(self.cipher, data, entry))
        _write_inside(self.target, written, pixels, mode=PRIVATE)
        done = RestoredFile(file=written, ciphertext=entry.sha256, sha256=sha256_of(pixels))
        return entry.source, done, False


def _decrypted(cipher: FolderCipher, data: bytes, entry: FileEntry) -> UInt8Array:
    choice = cipher.choice
    shape = choice.ciphertext_shape(entry.shape)
    ciphertext = read_ciphertext(data, entry.ciphertext, shape, choice.ciphertext)
    try:
        return cipher.decrypt(ciphertext, bytes.fromhex(entry.nonce), entry.shape)
    except IntegrityError as error:
        raise IntegrityError(f"{entry.ciphertext}: {error.problem}", fix=error.fix) from None


def _read_checked(folder: Path, entry: FileEntry) -> bytes:
    """Return the bytes of a ciphertext. Raises IntegrityError unless they are the manifest's."""
    path = folder / entry.ciphertext
    again = "get the file again from where it was encrypted"
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise IntegrityError(
            f"ciphertext {entry.ciphertext} is missing, no file, or a link out", fix=again
        )
    data = path.read_bytes()
    if sha256_of(data) != entry.sha256:
        raise IntegrityError(
            f"ciphertext {entry.ciphertext} ({len(data):,} bytes) is not what was encrypted: "
            "truncated, altered or another file",
            fix=again,
        )
    return data


def _work_off(
    jobs: Sequence[Any],
    work: Callable[[Any], Done],
    collect: Callable[[Done], bool],
    save: Callable[[], None],
    progress: Progress,
    what: str,
) -> int:
    """Run the jobs in a few threads; save every few seconds and whatever happens. Return how many
    ``collect`` says were kept from before."""
    kept, saved = 0, time.monotonic()
    try:
        results = map_threaded(lambda position: work(jobs[position]), range(len(jobs)))
        for number, done in enumerate(results, start=1):
            kept += collect(done)
            progress(what, number, len(jobs))
            if time.monotonic() - saved > SAVE_SECONDS:
                save()
                saved = time.monotonic()
    finally:
        save()
    return kept


def _write_inside(root: Path, name: str, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file below ``root``, atomically. Raises UsageError where a link leads out of it."""
    path = root / name
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{path.parent} is a link that leads out of {root}", fix="name another folder"
        )
    write_atomic(path, data, mode=mode)

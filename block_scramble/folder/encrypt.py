"""Encrypts a folder of images for sharing; the same call again resumes an interrupted one.

Everything that names and headers tell is checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from he_compare.block_scramble.folder.image_files import (
    Listing,
    check_size,
    header_size,
    list_files,
    stems_of,
)
from he_compare.block_scramble.folder.manifest import (
    MANIFEST,
    PADDING,
    FileEntry,
    FolderManifest,
    read_manifest,
)
from he_compare.block_scramble.folder.places import (
    check_apart,
    check_key_outside,
    existing_folder,
    is_empty,
)
from he_compare.block_scramble.folder.sealing import FolderChoice, FolderCipher
from he_compare.block_scramble.folder.work import EncryptFile, counted, work_off
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Progress
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.errors import DataError, UsageError


def encrypt_folder(
    source: Path,
    target: Path,
    *,
    cipher: str,
    options: Mapping[str, Any],
    key_file: Path,
    size: int | None,
    progress: Progress,
) -> list[str]:
    """Encrypt every image below ``source`` into ``target``; return what to tell the user.

    ``options``: of the cipher, and ``key_policy``. The key file is made if there is none. ``size``:
    squash images to squares first. Raises UsageError, DataError or IntegrityError naming the file.
    """
    check_size(size)
    choice = FolderChoice(cipher, options)
    listing = list_files(existing_folder(source), SUFFIXES)
    stems = stems_of(listing.images)
    order = _checked_order(source, listing, choice, size)
    check_apart(source, target)
    check_key_outside(key_file, target)
    key, manifest = _begin(target, key_file, choice, size, listing)
    known = {entry.source: entry for entry in manifest.files}
    work = EncryptFile(source, target, size, FolderCipher(choice, key), stems, known)
    # A cipher that cannot be used is refused here, while there is nothing to clean up.
    work.cipher.encrypt(work.read(order[0]))
    files: dict[str, FileEntry] = dict(known)

    def save() -> None:
        manifest.model_copy(update={"files": list(files.values())}).sealed(key).write(target)

    kept = work_off("encrypting images", order, work, files, save, progress)
    kept_note = f", {kept} already done" if kept else ""
    told = (
        f"{counted(len(order) - kept)} encrypted{kept_note} with {choice.cipher.name} "
        f"({choice.policy.value}) under key {key.fingerprint}: {target}"
    )
    return [told, *_padding_notes(choice, files.values()), *_notes(manifest, listing)]


def _padding_notes(choice: FolderChoice, files: Iterable[FileEntry]) -> list[str]:
    """Say how many images were extended to whole blocks, so that ciphertexts are larger."""
    padded = sum(choice.ciphertext_shape(entry.shape) != entry.shape for entry in files)
    if not padded:
        return []
    return [
        f"{counted(padded)} padded, blocks have {choice.block} pixels: {PADDING}; "
        "decryption removes the padding"
    ]


def _checked_order(
    source: Path, listing: Listing, choice: FolderChoice, size: int | None
) -> list[str]:
    """Return the names so that equal sizes follow each other. Raises DataError or UsageError."""
    if not listing.images:
        raise DataError(f"{source} has no {', '.join(sorted(SUFFIXES))} images", fix="add images")
    sizes = {name: header_size(source / name, name) for name in listing.images}
    for name, found in sizes.items():
        choice.check_size(*(found if size is None else (size, size)), name)
    return sorted(listing.images, key=lambda name: (sizes[name], name))


def _begin(
    target: Path, key_file: Path, choice: FolderChoice, size: int | None, listing: Listing
) -> tuple[ClientKey, FolderManifest]:
    """Return the key, and a manifest with what was done before.

    Raises UsageError where the target holds anything but the same folder, interrupted.
    """
    before = None
    if not is_empty(target):
        if not (target / MANIFEST).is_file():
            raise UsageError(
                f"{target} is not empty and not an encrypted folder",
                fix="pass a new or empty folder",
            )
        before = read_manifest(target)
    key = key_files.load_or_create(key_file) if before is None else key_files.load(key_file)
    manifest = FolderManifest(
        cipher=choice.cipher.name,
        parameters=choice.parameters.model_dump(mode="json"),
        key_policy=choice.policy,
        key_fingerprint=key.fingerprint,
        insecure=[text for text in (choice.cipher.traits.insecure, key.insecure) if text],
        size=size,
        images=len(listing.images),
    )
    if before is not None:
        before.check(key, target)
        _check_same(before, manifest, listing, target)
        manifest = manifest.model_copy(update={"folder": before.folder, "files": before.files})
    return key, manifest


def _check_same(
    before: FolderManifest, now: FolderManifest, listing: Listing, target: Path
) -> None:
    difference = before.differs_from(now)
    gone = {entry.source for entry in before.files} - set(listing.images)
    if gone:
        difference = f"it contains {sorted(gone)[0]!r}, which the folder to encrypt does not"
    if difference:
        raise UsageError(
            f"{target} holds another encrypted folder: {difference}",
            fix="pass a new folder, or repeat the command it was made with",
        )


def _notes(manifest: FolderManifest, listing: Listing) -> list[str]:
    notes = [f"insecure: {reason}" for reason in manifest.insecure]
    if listing.others:
        some = ", ".join(listing.others[:3]) + (", ..." if len(listing.others) > 3 else "")
        notes.append(f"skipped files that are not images: {len(listing.others)} ({some})")
    notes.append("names of files and folders, and image sizes, are not hidden")
    return notes

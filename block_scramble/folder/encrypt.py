"""Encrypts a folder of images for sharing; the same call again resumes an interrupted one.

Every name is checked and every image decoded before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from he_compare.block_scramble.folder.image_files import (
    SUFFIX_OF,
    Listing,
    check_names,
    check_size,
    counted,
    list_files,
    read_plain,
    stems_of,
)
from he_compare.block_scramble.folder.inspected import checked_shapes, described_others
from he_compare.block_scramble.folder.manifest import (
    MANIFEST,
    PADDING,
    FileEntry,
    FolderManifest,
    read_manifest,
)
from he_compare.block_scramble.folder.places import (
    alone_in,
    check_apart,
    check_key_outside,
    check_writable,
    existing_folder,
    is_empty,
)
from he_compare.block_scramble.folder.sealing import FolderChoice, FolderCipher
from he_compare.block_scramble.folder.work import EncryptFile, FolderOutcome, work_off
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Progress
from he_compare.common.datasets.reading.class_folders import debris_note
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.file_names import shown_name
from he_compare.common.datasets.reading.picture_survey import survey_pictures
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
) -> FolderOutcome:
    """Encrypt every image below ``source`` into ``target``; return what to tell the user.

    ``options``: of the cipher, and ``key_policy``. The key file is made if there is none. ``size``:
    squash images to squares first. Raises UsageError, DataError or IntegrityError naming the file.
    """
    check_size(size)
    choice = FolderChoice(cipher, options)
    listing = _listed(source)
    stems = stems_of(listing.images)
    check_apart(source, target)
    check_key_outside(key_file, target)
    check_writable(target)
    survey = survey_pictures(source, listing.images)
    shapes = checked_shapes(source, listing.images, size, survey.depth, progress)
    for name, (height, width, _) in shapes.items():
        choice.check_size(height, width, shown_name(name))
    order = sorted(listing.images, key=lambda name: (shapes[name], name))
    # A cipher that cannot be used is refused here, under a key that nobody keeps.
    first = read_plain(source / order[0], order[0], size, survey.depth)
    FolderCipher(choice, ClientKey.generate()).encrypt(first)
    names = [stems[name] + SUFFIX_OF[choice.ciphertext] for name in order]
    with alone_in(target, [*names, MANIFEST]):
        key, manifest = _begin(target, key_file, choice, size, listing)
        known = {entry.source: entry for entry in manifest.files}
        used = FolderCipher(choice, key)
        work = EncryptFile(source, target, size, survey.depth, shapes, used, stems, known)
        files: dict[str, FileEntry] = dict(known)

        def save() -> None:
            manifest.model_copy(update={"files": list(files.values())}).sealed(key).write(target)

        kept = work_off("encrypting images", order, work, files, save, progress)
    kept_note = f", {kept} already done" if kept else ""
    notes = [*survey.notes(), *_padding_notes(choice, files.values()), *_notes(manifest, source)]
    return FolderOutcome(
        f"{counted(len(order) - kept)} encrypted{kept_note} with {choice.cipher.name} "
        f"({choice.policy.value}) under key {key.fingerprint}: {target}",
        notes=tuple(notes),
        left_out=(*described_others(source, listing.others), *_come_since(source, listing)),
    )


def _listed(source: Path) -> Listing:
    """Return the files of the folder to encrypt. Raises UsageError or DataError."""
    listing = list_files(existing_folder(source), SUFFIXES)
    if not listing.images:
        raise DataError(f"{source} has no {', '.join(sorted(SUFFIXES))} images", fix="add images")
    check_names(listing.images)
    return listing


def _come_since(source: Path, listing: Listing) -> list[str]:
    """Return the images that came while the others were encrypted, each with a remark."""
    came = sorted(set(list_files(source, SUFFIXES).images) - set(listing.images))
    return [f"{shown_name(name)}: came while the folder was read, run this again" for name in came]


def _padding_notes(choice: FolderChoice, files: Iterable[FileEntry]) -> list[str]:
    """Say how many images were extended to whole blocks, so that ciphertexts are larger."""
    padded = sum(choice.ciphertext_shape(entry.shape) != entry.shape for entry in files)
    if not padded:
        return []
    return [
        f"{counted(padded)} padded, blocks have {choice.block} pixels: {PADDING}; "
        "decryption removes the padding"
    ]


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
        difference = (
            f"it contains {shown_name(sorted(gone)[0])!r}, which the folder to encrypt does not"
        )
    if difference:
        raise UsageError(
            f"{target} holds another encrypted folder: {difference}",
            fix="pass a new folder, or repeat the command it was made with",
        )


def _notes(manifest: FolderManifest, source: Path) -> list[str]:
    notes = [f"insecure: {reason}" for reason in manifest.insecure]
    notes.extend(filter(None, [debris_note(source)]))
    notes.append("names of files and folders, and image sizes, are not hidden")
    return notes

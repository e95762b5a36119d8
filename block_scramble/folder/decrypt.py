"""Decrypts a folder that was encrypted for sharing; the same call again resumes an interrupted one.

The manifest has to hold under the key and every ciphertext to be the one it names, before a pixel
is trusted.
"""

from __future__ import annotations

from pathlib import Path

from he_compare.block_scramble.folder.image_files import (
    CIPHERTEXT_SUFFIXES,
    counted,
    list_files,
)
from he_compare.block_scramble.folder.manifest import (
    RESTORED,
    FolderManifest,
    RestoredFile,
    RestoredFolder,
    read_manifest,
    read_restored,
)
from he_compare.block_scramble.folder.places import alone_in, check_apart, existing_folder, is_empty
from he_compare.block_scramble.folder.sealing import POLICY_OPTION, FolderChoice, FolderCipher
from he_compare.block_scramble.folder.work import (
    DecryptFile,
    FolderOutcome,
    restored_name,
    work_off,
)
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Progress
from he_compare.common.errors import IntegrityError, UsageError


def decrypt_folder(
    source: Path, target: Path, *, key_file: Path, progress: Progress
) -> FolderOutcome:
    """Decrypt to PNG files of the same names and pixels; return what to tell the user.

    Raises UsageError on another key, IntegrityError naming what was altered, added or is missing.
    """
    manifest = read_manifest(existing_folder(source))
    key = _matching_key(manifest, key_file, source)
    manifest.check(key, source)
    _refuse_foreign(source, manifest)
    check_apart(source, target)
    options = manifest.parameters | {POLICY_OPTION: manifest.key_policy.value}
    choice = FolderChoice(manifest.cipher, options)
    entries = sorted(manifest.files, key=lambda entry: (entry.shape, entry.source))
    with alone_in(target, [*(restored_name(one) for one in entries), RESTORED]):
        known = _done_before(target, manifest)
        work = DecryptFile(source, target, FolderCipher(choice, key), known)
        files: dict[str, RestoredFile] = dict(known)

        def save() -> None:
            RestoredFolder(folder=manifest.folder, files=files).write(target)

        kept = work_off("decrypting images", entries, work, files, save, progress)
    kept_note = f", {kept} already done" if kept else ""
    missing = manifest.images - len(entries)
    notes = []
    if missing:
        notes.append(
            f"{missing:,} of {manifest.images:,} images are missing: encryption was interrupted"
        )
    return FolderOutcome(
        f"{counted(len(entries) - kept)} decrypted{kept_note} with {manifest.cipher} "
        f"under key {key.fingerprint}: {target}",
        notes=tuple(notes),
        missing=missing,
    )


def _matching_key(manifest: FolderManifest, key_file: Path, source: Path) -> ClientKey:
    """Load the key file; where it was rotated since, name the retired one. Raises UsageError."""
    key = key_files.load(key_file)
    retired = key_files.retired_path(key_file, manifest.key_fingerprint)
    if key.fingerprint != manifest.key_fingerprint and retired.is_file():
        raise UsageError(
            f"{source} was encrypted under the key {manifest.key_fingerprint}, "
            f"before {key_file} was rotated",
            fix=f"pass --key {retired}",
        )
    return key


def _refuse_foreign(source: Path, manifest: FolderManifest) -> None:
    """Raise IntegrityError where there are ciphertexts that the manifest does not name."""
    named = {entry.ciphertext for entry in manifest.files}
    foreign = [n for n in list_files(source, CIPHERTEXT_SUFFIXES).images if n not in named]
    if foreign:
        raise IntegrityError(
            f"{source} has {len(foreign)} files that its manifest does not name, "
            f"for instance {foreign[0]!r}",
            fix="move them away, or finish an interrupted `compare encrypt` first",
        )


def _done_before(target: Path, manifest: FolderManifest) -> dict[str, RestoredFile]:
    """Return what an earlier call decrypted. Raises UsageError on a folder of anything else.

    Notes that do not read are made again, where there is nothing but what this call writes.
    """
    if is_empty(target):
        return {}
    before = read_restored(target)
    if before is not None and before.folder == manifest.folder:
        return before.files
    ours = {RESTORED, *map(restored_name, manifest.files)}
    if before is None and (target / RESTORED).is_file():
        found = list_files(target, frozenset())
        if ours.issuperset(found.others):
            return {}
    raise UsageError(
        f"{target} is not empty and holds something else", fix="pass a new or empty folder"
    )

"""The client key on disk: small versioned JSON that only its owner can read.

The file appears whole and with mode 0600 or not at all, and an existing one is never overwritten.
A file that others may read or own is refused like a damaged one: its key has to be taken as known.
Rotation puts a new key in the place of the old one, which is kept beside it under its fingerprint.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.block_scramble.keys.client_key import KEY_BITS, KEY_BYTES, ClientKey
from he_compare.common.errors import UsageError
from he_compare.common.exclusive import HeldElsewhereError, LockFile, LockUnusableError
from he_compare.common.files import is_stale, replacing, sweep, sync_folder, write_new

FORMAT = "he-compare client key"
VERSION = 1
MODE = 0o600
MAX_FILE_BYTES = 4096
# Fingerprints of retired keys that a key file remembers.
MAX_PREVIOUS = 64
SEEDED_PREFIX = "seeded:"
CLIENT = "client"


@dataclass(frozen=True)
class KeyFileInfo:
    """What may be shown of a key file. ``previous``: fingerprints of retired keys, oldest first."""

    fingerprint: str
    generation: int
    previous: tuple[str, ...]
    created: str
    note: str
    insecure: str


def obtain_key(choice: str, key_file: Path) -> ClientKey:
    """Return the key a pipeline asks for: ``client`` (the key file) or ``seeded:N`` (tests).

    The key file is made at first use. Raises UsageError on any other choice or a bad file.
    """
    if choice == CLIENT:
        return load_or_create(key_file)
    return ClientKey.from_seed(seed_of(choice))


def seed_of(choice: str) -> int:
    """Return N of ``seeded:N``. Raises UsageError on anything else."""
    digits = choice.removeprefix(SEEDED_PREFIX)
    if choice.startswith(SEEDED_PREFIX) and digits.isascii() and digits.isdigit():
        return int(digits)
    raise UsageError(
        f"key {choice!r} is neither 'client' nor 'seeded:N'",
        fix="pass key=client, or key=seeded:7 for a reproducible test",
    )


def load_or_create(path: Path) -> ClientKey:
    """Read the key file, or make it with a fresh key where there is none."""
    _sweep_drafts(path)
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            return create(path)
    return load(path)


def create(path: Path, note: str = "") -> ClientKey:
    """Make a new key file and return its key. Raises FileExistsError, or UsageError."""
    key = ClientKey.generate()
    save(path, key, note)
    return key


def save(path: Path, key: ClientKey, note: str = "") -> None:
    """Write a key to a new file of mode 0600.

    Raises FileExistsError where there is one, UsageError where the folder cannot be written.
    """
    try:
        write_new(path, _content(key, note), mode=MODE)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            raise
        raise _not_written(path, error) from None


def rotate(path: Path, note: str = "") -> ClientKey:
    """Put a new key in the place of the one in ``path`` and return it.

    The old file is kept as ``NAME.FINGERPRINT``, so that what was encrypted under it can still be
    read; the new one names its fingerprint. A rotation that was killed is finished by the next one.
    Raises UsageError where the file is no key file, or cannot be written, or is being rotated by
    somebody else.
    """
    # Behind a link lies the key that others use: it is the one to be replaced.
    path = path.resolve()
    lock = LockFile(path.with_name(f".{path.name}.lock"))
    try:
        describe(path)
        lock.take(b"")
    except HeldElsewhereError:
        raise UsageError(
            f"{path} is being rotated by another process", fix="try again when it is done"
        ) from None
    except LockUnusableError as error:
        raise error.told("keep the key in another folder") from None
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        return _rotated(path, note)
    finally:
        lock.release()


def _rotated(path: Path, note: str) -> ClientKey:
    _sweep_drafts(path)
    old = describe(path)
    retired = retired_path(path, old.fingerprint)
    key = ClientKey.generate()
    content = _content(key, note, old.generation + 1, (*old.previous, old.fingerprint))
    try:
        with replacing(path, content, mode=MODE):
            # One file under both names: a rotation was killed before the new key took its place.
            if not (retired.exists() and retired.samefile(path)):
                os.link(path, retired)
                sync_folder(path.parent)
    except FileExistsError:
        raise UsageError(
            f"{retired} exists already, and is another file than {path}",
            fix="look at both files; move the retired one away to rotate again",
        ) from None
    except OSError as error:
        raise _not_written(path, error) from None
    return key


def _sweep_drafts(path: Path) -> None:
    """Remove new keys that killed processes left beside a key file: nothing was done under them."""
    sweep(path.parent)
    earlier = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    with contextlib.suppress(OSError):
        for left in path.parent.iterdir():
            if earlier.fullmatch(left.name) and is_stale(left):
                left.unlink()


def retired_path(path: Path, fingerprint: str) -> Path:
    """Return where rotation keeps the key of this fingerprint."""
    return path.with_name(f"{path.name}.{fingerprint}")


def _content(
    key: ClientKey, note: str, generation: int = 1, previous: tuple[str, ...] = ()
) -> bytes:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "key": base64.b64encode(key.secret_bytes()).decode(),
        "entropy_bits": key.entropy_bits,
        "insecure": key.insecure,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "note": note,
        "generation": generation,
        "previous": list(previous[-MAX_PREVIOUS:]),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write the key file {path}: {error.strerror}",
        fix="name a writable folder on a local disk",
    )


def load(path: Path) -> ClientKey:
    """Read a key file. Raises UsageError with the reason where it cannot be trusted or parsed."""
    return _parse_key(path, _read(path))


def describe(path: Path) -> KeyFileInfo:
    """Return what may be printed of a key file. Raises UsageError like ``load``."""
    content = _read(path)
    key = _parse_key(path, content)
    generation, previous = content.get("generation", 1), content.get("previous", [])
    if not isinstance(generation, int) or generation < 1:
        raise _bad(path, f"its generation is {generation!r}")
    if not isinstance(previous, list) or not all(isinstance(item, str) for item in previous):
        raise _bad(path, "its previous fingerprints are no list of texts")
    return KeyFileInfo(
        fingerprint=key.fingerprint,
        generation=generation,
        previous=tuple(previous),
        created=str(content.get("created", "")),
        note=str(content.get("note", "")),
        insecure=key.insecure,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            _refuse_exposed(path, os.fstat(stream.fileno()))
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the key file {path}: {error.strerror}",
            fix="name an existing key file of your own",
        ) from None
    return _checked_json(path, data)


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    """Raise UsageError where somebody else may know the key: who owns a file has set its content.

    Root reads any file: in a container, the key file usually belongs to a user outside it.
    """
    if os.name != "posix":
        return
    user = os.geteuid()
    if user not in (0, status.st_uid):
        raise UsageError(
            f"key file {path} belongs to another user (uid {status.st_uid}, you are {user})",
            fix="name a key file of your own, or another file to have a new key made there",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise UsageError(
            f"key file {path} is open to others (mode {mode:04o})",
            fix=f"run `chmod 600 {path}`, and make a new key if others could have read this one",
        )


def _parse_key(path: Path, content: dict[str, Any]) -> ClientKey:
    if content.get("format") != FORMAT:
        raise _bad(path, f"its format is {content.get('format')!r}, not {FORMAT!r}")
    if content.get("version") != VERSION:
        raise _bad(path, f"its version is {content.get('version')!r}, this program reads {VERSION}")
    try:
        secret = base64.b64decode(str(content.get("key", "")), validate=True)
    except binascii.Error:
        raise _bad(path, "its key is no base64") from None
    if len(secret) != KEY_BYTES:
        raise _bad(path, f"its key has {len(secret)} bytes instead of {KEY_BYTES}")
    entropy, insecure = content.get("entropy_bits"), content.get("insecure")
    if not isinstance(entropy, int | float) or not 0 <= entropy <= KEY_BITS:
        raise _bad(path, f"its entropy_bits are {entropy!r}")
    if not isinstance(insecure, str):
        raise _bad(path, f"its insecure flag is {insecure!r}")
    return ClientKey(secret, entropy_bits=float(entropy), insecure=insecure)


def _checked_json(path: Path, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_FILE_BYTES:
        raise _bad(path, f"it is longer than {MAX_FILE_BYTES} bytes")
    try:
        content = json.loads(data)
    except ValueError:
        raise _bad(path, "it is truncated or no JSON") from None
    if not isinstance(content, dict):
        raise _bad(path, "it is no JSON object")
    return content


def _bad(path: Path, reason: str) -> UsageError:
    """The error of a damaged file; ``reason`` never quotes key material."""
    return UsageError(
        f"{path} is no usable key file: {reason}",
        fix="restore it from a backup, or name another file to have a new key made there",
    )

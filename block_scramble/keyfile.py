"""The client key on disk: small versioned JSON that only its owner can read.

The file appears whole and with mode 0600 or not at all, and an existing one is never overwritten.
A file that others may read is refused like a damaged one: its key has to be taken as known.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from block_scramble.keys import KEY_BITS, KEY_BYTES, ClientKey
from common.errors import UsageError

FORMAT = "he-compare client key"
VERSION = 1
MODE = 0o600
MAX_FILE_BYTES = 4096
SEEDED_PREFIX = "seeded:"
CLIENT = "client"


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
    content = {
        "format": FORMAT,
        "version": VERSION,
        "key": base64.b64encode(key.secret_bytes()).decode(),
        "entropy_bits": key.entropy_bits,
        "insecure": key.insecure,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "note": note,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_exclusively(path, (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            raise
        raise UsageError(
            f"cannot write the key file {path}: {error.strerror}",
            fix="name a writable folder on a local disk",
        ) from None


def _write_exclusively(path: Path, data: bytes) -> None:
    """Write beside ``path``, then link into place: a hard link never replaces a file."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()


def load(path: Path) -> ClientKey:
    """Read a key file. Raises UsageError with the reason where it cannot be trusted or parsed."""
    try:
        with path.open("rb") as stream:
            _refuse_exposed(path, os.fstat(stream.fileno()))
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the key file {path}: {error.strerror}",
            fix="name an existing key file of your own",
        ) from None
    return _parse(path, data)


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if os.name == "posix" and mode & 0o077:
        raise UsageError(
            f"key file {path} is open to others (mode {mode:04o})",
            fix=f"run `chmod 600 {path}`, and make a new key if others could have read this one",
        )


def _parse(path: Path, data: bytes) -> ClientKey:
    content = _read_json(path, data)
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


def _read_json(path: Path, data: bytes) -> dict[str, Any]:
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

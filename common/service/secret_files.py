"""Files that a command is pointed to and others may not read: keys of certificates, tokens."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from he_compare.common.errors import UsageError

OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
PRIVATE_MODE = 0o600
SHORTEST_TOKEN, LONGEST_TOKEN = 32, 512
# 32 random digits of base 16, the least that is taken, have fewer with a chance of 1 in 10 million.
FEWEST_CHARACTERS = 8
TOKEN_BYTES = 32


def require_readable(option: str, path: Path, *, fix: str) -> None:
    """Raise UsageError, naming option and file, where there is no file that can be read."""
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise UsageError(f"{option} {path} {what}", fix=fix)
    if not os.access(path, os.R_OK):
        raise UsageError(f"{option} {path} cannot be read", fix="give yourself the right to read")


def require_private(option: str, path: Path, *, risk: str) -> None:
    """Raise UsageError where others may read a file, or it is another user's; POSIX only.

    ``risk``: what who has it can do.
    """
    if os.name != "posix":
        return
    facts = path.stat()
    if facts.st_mode & OPEN_TO_OTHERS:
        raise UsageError(
            f"{option} {path} is open to other users of this machine (mode "
            f"{stat.S_IMODE(facts.st_mode):03o}): who has it can {risk}",
            fix=f"chmod 600 {path}",
        )
    if facts.st_uid not in (0, os.geteuid()):
        raise UsageError(
            f"{option} {path} belongs to another user, who can {risk}",
            fix="make one of your own",
        )


def make_token_file(path: Path) -> None:
    """Write a new random token into a new file that nobody else can read. Raises UsageError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    except FileExistsError:
        raise UsageError(
            f"{path} exists; a token is never overwritten",
            fix="name a new file, or delete it first",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", fix="name a file in a folder of yours"
        ) from None
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", fix="make room on that disk"
        ) from None


def read_token_file(path: Path, option: str = "--token-file") -> str:
    """Return the token of a file that nobody else can read. Raises UsageError."""
    fix = "make one with `compare host --make-token FILE`"
    require_readable(option, path, fix=fix)
    require_private(option, path, risk="use the host, and see who else does")
    try:
        with path.open("rb") as stream:
            text = stream.read(2 * LONGEST_TOKEN).decode("ascii").strip()
    except (OSError, ValueError):
        raise UsageError(f"{option} {path} holds no line of text", fix=fix) from None
    if not text.isprintable() or " " in text:
        raise UsageError(f"{option} {path} holds more than one word", fix=fix)
    if not SHORTEST_TOKEN <= len(text) <= LONGEST_TOKEN:
        raise UsageError(
            f"{option} {path} holds a token of {len(text)} characters, not {SHORTEST_TOKEN} to "
            f"{LONGEST_TOKEN}",
            fix=fix,
        )
    if (different := len(set(text))) < FEWEST_CHARACTERS:
        raise UsageError(
            f"{option} {path} holds a token of {different} different characters, which can be "
            f"guessed: {FEWEST_CHARACTERS} are the fewest",
            fix=fix,
        )
    return text

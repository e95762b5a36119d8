"""Records as lines of a file: appended, each with its digest, and read only where that holds.

A line is the record as JSON with one more field at its end, ``line_sha256``: the SHA-256 of the
JSON without it. Lines of earlier versions have none. They are read without one in files that such a
version began, and only before the first line that has one: a later line without has lost its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from he_compare.common.errors import IntegrityError
from he_compare.common.files import append_lasting, naming, write_atomic
from he_compare.common.run.records import AttackOutcome, RunRecord

LineT = TypeVar("LineT", RunRecord, AttackOutcome)

FIELD = "line_sha256"
_OPENING, _CLOSING = f',"{FIELD}":"'.encode(), b'"}'
_SEAL = len(_OPENING) + 64 + len(_CLOSING)
_REDO = "run the command that made this folder again: what the line held is done again"
LOST = "has lost its digest"


def line_of(record: RunRecord | AttackOutcome) -> bytes:
    """Return a record as a line with its digest, the line break included."""
    return sealed_line(record.model_dump_json(exclude={FIELD}).encode())


def sealed_line(text: bytes) -> bytes:
    """Return a JSON object, no white space at its end, as a line with its digest."""
    digest = hashlib.sha256(text).hexdigest().encode()
    return text[:-1] + _OPENING + digest + _CLOSING + b"\n"


def append_line(path: Path, record: RunRecord | AttackOutcome) -> None:
    """Append one record to a file and force it to the disk. An OSError names the file."""
    append_lasting(path, line_of(record))


def read_record_lines(
    path: Path, model: type[LineT], what: str, *, sealed: bool = False
) -> list[LineT]:
    """Read all whole records of a file, later ones of one identity replacing earlier ones.

    A torn last line is passed over (``set_aside`` takes it out). ``what``: is done again for a line
    that is deleted. ``sealed``: all lines have digests, since no earlier version wrote any. Raises
    IntegrityError on any other line that does not hold.
    """
    latest: dict[str, LineT] = {}
    lines = _content(path).split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = _unsealed(line)
            if text is None and sealed:
                raise IntegrityError(LOST, fix=_REDO)
            sealed = text is not None
            record = _parsed(line if text is None else text, model)
        except IntegrityError as error:
            if number == len(lines):
                break
            raise IntegrityError(
                f"line {number} of {path.name} in {path.parent} {error.problem}",
                fix=error.fix or f"restore the file, or delete that line to have {what} run again",
            ) from None
        latest.pop(record.identity, None)
        latest[record.identity] = record
    return list(latest.values())


def set_aside(path: Path, *, sealed: bool = False) -> list[str]:
    """Move lines that are torn or damaged into ``<stem>.torn``; return a line for each.

    What can be damaged and what can be of another version differs: a line whose digest holds stays,
    whatever it says, and so does one that is JSON and never had a digest. Empty lines go.
    ``sealed``: as for ``read_record_lines``.
    """
    data = _content(path)
    *whole, tail = data.split(b"\n")
    told: list[str] = []
    kept: list[bytes] = []
    taken: list[bytes] = []
    for number, line in enumerate(whole, start=1):
        why = _damage(line, sealed=sealed) if line.strip() else ""
        if why:
            told.append(f"line {number} of {path.name} {why}")
            taken.append(line)
        elif line.strip():
            sealed = sealed or _is_whole(line)
            kept.append(line)
    if tail and _is_whole(tail):  # all of a record, but for the line break
        kept.append(tail)
    elif tail:
        told.append(f"the last line of {path.name} is not whole")
        taken.append(tail)
    if taken:
        append_lasting(path.with_suffix(".torn"), b"".join(line + b"\n" for line in taken))
    if data != (rest := b"".join(line + b"\n" for line in kept)):
        write_atomic(path, rest)
    return told


@dataclass(frozen=True)
class LinesFound:
    """What is known of the bytes of a file of lines. ``digest``: of the file as it is.

    ``sealed``: every line has a digest that holds. ``begins_as_known``: it begins with the bytes
    that an earlier digest is of, and what follows is whole lines; ``grew_sealed``: and all of these
    have digests.
    """

    digest: str
    sealed: bool
    begins_as_known: bool
    grew_sealed: bool


def lines_found(path: Path, known: str) -> LinesFound:
    """Compare a file of lines with the digest that it had once, '' for none, and with its own."""
    data = _content(path)
    *lines, tail = data.split(b"\n")
    hasher = hashlib.sha256()
    since, sealed = (0 if known == hasher.hexdigest() else -1), []
    for number, line in enumerate(lines, start=1):
        hasher.update(line + b"\n")
        sealed.append(_is_whole(line))
        if known and hasher.hexdigest() == known:
            since = number
    if tail:
        hasher.update(tail)
        sealed.append(False)
    digest = hasher.hexdigest()
    begins = since >= 0 or digest == known
    grew = begins and (digest == known or all(sealed[since:]))
    return LinesFound(digest, all(sealed), begins, grew)


def begins_sealed(path: Path) -> bool:
    """Say whether the first line of a file has a digest; True where there is no line."""
    first = next((line for line in _content(path).split(b"\n") if line.strip()), None)
    return first is None or _is_whole(first)


def _content(path: Path) -> bytes:
    with naming(path):
        return path.read_bytes() if path.exists() else b""


def _damage(line: bytes, *, sealed: bool) -> str:
    """Say what is wrong with the bytes of a line, whatever its version; '' for nothing.

    ``sealed``: it was written with a digest.
    """
    try:
        if _unsealed(line) is not None:
            return ""
    except IntegrityError as error:
        return error.problem
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "is no JSON"
    # A digest that is not at the end, or under another name, was edited itself.
    text, digest = line[:-_SEAL] + b"}", line[-64 - len(_CLOSING) : -len(_CLOSING)]
    renamed = hashlib.sha256(text).hexdigest().encode() == digest
    edited = renamed or (isinstance(found, dict) and FIELD in found)
    if edited:
        return "has a damaged digest"
    return LOST if sealed else ""


def _is_whole(line: bytes) -> bool:
    try:
        return _unsealed(line) is not None
    except IntegrityError:
        return False


def _unsealed(line: bytes) -> bytes | None:
    """Return the JSON of a line that has a digest, None for one without. Raises IntegrityError."""
    text, opening, rest = line.rpartition(_OPENING)
    if not opening or len(rest) != 64 + len(_CLOSING) or not rest.endswith(_CLOSING):
        return None
    text += b"}"
    if hashlib.sha256(text).hexdigest().encode() != rest[: -len(_CLOSING)]:
        raise IntegrityError(
            "is damaged: its digest does not hold",
            fix=_REDO,
        )
    return text


def _parsed(text: bytes, model: type[LineT]) -> LineT:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise IntegrityError(f"is not valid: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Say where a document does not fit its schema first, and how."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole document"
    return f"{where}: {first['msg']}"

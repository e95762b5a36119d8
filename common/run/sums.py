"""SHA256SUMS of a run folder: every file of it but this one, in the format of ``sha256sum``.

The first line is a comment that says that nothing is left out; without it, the sums are of an
earlier version, which covered less. Comments name the files of which no digest is known: bytes that
nobody can vouch for get none. Sums find accidents and careless edits, not somebody who can write
them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from he_compare.common.errors import IntegrityError
from he_compare.common.files import write_atomic
from he_compare.common.identity import file_digest
from he_compare.common.run.unlisted import unlisted_entries

SUMS = "SHA256SUMS"
COMPLETE = b"# he-compare: every file of this folder but this one"
NOT_COVERED = b"# not covered, no digest of it is known: "
MOST_SUMS_BYTES = 1 << 26
# What earlier versions covered: these files, and all below these folders.
EARLIER_FILES = (
    *("manifest.json", "copies.csv", "records.jsonl", "attacks.jsonl"),
    *("scores.json", "pictures.npz"),
)
EARLIER_FOLDERS = ("attacks/", "tape/", "predictions/")
LEFT = "was left by a command that was killed: run that command again, or remove the file"
LINES = ("records.jsonl", "attacks.jsonl")
_NEVER_ENDED = "the command never ended, and its results have no sums yet: run it again"
_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  ([^\n]+)")


@dataclass(frozen=True)
class Sums:
    """``digests``: by name in the folder. ``complete``: nothing is left out.

    ``uncovered``: names of files that were there and of which no digest is known.
    """

    digests: dict[str, str]
    complete: bool
    uncovered: frozenset[str] = field(default=frozenset())

    def as_bytes(self) -> bytes:
        """Return the file."""
        lines = [COMPLETE] if self.complete else []
        lines += [NOT_COVERED + _spelled(name) for name in sorted(self.uncovered)]
        lines += [_line(name, self.digests[name]) for name in sorted(self.digests)]
        return b"".join(line + b"\n" for line in lines)


@dataclass(frozen=True)
class SumsFound:
    """What sums say of a folder. ``notes``: what is no problem, and was not checked."""

    problems: list[str]
    notes: list[str]


def write_sums(folder: Path, sums: Sums) -> None:
    """Write the sums of a folder."""
    write_atomic(folder / SUMS, sums.as_bytes())


def read_sums(folder: Path) -> Sums:
    """Read the sums of a folder. Raises IntegrityError that names the line."""
    path = folder / SUMS
    try:
        if path.stat().st_size > MOST_SUMS_BYTES:
            raise IntegrityError(f"{SUMS} has more than {MOST_SUMS_BYTES:,} bytes")
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise IntegrityError(f"{SUMS} cannot be read: {error.strerror or error}") from None
    complete = bool(lines) and lines[0] == COMPLETE
    digests: dict[str, str] = {}
    uncovered: set[str] = set()
    for number, line in enumerate(lines[complete:], start=1 + complete):
        name, digest = _parsed(line)
        if not name or name in digests or name in uncovered:
            raise IntegrityError(f"{SUMS}: line {number} is not valid, or there twice")
        if digest:
            digests[name] = digest
        else:
            uncovered.add(name)
    if rest:
        raise IntegrityError(f"{SUMS}: its last line is cut off")
    return Sums(digests, complete, frozenset(uncovered))


def check_sums(folder: Path, *, must_be_complete: bool) -> SumsFound:
    """Compare a folder with its sums: a line for each file that changed, is missing or was added.

    ``must_be_complete``: the run was begun by a version whose sums leave nothing out.
    """
    if not (folder / SUMS).is_file():
        return SumsFound([f"{SUMS} is missing"], [])
    try:
        sums = read_sums(folder)
    except IntegrityError as error:
        return SumsFound([error.problem], [])
    problems = [_NEVER_ENDED] if sums.complete and _never_ended(folder, sums) else []
    problems += [line for name in sorted(sums.digests) for line in _changed(folder, name, sums)]
    problems += [
        f"{printable(name)} is missing"
        for name in sorted(sums.uncovered)
        if not (folder / name).is_file()
    ]
    if not sums.complete and must_be_complete:
        problems.append(f"{SUMS} lacks its first line, which says that nothing is left out")
    found = unlisted_entries(folder, {SUMS, *sums.digests, *sums.uncovered})
    strict = sums.complete or must_be_complete
    passed = [] if strict else [name for name in found.added if not is_of_earlier(name)]
    told = [name for name in found.added if strict or is_of_earlier(name)]
    problems += [f"{printable(name)} was added" for name in told]
    problems += [f"{printable(name)} {LEFT}" for name in found.left]
    notes = list(found.notes)
    notes += [_not_checked(passed)] if passed else []
    notes += [_no_digest(sums.uncovered)] if sums.uncovered else []
    return SumsFound(problems, notes)


def printable(name: str) -> str:
    """Return a name of a file as text that can be printed."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def is_of_earlier(name: str) -> bool:
    """Say whether sums of earlier versions covered a file of this name."""
    if name.startswith("predictions/"):
        return name.endswith(".npz")
    return name in EARLIER_FILES or name.startswith(EARLIER_FOLDERS)


def _never_ended(folder: Path, sums: Sums) -> bool:
    """Say whether there are results and none of them has a sum: sums are written at the end."""
    there = [name for name in LINES if (folder / name).is_file()]
    return bool(there) and not {*sums.digests, *sums.uncovered} & set(there)


def _changed(folder: Path, name: str, sums: Sums) -> Iterator[str]:
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            yield f"{printable(name)} lies outside the run folder"
        elif path.is_symlink() or not path.is_file():
            yield f"{printable(name)} is missing"
        elif file_digest(path) != sums.digests[name]:
            yield f"{printable(name)} was changed"
    except (OSError, ValueError, RuntimeError) as error:
        yield f"{printable(name)} cannot be read: {getattr(error, 'strerror', None) or error}"


def _not_checked(names: list[str]) -> str:
    return (
        f"{SUMS} was written by an earlier version, which did not cover every file: "
        f"{_counted(names)} not checked ({_tops(names)})"
    )


def _no_digest(names: frozenset[str]) -> str:
    return (
        f"{_counted(names)} not covered ({_tops(names)}): no digest was known when {SUMS} was "
        "written, so that nobody can say whether they are what was written"
    )


def _counted(names: list[str] | frozenset[str]) -> str:
    count = len(names)
    return f"{count:,} {'were' if count > 1 else 'was'}"


def _tops(names: list[str] | frozenset[str]) -> str:
    parts = (name.partition("/") for name in names)
    tops = sorted({f"{first}/" if rest else first for first, _, rest in parts})
    return printable(", ".join(tops))


def _line(name: str, digest: str) -> bytes:
    spelled = _spelled(name)
    escaped = spelled.startswith(b"\\")
    return (b"\\" if escaped else b"") + digest.encode() + b"  " + spelled[escaped:]


def _spelled(name: str) -> bytes:
    """Return a name on one line; one that had to be escaped begins with a backslash."""
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != raw else b"") + escaped


def _parsed(line: bytes) -> tuple[str, str]:
    """Return name and digest of a line; '' for a digest that is not known, for both if invalid."""
    if line.startswith(NOT_COVERED):
        raw = line.removeprefix(NOT_COVERED)
        escaped = raw.startswith(b"\\")
        return _name(raw[escaped:], escaped=escaped), ""
    found = _LINE.fullmatch(line)
    if found is None:
        return "", ""
    return _name(found[3], escaped=bool(found[1])), found[2].decode()


def _name(raw: bytes, *, escaped: bool) -> str:
    if escaped:
        kinds = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
        raw = re.sub(rb"\\[\\nr]", lambda found: kinds[found[0]], raw)
    return os.fsdecode(raw)

"""SHA256SUMS of a run folder: every file of it but this one, in the format of ``sha256sum``.

The first line is a comment that says that nothing is left out; without it, the sums are of an
earlier version, which covered less. They find accidents and careless edits, not somebody who can
write them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.errors import IntegrityError
from he_compare.common.files import TEMPORARY, write_atomic
from he_compare.common.identity import file_digest

SUMS = "SHA256SUMS"
COMPLETE = b"# he-compare: every file of this folder but this one"
MOST_SUMS_BYTES = 1 << 26
# What earlier versions covered: these files, and all below these folders.
EARLIER_FILES = (
    *("manifest.json", "copies.csv", "records.jsonl", "attacks.jsonl"),
    *("scores.json", "pictures.npz"),
)
EARLIER_FOLDERS = ("attacks/", "tape/", "predictions/")
_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  ([^\n]+)")


@dataclass(frozen=True)
class Sums:
    """``digests``: by name in the folder. ``complete``: nothing is left out."""

    digests: dict[str, str]
    complete: bool

    def as_bytes(self) -> bytes:
        """Return the file."""
        lines = [COMPLETE] if self.complete else []
        lines += [_line(name, self.digests[name]) for name in sorted(self.digests)]
        return b"".join(line + b"\n" for line in lines)


@dataclass(frozen=True)
class SumsFound:
    """What sums say of a folder. ``notes``: what is no problem, and was not checked."""

    problems: list[str]
    notes: list[str]


def write_sums(folder: Path, known: Mapping[str, str] | None = None) -> None:
    """Write the sums of every file of a folder.

    ``known``: only of these, with the SHA-256 that they ought to have, '' where to compute.
    """
    wanted = dict.fromkeys(_files(folder), "") if known is None else known
    digests = {name: digest or file_digest(folder / name) for name, digest in wanted.items()}
    write_atomic(folder / SUMS, Sums(digests, complete=True).as_bytes())


def add_to_sums(folder: Path, names: Iterable[str]) -> None:
    """Write the sums of files that were written just now; those of others stay as they are.

    A file of these that is not there any more is left out. Where a folder has no sums, all of its
    files get one. Raises IntegrityError where the sums do not parse: nothing is written.
    """
    if not (folder / SUMS).is_file():
        write_sums(folder)
        return
    known = read_sums(folder)
    digests = dict(known.digests)
    for name in names:
        digests.pop(name, None)
        if (folder / name).is_file():
            digests[name] = file_digest(folder / name)
    write_atomic(folder / SUMS, Sums(digests, known.complete).as_bytes())


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
    for number, line in enumerate(lines[complete:], start=1 + complete):
        found = _LINE.fullmatch(line)
        name = _name(found[3], escaped=bool(found[1])) if found else ""
        if found is None or name in digests:
            raise IntegrityError(f"{SUMS}: line {number} is not valid, or there twice")
        digests[name] = found[2].decode()
    if rest:
        raise IntegrityError(f"{SUMS}: its last line is cut off")
    return Sums(digests, complete)


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
    problems = [line for name in sorted(sums.digests) for line in _changed(folder, name, sums)]
    added = [name for name in _entries(folder) if name not in sums.digests]
    if not sums.complete and must_be_complete:
        problems.append(f"{SUMS} lacks its first line, which says that nothing is left out")
    passed = (
        [] if sums.complete or must_be_complete else [one for one in added if not _earlier(one)]
    )
    problems += [f"{printable(name)} was added" for name in added if name not in set(passed)]
    return SumsFound(problems, [_not_covered(passed)] if passed else [])


def printable(name: str) -> str:
    """Return a name of a file as text that can be printed."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


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


def _not_covered(names: list[str]) -> str:
    tops = sorted(
        {f"{first}/" if rest else first for first, _, rest in (n.partition("/") for n in names)}
    )
    count = len(names)
    return (
        f"{SUMS} was written by an earlier version, which did not cover every file: {count:,} "
        f"{'were' if count > 1 else 'was'} not checked ({printable(', '.join(tops))})"
    )


def _earlier(name: str) -> bool:
    """Say whether sums of earlier versions covered a file of this name."""
    if name.startswith("predictions/"):
        return name.endswith(".npz")
    return name in EARLIER_FILES or name.startswith(EARLIER_FOLDERS)


def _files(folder: Path) -> list[str]:
    """Return the regular files of a folder that have a sum."""
    return [
        one
        for one in _entries(folder)
        if not (folder / one).is_symlink() and (folder / one).is_file()
    ]


def _entries(folder: Path) -> list[str]:
    """Return the names of all that lies in a folder and is no folder, links included, sorted."""
    found = []
    for here, folders, files in os.walk(folder):
        place = Path(here)
        links = [one for one in folders if (place / one).is_symlink()]
        found += [(place / one).relative_to(folder).as_posix() for one in (*files, *links)]
    return sorted(one for one in found if one != SUMS and not _is_draft(one))


def _is_draft(name: str) -> bool:
    """Say whether a file is under way: nobody's result, and swept where its writer was killed."""
    return bool(TEMPORARY.fullmatch(name.rpartition("/")[2])) or name == ".lock"


def _line(name: str, digest: str) -> bytes:
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != raw else b"") + digest.encode() + b"  " + escaped


def _name(raw: bytes, *, escaped: bool) -> str:
    if escaped:
        kinds = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
        raw = re.sub(rb"\\[\\nr]", lambda found: kinds[found[0]], raw)
    return os.fsdecode(raw)

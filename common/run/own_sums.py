"""The sums of one run folder as a command keeps them: no digest that nobody vouches for.

A digest that is entered is that of bytes which this process wrote itself, or one that was written
when the bytes were: in a record, in the file, in the sums that are there. Of a file that is another
one than such a digest says, the digest stays, and `compare verify` tells it. Of what has none it is
said that it is not covered.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from he_compare.common.errors import IntegrityError
from he_compare.common.identity import file_digest
from he_compare.common.kept import KEPT_SUFFIX, unsealed
from he_compare.common.run.known_files import (
    ATTACKS,
    FIXED,
    RECORDS,
    is_of_a_cell,
    named_digests,
)
from he_compare.common.run.record_lines import lines_found
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.sums import SUMS, Sums, is_of_earlier, read_sums, write_sums
from he_compare.common.run.unlisted import unlisted_entries

KEPT_FOLDER = "artefacts/"
GONE = ""


@dataclass(frozen=True)
class Evidence:
    """What a command knows of a run when it writes the sums anew.

    ``lines_checked``: it went on with the run, so that lines which did not hold were set aside.
    ``begun_earlier``: by a version that did not cover all files.
    """

    records: Iterable[RunRecord]
    outcomes: Iterable[AttackOutcome]
    lines_checked: bool
    begun_earlier: bool


class OwnSums:
    """The sums of a folder, and what this process wrote into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, str] = {}

    def note(self, name: str, data: bytes) -> str:
        """Note that this process wrote a file, or found this content in it; return its SHA-256."""
        self._written[name] = hashlib.sha256(data).hexdigest()
        return self._written[name]

    def note_gone(self, name: str) -> None:
        """Note that this process removed a file."""
        self._written[name] = GONE

    def exist(self) -> bool:
        """Say whether the folder has sums."""
        return (self.folder / SUMS).is_file()

    def damage(self) -> str:
        """Say what is wrong with the sums themselves; '' for nothing, and where there are none."""
        try:
            if self.exist():
                read_sums(self.folder)
        except IntegrityError as error:
            return error.problem
        return ""

    def damage_words(self) -> str:
        """Say so with what is done about it when a run ends; '' for no damage."""
        problem = self.damage()
        return problem and f"{problem}: it is written again, of files that have a digest elsewhere"

    def known(self) -> dict[str, str]:
        """Return the digests that files ought to have, by name, as far as anything tells."""
        before = self._before()
        found = (before.digests if before is not None else {}) | self._written
        return {name: digest for name, digest in found.items() if digest}

    def vouch_for(self, name: str) -> bool:
        """Say whether a file is there and is what a digest says."""
        known = self.known().get(name)
        return known is not None and _digest_of(self.folder / name) == known

    def differ_from(self, name: str) -> bool:
        """Say whether a file is another one than its digest says; not where it has none."""
        known = self.known().get(name)
        return known is not None and _digest_of(self.folder / name) != known

    def enter(self, *, complete: bool = True) -> None:
        """Enter what this process wrote; all else stays. Raises IntegrityError on damaged sums.

        ``complete``: of sums that are made here, whether nothing is left out when the run ends.
        """
        before = read_sums(self.folder) if self.exist() else Sums({}, complete)
        written = {name: digest for name, digest in self._written.items() if digest}
        digests = {n: d for n, d in before.digests.items() if n not in self._written} | written
        uncovered = before.uncovered - self._written.keys()
        write_sums(self.folder, replace(before, digests=digests, uncovered=uncovered))

    def write(self, seen: Evidence) -> None:
        """Write the sums anew, of all files that are the run's own."""
        before = self._before()
        known = before or Sums({}, complete=False)
        named = named_digests(seen.records, seen.outcomes)
        own = dict.fromkeys((*FIXED, *named, *known.digests, *known.uncovered, *self._written))
        own |= dict.fromkeys(self._kept())
        found = {name: self._vouched(name, known, named, seen) for name in own}
        digests = {name: digest for name, digest in found.items() if digest}
        uncovered = {
            name
            for name, digest in found.items()
            if digest is None and (self.folder / name).is_file()
        }
        if seen.begun_earlier and not known.complete:
            # Which of the others were its own is not known either.
            unlisted = unlisted_entries(self.folder, {SUMS, *digests, *uncovered}).added
            uncovered |= {
                name for name in unlisted if not (name.endswith("/") or is_of_earlier(name))
            }
        write_sums(self.folder, Sums(digests, complete=True, uncovered=frozenset(uncovered)))

    def _before(self) -> Sums | None:
        with contextlib.suppress(IntegrityError):
            return read_sums(self.folder) if self.exist() else None
        return None

    def _vouched(
        self, name: str, known: Sums, named: Mapping[str, str], seen: Evidence
    ) -> str | None:
        """Return the digest that a file ought to have, None for one that nobody knows.

        GONE: it is none of the run's, or was removed.
        """
        if name in self._written:
            return self._written[name]
        if recorded := named.get(name):
            return recorded
        before = known.digests.get(name, "")
        if name in (RECORDS, ATTACKS):
            return self._of_lines(name, before, seen)
        if _is_kept(name):
            return self._of_kept(name, before, seen)
        if before:
            # What no record names any more was of a cell that is done again.
            return GONE if is_of_a_cell(name) and name not in named else before
        return None

    def _of_lines(self, name: str, before: str, seen: Evidence) -> str | None:
        path = self.folder / name
        if not path.exists():
            return before
        found = lines_found(path, before)
        if found.grew_sealed or (found.sealed and (seen.lines_checked or not before)):
            return found.digest
        return before if before and not found.begins_as_known else None

    def _of_kept(self, name: str, before: str, seen: Evidence) -> str:
        """Return the digest of a kept result whose own digest holds; what is damaged is redone."""
        try:
            data = (self.folder / name).read_bytes()
        except OSError:
            return GONE if seen.lines_checked else before
        digest = hashlib.sha256(data).hexdigest()
        if digest != before:
            try:
                unsealed(name.removeprefix(KEPT_FOLDER).removesuffix(KEPT_SUFFIX), data)
            except IntegrityError:
                return before
        return digest

    def _kept(self) -> list[str]:
        found = (self.folder / KEPT_FOLDER).glob(f"*{KEPT_SUFFIX}")
        return [one.relative_to(self.folder).as_posix() for one in found if one.is_file()]


def _is_kept(name: str) -> bool:
    return name.startswith(KEPT_FOLDER) and name.endswith(KEPT_SUFFIX)


def _digest_of(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return GONE

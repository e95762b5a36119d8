"""The run folder: a manifest, an append-only file of records, arrays, and hashes of all of it.

Layout::

    manifest.json       the plan (atomic write)
    copies.csv          images that equal one of a later split; absent where there is none
    records.jsonl       one RunRecord a line, appended and fsynced as soon as a cell is done
    attacks.jsonl       one AttackOutcome a line, likewise; absent where nothing was attacked
    attacks/**          pictures and arrays the attacks left
    predictions/*.npz   ids, groups, labels, probabilities of each accuracy cell
    tape/*              messages that crossed, for the audit: what the server was sent
    artefacts/*         fitted models and the like, keyed by all their inputs; never a secret
    pictures.npz        sample images as the client has them and as the server sees them
    scores.json         recomputed from predictions by ``compare score``
    report/*            the report, written again by ``compare report``
    SHA256SUMS          of every file but itself; of the manifest as soon as the run is begun

Accepted trade-offs: one writer at a time (a lock that ends with its process); lines that were torn
by a crash or damaged are set aside in ``records.torn`` and their cells are run again; SHA256SUMS
detects accidents and careless edits, not an attacker who can rewrite the sums.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pydantic import ValidationError

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.files import EARLIER, TEMPORARY, write_atomic
from he_compare.common.run.folder_claim import LOCK, claimed_folder
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.known_files import ATTACKS, RECORDS, named_digests, remove_orphans
from he_compare.common.run.own_sums import Evidence, OwnSums
from he_compare.common.run.record_lines import (
    append_line,
    begins_sealed,
    first_problem,
    lines_found,
    read_record_lines,
    set_aside,
)
from he_compare.common.run.records import AttackOutcome, Manifest, RunRecord, ScoreSheet
from he_compare.common.run.stored_arrays import MOST_PICTURE_BYTES, load_arrays
from he_compare.common.run.sums import SUMS, SumsFound, check_sums
from he_compare.common.run.superseding import standing_outcomes

MANIFEST = "manifest.json"
AUDIT = "audit.json"
COPIES_TABLE = "copies.csv"
ATTACK_FILES = "attacks"
ARTEFACTS = "artefacts"
SCORES = "scores.json"
PICTURES = "pictures.npz"


def inside(folder: Path, name: str) -> Path:
    """Return the place of a file that a record names. Raises IntegrityError outside the folder."""
    try:
        place = (folder / name).resolve()
    except (ValueError, RuntimeError, OSError):  # no name of a file; links in a circle
        raise IntegrityError(f"a record names {name!r}, which is no file") from None
    if not place.is_relative_to(folder.resolve()):
        raise IntegrityError(f"a record names {name!r}, which lies outside the run folder")
    return place


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.artefacts = ArtefactFolder(path / ARTEFACTS)
        self.sums = OwnSums(path)
        self._lines_checked = False

    def exists(self) -> bool:
        """Say whether the folder holds a run."""
        return (self.path / MANIFEST).is_file()

    def claimed(self, otherwise: str = "holds no run") -> AbstractContextManager[None]:
        """Have the folder for this process alone, to write a run or an audit into it.

        What killed processes left is removed. Raises UsageError while another process has it, and,
        before anything is touched, where the folder holds something else. ``otherwise``: what is
        said of it then.
        """
        if not any((self.path / name).is_file() for name in (MANIFEST, AUDIT)):
            self.require_empty(otherwise)
        return claimed_folder(self.path)

    def create(self, manifest: Manifest) -> None:
        """Begin a run in an empty or missing folder. Raises UsageError on anything else."""
        self.require_empty("holds no run")
        self.write_model(MANIFEST, manifest)
        self.sums.enter(complete=manifest.sums_cover_all)

    def require_empty(self, what: str) -> None:
        """Raise UsageError where the folder holds anything but what a killed process left.

        ``what``: it is said not to hold.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file", fix="name another folder with --out")
        try:
            found = self.path.iterdir() if self.path.exists() else ()
            entries = sorted(entry.name for entry in found if not _is_leftover(entry.name))
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path}: {error.strerror}", fix="name another with --out"
            ) from None
        if entries:
            raise UsageError(
                f"{self.path} is not empty and {what} (it has {entries[0]!r})",
                fix="name an empty folder with --out",
            )

    def put(self, name: str, data: bytes, *, lasting: bool = True) -> str:
        """Write a file of the run, atomically; return its SHA-256, which its sums will have.

        ``lasting``: as ``write_atomic`` has it.
        """
        write_atomic(self.path / name, data, lasting=lasting)
        return self.sums.note(name, data)

    def put_once(self, name: str, data: bytes) -> str:
        """Do so, unless the file is there with this content."""
        path = self.path / name
        try:
            there = path.is_file() and not path.is_symlink() and path.read_bytes() == data
        except OSError:
            there = False
        return self.sums.note(name, data) if there else self.put(name, data)

    def keep_copies(self, table: bytes) -> None:
        """Write the table of copies where it is missing or another one; b"" for no copies."""
        if table:
            self.put_once(COPIES_TABLE, table)

    def write_model(self, name: str, model: Manifest | ScoreSheet) -> None:
        """Write a record as indented JSON, atomically."""
        self.put(name, model_bytes(model))

    def manifest(self) -> Manifest:
        """Read the plan. Raises UsageError where there is no run, IntegrityError where corrupt."""
        path = self.path / MANIFEST
        if not path.is_file():
            raise UsageError(
                f"{self.path} holds no run (no {MANIFEST})",
                fix="pass the folder that `compare run` printed",
            )
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise IntegrityError(
                f"{MANIFEST} in {self.path} is not valid: {first_problem(error)}",
                fix="restore the file or start a new run with another --out",
            ) from None

    def append(self, record: RunRecord | AttackOutcome) -> None:
        """Append one record to the file of its kind and force it to the disk."""
        name = RECORDS if isinstance(record, RunRecord) else ATTACKS
        append_line(self.path / name, record)

    def recover(self) -> list[str]:
        """Set lines that are torn or damaged aside in ``*.torn``; return a line for each.

        Raises IntegrityError where lines without digests, of an earlier version, were changed:
        which of them is not known.
        """
        told = []
        sealed, known = self.is_sealed(), self.sums.known()
        for name, what in ((RECORDS, "cells"), (ATTACKS, "attacks")):
            path, torn = self.path / name, Path(name).with_suffix(".torn").name
            found = lines_found(path, known.get(name, ""))
            changed = path.exists() and name in known and not found.begins_as_known
            if changed and not (sealed or begins_sealed(path)):
                raise IntegrityError(
                    f"{path} is not what was written, and its lines are of an earlier version, "
                    "which gave them no digests: which of them was changed is not known",
                    fix=f"restore the file, or delete it to have all {what} run again",
                )
            whole = not (self.path / torn).exists() or self.sums.vouch_for(torn)
            if lines := set_aside(path, sealed=sealed):
                told += lines
                if whole:
                    self.sums.note(torn, (self.path / torn).read_bytes())
        self._lines_checked = True
        return told

    def is_sealed(self) -> bool:
        """Say whether every line has a digest: a version that gives them began run or audit."""
        for name in (MANIFEST, AUDIT):
            try:
                facts = json.loads((self.path / name).read_bytes())
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(facts, dict) and facts.get("sums_cover_all") is True:
                return True
        return False

    def begins_sealed(self) -> bool:
        """Say whether the first record has a digest, or there is none."""
        return begins_sealed(self.path / RECORDS)

    def records(self) -> list[RunRecord]:
        """Read all whole records, later ones of one identity replacing earlier ones.

        A torn last line is passed over (``recover`` sets it aside). Raises IntegrityError on any
        other line that does not hold.
        """
        path = self.path / RECORDS
        return read_record_lines(path, RunRecord, "its cell", sealed=self.is_sealed())

    def outcomes(self) -> list[AttackOutcome]:
        """Read the outcomes of the attacks in the same way; [] where nothing was attacked.

        They come in the order of the audit, whatever the order in which they were written, and
        without those that a later one supersedes.
        """
        return standing_outcomes(self._written_outcomes())

    def remove_orphans(self) -> None:
        """Remove the files of cells and attacks that were killed before they were recorded."""
        named = named_digests(self.records(), self._written_outcomes())
        for name in remove_orphans(self.path, named):
            self.sums.note_gone(name)

    def _written_outcomes(self) -> list[AttackOutcome]:
        path = self.path / ATTACKS
        return read_record_lines(path, AttackOutcome, "its attack", sealed=self.is_sealed())

    def scores(self) -> ScoreSheet:
        """Read the scores. Raises UsageError where the run was not scored."""
        path = self.path / SCORES
        if not path.is_file():
            raise UsageError(
                f"{self.path} has no {SCORES}", fix=f"run `compare score {self.path}` first"
            )
        try:
            return ScoreSheet.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise IntegrityError(
                f"{SCORES} in {self.path} is not valid: {first_problem(error)}",
                fix=f"run `compare score {self.path}` to write it again",
            ) from None

    def pictures(self) -> dict[str, npt.NDArray[Any]]:
        """Return sample pictures by name (``original`` and pipeline labels), empty if none."""
        path = self.path / PICTURES
        return load_arrays(path, most=MOST_PICTURE_BYTES) if path.is_file() else {}

    def write_sums(self) -> None:
        """Write SHA256SUMS over every file of the run.

        Files that are not the run's own have none: they are told as added. A file of which nobody
        knows a digest is entered as not covered.
        """
        self.sums.write(
            Evidence(
                self.records(),
                self._written_outcomes(),
                lines_checked=self._lines_checked,
                begun_earlier=not self.is_sealed(),
            )
        )

    def add_to_sums(self) -> None:
        """Enter what was written just now; the sums of all else stay.

        Those of a run that never ended are written as far as digests are known. Raises
        IntegrityError on damaged sums.
        """
        if problem := self.sums.damage():
            raise IntegrityError(
                problem, fix=f"restore {SUMS}, or run the command that made this folder again"
            )
        ended = self.sums.exist() and {RECORDS, ATTACKS} & self.sums.known().keys()
        if ended:
            self.sums.enter()
        else:
            self.write_sums()

    def check_sums(self) -> SumsFound:
        """Compare the folder with its sums: complete ones, unless it was begun before."""
        return check_sums(self.path, must_be_complete=self.is_sealed())


def model_bytes(model: Manifest | ScoreSheet) -> bytes:
    """Return a record as it is written into its file."""
    return (model.model_dump_json(indent=2) + "\n").encode()


# What a run or an audit writes first: earlier versions left temporary files named after these.
_WRITTEN_FIRST = (LOCK, MANIFEST, AUDIT)


def _is_leftover(name: str) -> bool:
    """Say whether a file is one of ours that a killed process may leave behind."""
    named = EARLIER.fullmatch(name)
    ours = name == LOCK or TEMPORARY.fullmatch(name) is not None
    return ours or (named is not None and named[1] in _WRITTEN_FIRST)

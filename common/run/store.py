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
    SHA256SUMS          of everything above

Accepted trade-offs: one writer at a time (a lock file names the process); a line torn by a crash is
set aside in ``records.torn`` and its cell is run again; SHA256SUMS detects accidents and careless
edits, not an attacker who can rewrite the sums.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import psutil
from pydantic import ValidationError

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.identity import file_digest, key_of
from he_compare.common.npz_header import claimed_array
from he_compare.common.run.records import AttackOutcome, Manifest, RunRecord, ScoreSheet
from he_compare.common.run.superseding import standing_outcomes

MANIFEST = "manifest.json"
COPIES_TABLE = "copies.csv"
RECORDS = "records.jsonl"
ATTACKS = "attacks.jsonl"
ATTACK_FILES = "attacks"
SCORES = "scores.json"
PICTURES = "pictures.npz"
SUMS = "SHA256SUMS"
LOCK = ".lock"
SUM_SUFFIX = ".sha256"

# What the arrays of one file of a run may take in memory; of sample pictures, less.
MOST_ARRAY_BYTES, MOST_PICTURE_BYTES = 1 << 30, 1 << 28
_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)

LineT = TypeVar("LineT", RunRecord, AttackOutcome)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays as npz; text arrays are fixed-width unicode, never objects."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds objects")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(arrays))
    return buffer.getvalue()


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as npz, atomically."""
    write_atomic(path, npz_bytes(arrays))


def load_arrays(path: Path, *, most: int = MOST_ARRAY_BYTES) -> dict[str, npt.NDArray[Any]]:
    """Read an npz without pickle: its arrays take ``most`` bytes together, by their headers.

    Raises IntegrityError naming the file.
    """
    redo = "delete the file and run the same `compare run` again to redo its cell"
    return _arrays(path, path.name, most, redo)


def parse_arrays(
    data: bytes, name: str, *, most: int = MOST_ARRAY_BYTES
) -> dict[str, npt.NDArray[Any]]:
    """Read the bytes of an npz in the same way. ``name``: for errors."""
    return _arrays(io.BytesIO(data), name, most, "")


def _arrays(
    source: Path | io.BytesIO, name: str, most: int, redo: str
) -> dict[str, npt.NDArray[Any]]:
    try:
        with zipfile.ZipFile(source) as archive:
            names = [one.removesuffix(".npy") for one in archive.namelist()]
            claimed = [claimed_array(archive, one) for one in names]
        if any(one.objects for one in claimed):
            raise IntegrityError(f"{name} holds Python objects, which are never read", fix=redo)
        if (size := sum(one.size for one in claimed)) > most:
            raise IntegrityError(
                f"the arrays in {name} claim {size:,} bytes, more than {most:,}", fix=redo
            )
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with np.load(source, allow_pickle=False) as arrays:
            return {one: arrays[one] for one in arrays.files}
    except _UNREADABLE as error:
        why = str(error) or type(error).__name__
        raise IntegrityError(f"cannot read the arrays in {name}: {why}", fix=redo) from None


def inside(folder: Path, name: str) -> Path:
    """Return the place of a file that a record names. Raises IntegrityError outside the folder."""
    try:
        place = (folder / name).resolve()
    except (ValueError, RuntimeError, OSError):  # no name of a file; links in a circle
        raise IntegrityError(f"a record names {name!r}, which is no file") from None
    if not place.is_relative_to(folder.resolve()):
        raise IntegrityError(f"a record names {name!r}, which lies outside the run folder")
    return place


@dataclass(frozen=True)
class Reused:
    """Something that was made before. ``seconds``: what making it took, None where not recorded."""

    name: str
    seconds: float | None


@dataclass(frozen=True, repr=False)
class Artefact:
    """Something that was made. ``seconds``: what making it took, None where not recorded."""

    data: bytes
    seconds: float | None


class ArtefactFolder:
    """Results of expensive steps, kept in the run folder and keyed by all their inputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reused: list[Reused] = []
        self.waited = 0.0

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        """Return the stored bytes for these inputs, or make and store them."""
        name = f"{kind}-{key_of(kind=kind, inputs=dict(inputs))}"
        stored = self.stored(name)
        if stored is None:
            return self.make(name, make)
        self.note_reused(name, stored.seconds)
        return stored.data

    def stored(self, name: str) -> Artefact | None:
        """Return what is stored under a name; None where nothing is, or it is damaged."""
        found = self.stored_intact(name)
        if found is None:
            (self.folder / name).unlink(missing_ok=True)
        return found

    def stored_intact(self, name: str) -> Artefact | None:
        """Return what is stored under a name in the same way, and leave what is damaged alone."""
        path, sums = self.folder / name, self.folder / f"{name}{SUM_SUFFIX}"
        if not (path.is_file() and sums.is_file()):
            return None
        digest, _, seconds = sums.read_text().strip().partition("\n")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            return None
        return Artefact(data, _seconds(seconds))

    def make(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Make something, and store it under a name with the time that it took."""
        start = time.perf_counter()
        data = make()
        self.store(name, Artefact(data, time.perf_counter() - start))
        return data

    def store(self, name: str, artefact: Artefact) -> None:
        """Write something that was made, and its sum."""
        seconds = "" if artefact.seconds is None else f"{artefact.seconds:.6f}"
        digest = hashlib.sha256(artefact.data).hexdigest()
        write_atomic(self.folder / name, artefact.data)
        write_atomic(self.folder / f"{name}{SUM_SUFFIX}", f"{digest}\n{seconds}\n".encode())

    def names(self) -> list[str]:
        """Return the names of what is stored, damaged or not."""
        sums = self.folder.glob(f"*{SUM_SUFFIX}")
        return sorted(one.stem for one in sums if one.with_suffix("").is_file())

    def note_reused(self, name: str, seconds: float | None) -> None:
        """Remember that something made before was used again, wherever it is kept."""
        self.reused.append(Reused(name, seconds))

    def drain_waited(self) -> float:
        """Return the seconds waited since the last call for another process to make something."""
        waited, self.waited = self.waited, 0.0
        return waited

    def drain_reused(self) -> list[Reused]:
        """Return what was reused since the last call."""
        taken, self.reused = self.reused, []
        return taken


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.artefacts = ArtefactFolder(path / "artefacts")

    def exists(self) -> bool:
        """Say whether the folder holds a run."""
        return (self.path / MANIFEST).is_file()

    def create(self, manifest: Manifest) -> None:
        """Begin a run in an empty or missing folder. Raises UsageError on anything else."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file", fix="name another folder with --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            entries = [entry.name for entry in self.path.iterdir() if entry.name != LOCK]
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.path}: {error.strerror}", fix="name another with --out"
            ) from None
        if entries:
            raise UsageError(
                f"{self.path} is not empty and holds no run (it has {entries[0]!r})",
                fix="name an empty folder with --out",
            )
        self.write_model(MANIFEST, manifest)

    def keep_copies(self, table: bytes) -> None:
        """Write the table of copies where it is not there yet; b"" for no copies, then no file."""
        if table and not (self.path / COPIES_TABLE).is_file():
            write_atomic(self.path / COPIES_TABLE, table)

    def write_model(self, name: str, model: Manifest | ScoreSheet) -> None:
        """Write a record as indented JSON, atomically."""
        write_atomic(self.path / name, (model.model_dump_json(indent=2) + "\n").encode())

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
                f"{MANIFEST} in {self.path} is not valid: {_first_problem(error)}",
                fix="restore the file or start a new run with another --out",
            ) from None

    def append(self, record: RunRecord | AttackOutcome) -> None:
        """Append one record to the file of its kind and force it to the disk."""
        name = RECORDS if isinstance(record, RunRecord) else ATTACKS
        with (self.path / name).open("ab") as stream:
            stream.write((record.model_dump_json() + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())

    def recover(self) -> bool:
        """Set torn last lines aside in ``*.torn``; say whether there was one."""
        torn = [_recover_lines(self.path / name) for name in (RECORDS, ATTACKS)]
        return any(torn)

    def records(self) -> list[RunRecord]:
        """Read all whole records, later ones of one identity replacing earlier ones.

        A torn last line is passed over (``recover`` sets it aside). Raises IntegrityError on any
        other line that does not parse.
        """
        return _read_lines(self.path / RECORDS, RunRecord, "its cell")

    def outcomes(self) -> list[AttackOutcome]:
        """Read the outcomes of the attacks in the same way; [] where nothing was attacked.

        They come in the order of the audit, whatever the order in which they were written, and
        without those that a later one supersedes.
        """
        return standing_outcomes(_read_lines(self.path / ATTACKS, AttackOutcome, "its attack"))

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
                f"{SCORES} in {self.path} is not valid: {_first_problem(error)}",
                fix=f"run `compare score {self.path}` to write it again",
            ) from None

    def pictures(self) -> dict[str, npt.NDArray[Any]]:
        """Return sample pictures by name (``original`` and pipeline labels), empty if none."""
        path = self.path / PICTURES
        return load_arrays(path, most=MOST_PICTURE_BYTES) if path.is_file() else {}

    def write_sums(self) -> None:
        """Write SHA256SUMS over every file that carries results."""
        lines = [f"{file_digest(self.path / name)}  {name}\n" for name in self._summed_files()]
        write_atomic(self.path / SUMS, "".join(lines).encode())

    def check_sums(self) -> list[str]:
        """Return one line per file that is missing or not what was written; [] if all hold."""
        sums = self.path / SUMS
        if not sums.is_file():
            return [f"{SUMS} is missing"]
        problems = []
        for line in sums.read_text().splitlines():
            digest, _, name = line.partition("  ")
            path = (self.path / name).resolve()
            if not path.is_relative_to(self.path.resolve()):
                problems.append(f"{name} lies outside the run folder")
            elif not path.is_file():
                problems.append(f"{name} is missing")
            elif file_digest(path) != digest:
                problems.append(f"{name} was changed")
        return problems

    def _summed_files(self) -> list[str]:
        names = [
            name
            for name in (MANIFEST, COPIES_TABLE, RECORDS, ATTACKS, SCORES, PICTURES)
            if (self.path / name).is_file()
        ]
        names += sorted(
            file.relative_to(self.path).as_posix()
            for file in (self.path / ATTACK_FILES).rglob("*")
            if file.is_file()
        )
        names += sorted(f"tape/{p.name}" for p in (self.path / "tape").glob("*"))
        names += sorted(f"predictions/{p.name}" for p in (self.path / "predictions").glob("*.npz"))
        return names

    def lock(self) -> None:
        """Claim the folder for this process. Raises UsageError while another process has it."""
        path = self.path / LOCK
        self.path.mkdir(parents=True, exist_ok=True)
        if path.exists():
            owner = _owner_of(path)
            if owner is not None:
                raise UsageError(
                    f"{self.path} is being written by process {owner}",
                    fix="wait for it to end or name another folder with --out",
                )
        me = psutil.Process()
        write_atomic(path, json.dumps({"pid": me.pid, "started": me.create_time()}).encode())

    def unlock(self) -> None:
        """Release the folder."""
        (self.path / LOCK).unlink(missing_ok=True)


def _recover_lines(path: Path) -> bool:
    """Set a torn last line of a file aside in ``<stem>.torn``; say whether there was one."""
    if not path.exists():
        return False
    data = path.read_bytes()
    whole, _, tail = data.rpartition(b"\n")
    if not tail:
        return False
    with path.with_suffix(".torn").open("ab") as stream:
        stream.write(tail + b"\n")
    write_atomic(path, whole + b"\n" if whole else b"")
    return True


def _read_lines(path: Path, model: type[LineT], what: str) -> list[LineT]:
    if not path.exists():
        return []
    latest: dict[str, LineT] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = model.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                break
            raise IntegrityError(
                f"line {number} of {path.name} in {path.parent} is not valid: "
                f"{_first_problem(error)}",
                fix=f"restore the file, or delete that line to have {what} run again",
            ) from None
        latest.pop(record.identity, None)
        latest[record.identity] = record
    return list(latest.values())


def _owner_of(lock: Path) -> int | None:
    """Process id that holds the lock, or None where that process is gone."""
    try:
        content = json.loads(lock.read_text())
        process = psutil.Process(int(content["pid"]))
        if process.pid != os.getpid() and abs(process.create_time() - content["started"]) < 1:
            return process.pid
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole document"
    return f"{where}: {first['msg']}"

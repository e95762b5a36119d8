"""In a process that verifies: copies of finished runs, which are edited, verified and restored.

``begin`` is called once in every such process.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.errors import EXIT_INTEGRITY
from he_compare.common.run.sums import SUMS
from tools.soak.finished_run import files_of, kind_of_file
from tools.soak.ledger import Outcome
from tools.soak.room import Room

SAMPLED = 50
ADDED_NAMES = (
    "zzz.npz",
    "notes.txt",
    ".hidden",
    "extra/one.json",
    "{stem}2{suffix}",
    ".{name}.x7q_9",
)


@dataclass(frozen=True)
class Verdict:
    """What `compare verify` said: its exit code and its lines."""

    code: int
    lines: tuple[str, ...]

    def finds(self, names: Sequence[str]) -> bool:
        """Say whether the edit was found: exit code 4, and a line that names it."""
        told = any(name in line for name in names for line in self.lines)
        return self.code == EXIT_INTEGRITY and told


_copies: dict[str, Path] = {}


def begin(runs: Mapping[str, Path], folder: Path) -> None:
    """Make copies of the runs for this process alone, and load the command."""
    for name, run in runs.items():
        _copies[name] = folder / f"copy-{os.getpid()}" / name
        shutil.copytree(run, _copies[name])
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")


def verified_untouched(name: str) -> Verdict:
    """Verify a run that nobody edited."""
    return _verify(_copies[name])


def _verify(run: Path) -> Verdict:
    """Run `compare verify` in this process."""
    from he_compare.comparisons.cli import app

    words, before = io.StringIO(), sys.argv
    sys.argv = ["compare", "verify", str(run)]
    code: Any = 0
    with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
        try:
            app.main()
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:  # leaves the command itself: no exit code at all
            code = -1
            print(type(error).__name__, error)
        finally:
            sys.argv = before
    return Verdict(int(code or 0), _lines(words.getvalue(), run))


def _verify_apart(run: Path) -> Verdict:
    """Run `compare verify` in a process of its own."""
    room = Room(run.with_name(f"{run.name}-room"), Path(os.environ["XDG_CACHE_HOME"]))
    done = room.run(["verify", str(run)])
    return Verdict(done.returncode, _lines(done.stdout + done.stderr, run))


def _lines(text: str, run: Path) -> tuple[str, ...]:
    return tuple(line.replace(str(run), "RUN")[:300] for line in text.splitlines())


def _judged(run: Path, unit: int) -> Verdict:
    return _verify_apart(run) if unit % SAMPLED == SAMPLED - 1 else _verify(run)


def _drawn(unit: int, random: np.random.Generator) -> tuple[str, Path, Path]:
    """Return what the run is, where it lies, and one of its files."""
    name = list(_copies)[unit // 2 % len(_copies)]
    run = _copies[name]
    by_kind: dict[str, list[Path]] = {}
    for path in files_of(run):
        if path.stat().st_size:
            by_kind.setdefault(kind_of_file(run, path), []).append(path)
    files = list(by_kind.values())[int(random.integers(len(by_kind)))]
    return name, run, files[int(random.integers(len(files)))]


def edited(seed: int, unit: int) -> Outcome:
    """Change a byte of a file."""
    random = np.random.default_rng([seed, 4, unit])
    name, run, path = _drawn(unit, random)
    data = path.read_bytes()
    at = int(random.integers(len(data)))
    new = (data[at] + int(random.integers(1, 256))) % 256
    _overwrite(path, at, new)
    try:
        found = _judged(run, unit)
    finally:
        _overwrite(path, at, data[at])
    place = path.relative_to(run).as_posix()
    names = names_in_sums(data, at) if place == SUMS else [place]
    what = f"{place}, byte {at:,}: {data[at]:#04x} to {new:#04x}"
    return _outcome(unit, name, kind_of_file(run, path), what, names, found)


def _overwrite(path: Path, at: int, value: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes([value]))


def names_in_sums(sums: bytes, at: int) -> list[str]:
    """Return what may be said of a byte that changed in the sums: its line, or the file there."""
    number = sums.count(b"\n", 0, at) + 1
    line = sums.split(b"\n")[number - 1]
    told = [f"{SUMS}: line {number} ", f"{SUMS}: its last line", f"{SUMS} lacks its first line"]
    if at == sums.find(b"\n", at):  # two lines became one: the next one is missing as well
        told.append(f"{SUMS}: line {number + 1} ")
    file = line[66:].decode(errors="replace")
    return told + ([f"{SUMS}: {file} "] if file else [])


def moved(seed: int, unit: int) -> Outcome:
    """Take a file away, or put one more into the folder; undo it."""
    random = np.random.default_rng([seed, 5, unit])
    name, run, path = _drawn(unit, random)
    place = path.relative_to(run).as_posix()
    if unit % 2 == 0:
        aside = run.with_name(f"{run.name}-aside")
        kind = kind_of_file(run, path)
        path.rename(aside)
        try:
            found = _judged(run, unit)
        finally:
            aside.rename(path)
        return _outcome(unit, name, kind, f"{place} removed", [place], found)
    pattern = ADDED_NAMES[int(random.integers(len(ADDED_NAMES)))]
    new = path.parent / pattern.format(stem=path.stem, suffix=path.suffix, name=path.name)
    made = not new.parent.exists()
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"" if unit % 3 == 0 else random.bytes(100))
    told = new.relative_to(run).as_posix()
    try:
        found = _judged(run, unit)
    finally:
        new.unlink()
        if made:
            new.parent.rmdir()
    return _outcome(unit, name, kind_of_file(run, new), f"{told} added", [told], found)


def _outcome(
    unit: int, run: str, kind: str, what: str, names: Sequence[str], found: Verdict
) -> Outcome:
    return {
        "run": run,
        "file": zlib.crc32(what.partition(",")[0].encode()),
        "kind": kind,
        "what": what,
        "code": found.code,
        "found": found.finds(names),
        "line": next(iter(found.lines), ""),
        "sampled": unit % SAMPLED == SAMPLED - 1,
    }

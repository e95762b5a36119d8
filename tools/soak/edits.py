"""Edits of a finished run: single bytes changed, files removed and added; `compare verify` tells.

Found is an edit after which the command ends with 4 and names what is wrong. Nearly all are judged
by the command's own ``main`` in a process that lives on, which spares loading it anew; every
``SAMPLED``-th by the command in a process of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.errors import EXIT_INTEGRITY
from he_compare.common.identity import file_digest
from tools.soak.campaign import Outcome, Part, Stopped
from tools.soak.figures import Line, Report, all_of, counted
from tools.soak.finished_run import files_of, finished_run
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
    """What `compare verify` said: its exit code and its first line."""

    code: int
    line: str


class Edits(Part):
    """Changes one byte of one file at a time."""

    name = "edits"
    bears_company = True

    def __init__(self, folder: Path, seed: int, count: int, given: Path | None) -> None:
        """``given``: the finished run, None to make one."""
        super().__init__(folder, seed)
        self.count, self.given = count, given

    @property
    def units(self) -> int:
        return self.count

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"run": self._digest()}

    def _digest(self) -> str:
        """Tell runs apart by their sums; '' while none is there."""
        run = self.given or self.folder.parent / "finished" / "run"
        sums = run / "SHA256SUMS"
        return file_digest(sums) if sums.is_file() else ""

    def prepare(self) -> None:
        """Make or copy the run, see that it is whole, and start the processes that verify."""
        super().prepare()
        place = self.folder.parent / "finished"
        place.mkdir(exist_ok=True)
        self.run = finished_run(place, self.given)
        self._pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(self.run, self.folder),
        )
        found = self._pool.submit(_verified_untouched).result()
        if found.code != 0:
            raise Stopped(f"the run to be edited does not verify as it is: {found.line}")

    def try_one(self, unit: int) -> Outcome:
        """Make one edit, verify, undo it."""
        return self._pool.submit(_edited, self.seed, unit).result()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many were found, by the kind of file."""
        return _report(outcomes, "single-byte edits of a finished run")

    def close(self) -> None:
        """End the processes that verify."""
        if hasattr(self, "_pool"):
            self._pool.shutdown()


class Added(Edits):
    """Removes and adds files, in turn."""

    name = "added"

    def try_one(self, unit: int) -> Outcome:
        """Remove or add one file, verify, undo it."""
        return self._pool.submit(_moved, self.seed, unit).result()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say how many were found."""
        return _report(outcomes, "files removed from a finished run or added to it")


def _report(outcomes: Sequence[Outcome], what: str) -> Report:
    found = [one for one in outcomes if one["code"] == EXIT_INTEGRITY]
    missed = [one for one in outcomes if one["code"] != EXIT_INTEGRITY]
    by_kind = Counter(f"in {one['kind']}" for one in missed)
    result = f"{len(found):,} found, exit 4" + (f"; missed: {counted(by_kind)}" if missed else "")
    kinds = len({one["file"] for one in outcomes})
    sampled = sum(one["sampled"] for one in outcomes)
    line = Line(
        f"{what} ({kinds:,} files; {sampled:,} by a process of its own)", len(outcomes), result
    )
    faults = [f"{one['what']}: verify ends with {one['code']} ({one['line']})" for one in missed]
    figure = all_of(f"{what}: found", len(outcomes), len(found))
    return Report((line,), (figure,), tuple(faults))


# In the processes that verify ---------------------------------------------------------------------

_copy = Path()


def _begin(run: Path, folder: Path) -> None:
    """Make a copy of the run for this process alone, and load the command."""
    global _copy
    _copy = folder / f"copy-{os.getpid()}"
    shutil.copytree(run, _copy)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")


def _verified_untouched() -> Verdict:
    return _verify()


def _verify() -> Verdict:
    """Run `compare verify` in this process."""
    from he_compare.comparisons.cli import app

    words, before = io.StringIO(), sys.argv
    sys.argv = ["compare", "verify", str(_copy)]
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
    return Verdict(int(code or 0), _first_line(words.getvalue()))


def _verify_apart() -> Verdict:
    """Run `compare verify` in a process of its own."""
    room = Room(_copy.with_name(f"{_copy.name}-room"), Path(os.environ["XDG_CACHE_HOME"]))
    done = room.run(["verify", str(_copy)])
    return Verdict(done.returncode, _first_line(done.stdout + done.stderr))


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "").replace(str(_copy), "RUN")[:300]


def _judged(unit: int) -> Verdict:
    return _verify_apart() if unit % SAMPLED == SAMPLED - 1 else _verify()


def _edited(seed: int, unit: int) -> Outcome:
    """Change a byte of a file; every file is as likely as any other."""
    random = np.random.default_rng([seed, 4, unit])
    files = [path for path in files_of(_copy) if path.stat().st_size]
    path = files[int(random.integers(len(files)))]
    at = int(random.integers(path.stat().st_size))
    with path.open("r+b") as stream:
        stream.seek(at)
        old = stream.read(1)[0]
        new = (old + int(random.integers(1, 256))) % 256
        stream.seek(at)
        stream.write(bytes([new]))
    try:
        found = _judged(unit)
    finally:
        with path.open("r+b") as stream:
            stream.seek(at)
            stream.write(bytes([old]))
    name = path.relative_to(_copy).as_posix()
    return _outcome(unit, name, f"{name}, byte {at:,}: {old:#04x} to {new:#04x}", found)


def _moved(seed: int, unit: int) -> Outcome:
    """Take a file away, or put one more into the folder; undo it."""
    random = np.random.default_rng([seed, 5, unit])
    files = files_of(_copy)
    path = files[int(random.integers(len(files)))]
    name = path.relative_to(_copy).as_posix()
    if unit % 2 == 0:
        aside = _copy.with_name(f"{_copy.name}-aside")
        path.rename(aside)
        try:
            return _outcome(unit, name, f"{name} removed", _judged(unit))
        finally:
            aside.rename(path)
    pattern = ADDED_NAMES[int(random.integers(len(ADDED_NAMES)))]
    new = path.parent / pattern.format(stem=path.stem, suffix=path.suffix, name=path.name)
    made = not new.parent.exists()
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"" if unit % 3 == 0 else random.bytes(100))
    try:
        told = new.relative_to(_copy).as_posix()
        return _outcome(unit, told, f"{told} added", _judged(unit))
    finally:
        new.unlink()
        if made:
            new.parent.rmdir()


def _outcome(unit: int, name: str, what: str, found: Verdict) -> Outcome:
    kind = name.partition("/")[0] + "/" if "/" in name else name
    return {
        "file": zlib.crc32(name.encode()),
        "kind": kind,
        "what": what,
        "code": found.code,
        "line": found.line,
        "sampled": unit % SAMPLED == SAMPLED - 1,
    }

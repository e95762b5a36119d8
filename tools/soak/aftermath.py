"""What became of a run that was disturbed: against its own records before, and a run that was not.

Lost: a cell that was finished before and is not in the end. Redone: one that was finished before
and was written again. Doubled: one that is written twice as finished. Left: files that a run that
nobody disturbed does not leave.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from he_compare.common.errors import CompareError
from he_compare.common.run.known_files import RECORDS
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.stored_arrays import load_arrays
from he_compare.common.types import Phase, Status
from he_compare.comparisons.judging.verify import verify_run

# Of CKKS, whose keys are fresh, classes have to be equal and probabilities within this.
CKKS_NOISE = 1e-3
# A torn line is set aside here, as the documentation says.
ALLOWED = ("*.torn",)
NAMES_A_CELL = {"label", "phase", "round", "seed"}


@dataclass
class Aftermath:
    """Counts of what is wrong after a disturbed run; ``problems``: what is counted nowhere else."""

    lost: int = 0
    redone: int = 0
    doubled: int = 0
    differing: int = 0
    orphans: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(vars(self).values())

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @property
    def words(self) -> str:
        """What is wrong, in words."""
        counts = [
            f"{value} {name}"
            for name, value in vars(self).items()
            if isinstance(value, int) and value
        ]
        counts += [f"orphan: {one}" for one in self.orphans]
        counts += [f"left: {one}" for one in self.left]
        return "; ".join([*counts, *self.problems])


def finished_lines(folder: Path) -> Counter[str]:
    """Count the whole lines of each identity that say ok; a torn one is passed over."""
    return Counter(one.identity for one in _whole_records(folder) if one.status is Status.OK)


def _whole_records(folder: Path) -> Iterable[RunRecord]:
    path = folder / RECORDS
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            yield RunRecord.model_validate_json(line)
        except ValidationError:
            continue


def compare_runs(undisturbed: Path, before: Mapping[str, int], out: Path, found: Aftermath) -> None:
    """Count what is lost, redone, doubled and different in a run folder.

    ``before``: its finished lines when it was disturbed.
    """
    after = finished_lines(out)
    try:
        wanted, held = (_finished(folder) for folder in (undisturbed, out))
    except CompareError as error:
        found.problems.append(error.problem)
        return
    found.lost += sum(one not in after for one in before)
    found.redone += sum(after[one] > times for one, times in before.items())
    found.doubled += sum(times - 1 for times in after.values())
    for what, names in (
        ("missing", wanted.keys() - held.keys()),
        ("too many", held.keys() - wanted.keys()),
    ):
        if names:
            found.problems.append(f"{len(names)} cells {what} in the end")
    for cell in wanted.keys() & held.keys():
        record = wanted[cell]
        if record.cell.phase is Phase.ACCURACY:
            found.differing += not same_predictions(undisturbed, record, out, held[cell])
    try:
        problems = verify_run(RunFolder(out))
    except CompareError as error:
        problems = [error.problem]
    found.problems += [f"verify: {line}" for line in problems[:3]]


def _finished(folder: Path) -> dict[str, RunRecord]:
    """Return the finished records of a run folder by cell, wherever it was measured.

    The identity of a cell tells a server on another machine from one on this.
    """
    records = [one for one in RunFolder(folder).records() if one.status is Status.OK]
    return {one.cell.model_dump_json(include=NAMES_A_CELL): one for one in records}


def same_predictions(first: Path, one: RunRecord, second: Path, other: RunRecord) -> bool:
    """Say whether two cells predicted the same: to the digit, or but for the noise of CKKS."""
    if one.predictions_sha256 == other.predictions_sha256:
        return True
    if not one.cell.pipeline.startswith("fhe-"):
        return False
    left, right = (
        load_arrays(folder / record.predictions)
        for folder, record in ((first, one), (second, other))
    )
    if not np.array_equal(left["ids"], right["ids"]):
        return False
    classes = [arrays["scores"].argmax(axis=1) for arrays in (left, right)]
    apart = np.abs(left["probabilities"] - right["probabilities"]).max()
    return bool(np.array_equal(*classes)) and float(apart) < CKKS_NOISE


def kinds_of_files(*folders: Path) -> set[str]:
    """Return the names of all files and empty folders below, with what is drawn left out of them.

    Keys, digests and numbers become ``#``: what is left tells one kind of file from another.
    """
    return {kind_of(path.relative_to(folder)) for folder, path in _files(folders)}


def files_left(known: set[str], *folders: Path, but: tuple[str, ...] = ()) -> list[str]:
    """Return the files whose kind is not known, each by its name in its folder.

    ``but``: how the names begin of those that do not count.
    """
    return sorted(
        path.relative_to(folder).as_posix()
        for folder, path in _files(folders)
        if kind_of(path.relative_to(folder)) not in known
        and not any(path.match(pattern) for pattern in ALLOWED)
        and not path.relative_to(folder).as_posix().startswith(but)
    )


def kind_of(name: Path) -> str:
    """Return a name without what is drawn or computed: digests, keys and numbers."""
    text = re.sub(r"[0-9a-f]{8,}", "#", name.as_posix())
    return re.sub(r"[0-9]+", "#", text)


def _files(folders: Iterable[Path]) -> Iterable[tuple[Path, Path]]:
    for folder in folders:
        for path in folder.rglob("*") if folder.is_dir() else ():
            if not path.is_dir() or not any(path.iterdir()):
                yield folder, path

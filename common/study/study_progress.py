"""How far a study is: cells done and left of each row, and how long the rest will take.

What is left is priced by what was measured in this study where it can be: a cell by the cells of
its pipeline and phase that ended on the same data set; else by the estimate, corrected by how far
estimates of that row were off; else by the same cells on another data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from he_compare.common.errors import CompareError
from he_compare.common.run.records import RunRecord
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_records import StudyCell, StudyRow
from he_compare.common.types import Phase, Status

Kind = tuple[str, Phase]


@dataclass(frozen=True)
class RowProgress:
    """How far one row is. ``done``: ended ok; ``failed``: ended otherwise; ``other``: cannot run.

    ``seconds_left``: of the cells that can be priced; ``unpriced``: how many cannot.
    ``audit_left``: None where the attacks have no limit. ``problem``: why it is not read.
    """

    row: StudyRow
    planned: int
    done: int
    failed: int
    other: int
    seconds_left: float
    unpriced: int
    audit_left: float | None
    problem: str = ""

    @property
    def left(self) -> int:
        """Cells that are not done and not known to be unable to run."""
        return self.planned - self.done - self.other


@dataclass(frozen=True)
class StudyProgress:
    """All rows of a study."""

    rows: tuple[RowProgress, ...]

    @property
    def planned(self) -> int:
        """Cells of all rows that have data."""
        return sum(one.planned for one in self.rows)

    @property
    def done(self) -> int:
        """Cells that ended ok."""
        return sum(one.done for one in self.rows)

    @property
    def left(self) -> int:
        """Cells that are still to run."""
        return sum(one.left for one in self.rows)

    @property
    def seconds_left(self) -> float:
        """What can be priced of the rest, attacks at their limit."""
        return sum(one.seconds_left + (one.audit_left or 0.0) for one in self.rows)

    @property
    def bounded(self) -> bool:
        """Whether ``seconds_left`` is of all that is left."""
        return not any(one.unpriced or one.audit_left is None for one in self.rows)


def study_progress(study: StudyFolder) -> StudyProgress:
    """Read how far a study is. Raises UsageError where there is none, IntegrityError."""
    record = study.record()
    known: dict[str, list[RunRecord]] = {}
    problems: dict[str, str] = {}
    for row in record.rows:
        folder = study.run(row.name)
        try:
            known[row.name] = folder.records() if folder.exists() else []
        except CompareError as error:  # the other rows can still be told of
            known[row.name], problems[row.name] = [], error.problem
    return progress_of(record.rows, known, problems)


def progress_of(
    rows: Sequence[StudyRow],
    known: Mapping[str, Sequence[RunRecord]],
    problems: Mapping[str, str] | None = None,
) -> StudyProgress:
    """Return how far rows are, from the records of their runs by the name of the row."""
    everywhere = _means(one for records in known.values() for one in records)
    return StudyProgress(
        tuple(
            _row(row, known.get(row.name, ()), everywhere, (problems or {}).get(row.name, ""))
            for row in rows
        )
    )


def _row(
    row: StudyRow, records: Sequence[RunRecord], everywhere: Mapping[Kind, float], problem: str
) -> RowProgress:
    found = {one.identity: one for one in records}
    ended = {cell.identity: found[cell.identity] for cell in row.cells if cell.identity in found}
    status = {identity: one.status for identity, one in ended.items()}
    done = [one for one in row.cells if status.get(one.identity) is Status.OK]
    other = [one for one in row.cells if status.get(one.identity) is Status.UNAVAILABLE]
    failed = [
        one
        for one in row.cells
        if status.get(one.identity) in (Status.FAILED, Status.TIMEOUT, Status.SKIPPED)
    ]
    gone = {one.identity for one in (*done, *other)}
    left = [one for one in row.cells if one.identity not in gone]
    here = _means(ended.values())
    off = _how_far_off(done, ended)
    prices = [_price(one, here, off, everywhere) for one in left]
    return RowProgress(
        row=row,
        planned=len(row.cells),
        done=len(done),
        failed=len(failed),
        other=len(other),
        seconds_left=sum(price for price in prices if price is not None),
        unpriced=sum(price is None for price in prices),
        audit_left=0.0 if row.ended or row.unavailable else row.audit_seconds,
        problem=problem or row.problem,
    )


def _means(records: Iterable[RunRecord]) -> dict[Kind, float]:
    """Return the mean seconds of cells that ended ok, by pipeline and phase."""
    taken: dict[Kind, list[float]] = {}
    for one in records:
        if one.status is Status.OK:
            taken.setdefault((one.cell.label, one.cell.phase), []).append(one.seconds)
    return {kind: sum(seconds) / len(seconds) for kind, seconds in taken.items()}


def _how_far_off(done: Sequence[StudyCell], ended: Mapping[str, RunRecord]) -> float:
    """Return measured seconds by estimated ones over the cells that have both; 1 for none."""
    both = [(ended[one.identity].seconds, one.seconds) for one in done if one.seconds]
    estimated = sum(expected for _, expected in both)
    return sum(measured for measured, _ in both) / estimated if estimated else 1.0


def _price(
    cell: StudyCell, here: Mapping[Kind, float], off: float, everywhere: Mapping[Kind, float]
) -> float | None:
    kind = cell.label, cell.phase
    if kind in here:
        return here[kind]
    if cell.seconds is not None:
        return off * cell.seconds
    return everywhere.get(kind)

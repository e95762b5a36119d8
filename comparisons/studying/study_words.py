"""A study in words: what it takes, how far it is, and its results as a table for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.spelling import bracket, fixed, size
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_progress import RowProgress, StudyProgress, study_progress
from he_compare.common.study.study_rules import ACCURACY, limits_of, twin_difference
from he_compare.common.study.study_view import StudiedSet, read_study
from he_compare.comparisons.estimating.estimate_words import rounded_time
from he_compare.comparisons.terminal import NO_VALUE, TextTable, fold_text, laid_out, unbroken

if TYPE_CHECKING:
    from he_compare.comparisons.studying.surveying import SurveyedSet

STATUS_HEADINGS = ("data set", "cells", "done", "failed", "left", "time left", "state")
ESTIMATE_HEADINGS = ("data set", "cells", "left", "time", "attacks", "memory", "disk")


def in_one_line_of_study(found: StudyProgress) -> str:
    """Say how much is done, how much is left, and when it ends."""
    told = f"{found.done} of {found.planned} cells done"
    if not found.left and not found.seconds_left:
        return told
    return f"{told}, {_left(found)}"


def _left(found: StudyProgress) -> str:
    if not found.bounded and not found.seconds_left:
        return "the time that the rest takes is not known yet"
    end = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=found.seconds_left)
    shown = f"{end:%H:%M}" if end.date() == datetime.date.today() else f"{end:%Y-%m-%d %H:%M}"
    left = rounded_time(found.seconds_left)
    if not found.bounded:
        return f"at least {left} left, ends after {shown}"
    return f"about {left} left, ends about {shown}"


def status_text(study: StudyFolder, columns: int | None) -> str:
    """Return how far a study is, row by row. Raises UsageError where there is no study."""
    record, found = study.record(), study_progress(study)
    rows = [_status_row(one) for one in found.rows]
    lines = [
        f"{record.title}: {len(record.rows)} data sets, seeds {', '.join(map(str, record.seeds))}, "
        f"study {record.digest[:12]}",
        "",
        *laid_out(TextTable(STATUS_HEADINGS, rows), columns),
        "",
        in_one_line_of_study(found),
    ]
    lines += [line for one in record.accepted for line in fold_text(f"accepted: {one}", columns)]
    return "\n".join(lines)


def _status_row(one: RowProgress) -> tuple[str, ...]:
    seconds = one.seconds_left + (one.audit_left or 0.0)
    least = "" if not one.unpriced and one.audit_left is not None else "at least "
    left = NO_VALUE if one.row.unavailable else f"{least}{rounded_time(seconds)}"
    return (
        one.row.name,
        str(one.planned),
        str(one.done),
        str(one.failed),
        str(one.left),
        left if one.left or not one.row.ended else NO_VALUE,
        state_of_row(one),
    )


def state_of_row(one: RowProgress) -> str:
    """Say in words how a row is."""
    if one.row.unavailable:
        return f"unavailable: {one.row.unavailable}"
    if one.problem:
        return one.problem
    if one.row.ended and not one.left:
        return "done"
    if not one.left and one.planned:
        return "attacks are left"
    return "under way" if one.done or one.failed else "not started"


def status_as_json(study: StudyFolder) -> dict[str, Any]:
    """Return how far a study is as JSON values; seconds, null where not known."""
    record, found = study.record(), study_progress(study)
    return {
        "title": record.title,
        "digest": record.digest,
        "seeds": record.seeds,
        "cells": found.planned,
        "done": found.done,
        "left": found.left,
        "seconds_left": found.seconds_left if found.bounded else None,
        "accepted": record.accepted,
        "rows": [
            {
                "name": one.row.name,
                "dataset": one.row.dataset,
                "run": study.run(one.row.name).path.relative_to(study.path).as_posix(),
                "cells": one.planned,
                "done": one.done,
                "failed": one.failed,
                "cannot_run": one.other,
                "left": one.left,
                "seconds_left": None if one.unpriced else one.seconds_left,
                "attacks_seconds_left": one.audit_left,
                "ended": one.row.ended,
                "state": state_of_row(one),
            }
            for one in found.rows
        ],
    }


def estimate_of_study(surveyed: Sequence[SurveyedSet], columns: int | None) -> str:
    """Return what a study will take, row by row and in all."""
    lines = laid_out(
        TextTable(ESTIMATE_HEADINGS, [_estimate_row(one) for one in surveyed]), columns
    )
    lines.append("")
    for sentence in _estimate_sums(surveyed):
        lines += fold_text(sentence, columns, "  ")
    return "\n".join(lines)


def _estimate_row(one: SurveyedSet) -> tuple[str, ...]:
    found = one.forecast
    if one.missing or found is None:
        return one.row.name, *[NO_VALUE] * 5, "unavailable" if one.missing else "not known"
    left = sum(cell.work.kept is None for cell in found.cells)
    audit = found.audit_seconds
    return (
        one.row.name,
        str(len(found.cells)),
        str(left),
        rounded_time(found.measuring_seconds),
        "no limit" if audit is None else f"at most {rounded_time(audit)}",
        size(found.memory_bytes),
        size(found.disk_bytes),
    )


def _estimate_sums(surveyed: Sequence[SurveyedSet]) -> Iterator[str]:
    known = [one.forecast for one in surveyed if one.forecast is not None]
    seconds = sum(one.measuring_seconds for one in known)
    audits = [one.audit_seconds for one in known]
    limit = sum(one for one in audits if one is not None)
    attacks = f" and at most {rounded_time(limit)} of attacks" if limit else ""
    if None in audits:
        attacks = " and the attacks, whose time has no limit in all"
    most = max((one.workers for one in surveyed), default=1)
    beside = f" on {most} workers" if most > 1 else ""
    yield (
        f"in all: {rounded_time(seconds)}{beside}{attacks}; less where a training stops early, and "
        "where cells are done"
    )
    yield f"memory: {size(max((one.memory_bytes for one in known), default=0))} at a time"
    yield f"disk: {size(sum(one.disk_bytes for one in known))}"
    for one in surveyed:
        if one.missing:
            yield f"{one.row.name}: unavailable: {one.missing}"
        elif one.forecast is not None:
            for label, reason in one.forecast.not_known.items():
                yield f"{one.row.name}: {label}: {reason}"
            for warning in one.forecast.warnings:
                yield f"warning: {one.row.name}: {warning}"


def study_table(study: StudyFolder, columns: int | None) -> list[str]:
    """Return the differences to the twins, a row per pipeline and a column per data set."""
    view = read_study(study)
    headings = ("pipeline", *(one.row.name for one in view.sets))
    rows = [(label, *(_cell(one, label) for one in view.sets)) for label in view.labels]
    note = (
        "accuracy (balanced where classes are uneven) minus that of the same model without the "
        "protection, 95% intervals; in brackets: the accuracy of what has no such twin"
    )
    lines = [*laid_out(TextTable(headings, rows), columns), "", *fold_text(note, columns)]
    for one in view.sets:
        if one.view is None:
            lines += fold_text(f"no result of {one.row.name}: {one.why}", columns)
    return lines


def _cell(one: StudiedSet, label: str) -> str:
    if one.view is None:
        return "unavailable" if one.row.unavailable else NO_VALUE
    pipeline = one.pipeline(label)
    if pipeline is None:
        return NO_VALUE
    found = twin_difference(one.view, pipeline, ACCURACY)
    if found is not None and found.difference is not None:
        limits = bracket(limits_of(one.view, pipeline, ACCURACY), signed=True)
        return unbroken(f"{fixed(found.difference, signed=True)} {limits}".strip())
    value = pipeline.value(leading_metrics(one.view)[0])
    if value is not None:
        return f"({fixed(value)})"
    return NO_VALUE if pipeline.state == "ok" else pipeline.state

"""Scores as the version computed them that wrote a sheet, so that older sheets can be verified."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from he_compare.common.run.records import CellScores, ScoreSheet
from he_compare.common.statistics.evaluation import as_wilson
from he_compare.common.statistics.paired import as_before

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def in_the_way_of(known: ScoreSheet, again: ScoreSheet) -> ScoreSheet:
    """Return scores computed ``again`` without what the sheet of an older version cannot have.

    Sheets that do not name the test of their differences took images as independent in it; those
    without differences to twins have fewer of them; those that do not say how intervals of
    proportions were made took images as independent there, and fixed no threshold; those that do
    not say how intervals over trainings were made have no means. Sheets of some versions list what
    ended first at first: the order is that of ``known``.
    """
    again = _in_the_order_of(known, again)
    if not known.against_twins:
        again = _before_twins(known, again)
    if not any(one.p_method for one in known.differences):
        older = [as_before(one) for one in again.differences]
        again = again.model_copy(update={"differences": older})
    if not known.over_trainings:
        none = {"means": [], "mean_differences": [], "over_trainings": ""}
        again = again.model_copy(update=none)
    if not known.proportions:
        cells = [_with_independent_images(cell) for cell in again.cells]
        again = again.model_copy(update={"proportions": "", "cells": cells})
    return again


def _in_the_order_of(known: ScoreSheet, again: ScoreSheet) -> ScoreSheet:
    """Sort cells and differences as they are stored; what is not stored comes last."""
    cells = [one.identity for one in (*known.cells, *known.repeats)]
    pairs = [(one.pipeline, one.reference) for one in known.differences]
    repeated = [(one.pipeline, one.reference) for one in known.mean_differences]
    return again.model_copy(
        update={
            "cells": _sorted_like(cells, again.cells, lambda one: one.identity),
            "repeats": _sorted_like(cells, again.repeats, lambda one: one.identity),
            "differences": _sorted_like(
                pairs, again.differences, lambda one: (one.pipeline, one.reference)
            ),
            "means": _sorted_like(
                [one.label for one in known.means], again.means, lambda one: one.label
            ),
            "mean_differences": _sorted_like(
                repeated, again.mean_differences, lambda one: (one.pipeline, one.reference)
            ),
        }
    )


def _sorted_like(stored: list[K], items: list[T], key: Callable[[T], K]) -> list[T]:
    place = {one: index for index, one in reversed(list(enumerate(stored)))}
    return sorted(items, key=lambda one: place.get(key(one), len(stored)))


def _before_twins(known: ScoreSheet, again: ScoreSheet) -> ScoreSheet:
    """Keep the differences that older scores have: others were not computed then."""
    stored = {(one.pipeline, one.reference, one.metric) for one in known.differences}
    kept = [one for one in again.differences if (one.pipeline, one.reference, one.metric) in stored]
    return again.model_copy(update={"differences": kept, "against_twins": False})


def _with_independent_images(cell: CellScores) -> CellScores:
    metrics = [as_wilson(metric) for metric in cell.metrics]
    return cell.model_copy(update={"metrics": metrics, "at_validated_threshold": None})

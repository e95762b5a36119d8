"""What clear models say of the images that a protected path has classified, a portion at a time.

The clear reference that it must reproduce, and the clear twins between that and what is executed.
A pipeline is asked about every portion of the images by itself, so that no more than a portion is
in memory; both questions are asked of a portion before the next one, since pipelines that keep what
they computed last then compute it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np

from he_compare.common.contracts import ClearTwin, Fitted
from he_compare.common.errors import CellError
from he_compare.common.run.records import Agreement
from he_compare.common.types import Float64Array, Pictures, UInt8Array, in_portions

# Bytes of pixels that a clear model is handed at once; all test images of the shipped profiles.
MOST_BYTES = 64 << 20
# Networks take images in pieces of this size: whole ones, so that no score hangs on the portion.
WHOLE_PIECES = 64

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ClearModels:
    """``reference``: name and scores (n, k) of the clear reference, None where there is none.

    ``twins``: the clear models on the way from it to what is executed.
    """

    reference: tuple[str, Float64Array] | None
    twins: tuple[ClearTwin, ...]

    def agreement(self, scores: Float64Array) -> Agreement | None:
        """Compare executed scores (n, k) with those of the reference on the same images."""
        if self.reference is None:
            return None
        name, clear = self.reference
        same = scores.argmax(axis=1) == clear.argmax(axis=1)
        return Agreement(
            reference=name,
            executed=len(scores),
            compared=len(clear),
            agree=int(same.sum()),
            max_abs_score_difference=float(np.abs(scores - clear).max()),
            max_abs_score=float(np.abs(clear).max()),
        )


def clear_models_of(fitted: Fitted, images: Pictures, classes: int) -> ClearModels:
    """Ask a fitted pipeline for its clear models' scores of images.

    Raises CellError where they have another shape, or are not the same models for all images.
    """

    def ask(part: UInt8Array) -> ClearModels:
        reference = _checked(fitted.clear_reference(part), len(part), classes)
        return ClearModels(reference, clear_twins_of(fitted, part, classes))

    answers = _asked(images, ask, lambda one: one.reference is None and not one.twins)
    first, names = answers[0], [twin.name for twin in answers[0].twins]
    if any([twin.name for twin in one.twins] != names for one in answers):
        raise _changed("clear_twins")
    twins = (
        ClearTwin(twin.name, twin.cost, np.concatenate([one.twins[i].scores for one in answers]))
        for i, twin in enumerate(first.twins)
    )
    return ClearModels(_joined([one.reference for one in answers]), tuple(twins))


def clear_reference_of(
    fitted: Fitted, images: Pictures, classes: int
) -> tuple[str, Float64Array] | None:
    """Return name and scores (n, k) of the clear reference; None where there is none.

    Raises CellError.
    """

    def ask(part: UInt8Array) -> tuple[str, Float64Array] | None:
        return _checked(fitted.clear_reference(part), len(part), classes)

    return _joined(_asked(images, ask, lambda one: one is None))


def _asked(
    images: Pictures, ask: Callable[[UInt8Array], Answer], is_nothing: Callable[[Answer], bool]
) -> list[Answer]:
    """Ask about every portion; where there is nothing for the first, about no other."""
    answers: list[Answer] = []
    for part in in_portions(images, images_at_once(images.shape[1:])):
        answers.append(ask(part))
        if is_nothing(answers[0]):
            break
    return answers


def images_at_once(shape: tuple[int, ...]) -> int:
    """Return how many images of a shape a clear model is handed at once."""
    return max(1, MOST_BYTES // (prod(shape) * WHOLE_PIECES)) * WHOLE_PIECES


def _joined(
    parts: Sequence[tuple[str, Float64Array] | None],
) -> tuple[str, Float64Array] | None:
    found = [one for one in parts if one is not None]
    if not found:
        return None
    if len(found) < len(parts) or len({name for name, _ in found}) > 1:
        raise _changed("clear_reference")
    return found[0][0], np.concatenate([scores for _, scores in found])


def _changed(method: str) -> CellError:
    return CellError(
        f"{method} names other models for some images than for others",
        fix=f"return the same models for all images from {method}",
    )


def _checked(
    reference: tuple[str, Float64Array] | None, count: int, classes: int
) -> tuple[str, Float64Array] | None:
    if reference is None:
        return None
    shape = getattr(reference[1], "shape", None)
    if shape != (count, classes):
        raise CellError(
            f"the {reference[0]} has scores of shape {shape}, expected {(count, classes)}",
            fix="return one row per image and one column per class from clear_reference",
        )
    return reference


def clear_twins_of(fitted: Fitted, images: UInt8Array, classes: int) -> tuple[ClearTwin, ...]:
    """Return the clear models between the clear reference and the executed one, on these images.

    Raises CellError where one has scores of another shape or does not say what it costs.
    """
    twins = fitted.clear_twins(images)
    for number, twin in enumerate(twins):
        shape = getattr(twin.scores, "shape", None)
        if shape != (len(images), classes):
            raise CellError(
                f"the clear model {twin.name!r} has scores of shape {shape}, "
                f"expected {(len(images), classes)}",
                fix="return one row per image and one column per class from clear_twins",
            )
        if not twin.name or bool(twin.cost) is (number == 0):
            raise CellError(
                f"clear model {number + 1} of {len(twins)} has the name {twin.name!r} and the cost "
                f"{twin.cost!r}",
                fix="name every model, and what each costs, except the first, in clear_twins",
            )
    return twins

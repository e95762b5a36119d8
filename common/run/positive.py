"""Which class of two is the positive one: said by a person or a known dataset, never guessed.

Without one nothing is said of positives: no sensitivity, specificity, prevalence or F1 of one
class; recall is given of each class by name. Sheets of older versions took the second class
unasked; they are read as what they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.records import DatasetCard, ScoreSheet

OF_THE_POSITIVE = ("sensitivity", "specificity")
NONE_NAMED = "no class was said to be positive"


def how_to_name(classes: Sequence[str]) -> str:
    """Return the option that names one of two classes."""
    return " or ".join(f"--positive {name!r}" for name in classes)


def note_none_named(card: DatasetCard) -> str:
    """Say what to do where none of two classes is positive; '' where there is nothing to say."""
    if len(card.classes) != 2 or card.positive_class:
        return ""
    return f"{NONE_NAMED}: pass {how_to_name(card.classes)} for sensitivity and specificity"


def positive_scored(card: DatasetCard, sheet: ScoreSheet | None) -> str:
    """Return the class that a sheet calls positive, '' for none.

    Where the card names none, a sheet with a sensitivity is of a version that took the second.
    """
    if card.positive_class or len(card.classes) != 2 or sheet is None:
        return card.positive_class
    values = [one for cell in sheet.cells for one in cell.metrics if one.name in OF_THE_POSITIVE]
    return card.classes[1] if values else ""


def without_undefined(sheet: ScoreSheet) -> ScoreSheet:
    """Return a sheet without the empty values of positives that older versions wrote."""
    cells = [
        cell.model_copy(
            update={
                "metrics": [
                    one
                    for one in cell.metrics
                    if one.name not in OF_THE_POSITIVE or one.value is not None
                ]
            }
        )
        for cell in sheet.cells
    ]
    return sheet.model_copy(update={"cells": cells})

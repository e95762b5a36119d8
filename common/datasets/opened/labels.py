"""Labels as numbers: the index of a name in the classes, and which of two is the positive one."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.errors import DataError
from he_compare.common.plugins import nearest

NEGATIVE_NAMES = frozenset(
    {"normal", "negative", "healthy", "control", "benign", "no finding", "no_finding", "0", "none"}
)


def label_number(label: str, classes: Sequence[str], where: str) -> int:
    """Return the index of a label. Raises DataError where it is not in the list of classes."""
    try:
        return list(classes).index(label)
    except ValueError:
        raise DataError(
            f"{where}: label {label!r} is not one of {', '.join(map(repr, classes))}",
            fix=nearest(label, list(classes)),
        ) from None


def positive_of(classes: Sequence[str]) -> str:
    """Return the positive class of two: the one that is not called normal, else the second.

    '' for more than two classes.
    """
    if len(classes) != 2:
        return ""
    negative = [name for name in classes if name.lower() in NEGATIVE_NAMES]
    if len(negative) == 1:
        return next(name for name in classes if name != negative[0])
    return classes[1]

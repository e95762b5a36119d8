"""Labels as numbers: the index of a name in the classes."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.errors import DataError
from he_compare.common.plugins import nearest


def label_number(label: str, classes: Sequence[str], where: str) -> int:
    """Return the index of a label. Raises DataError where it is not in the list of classes."""
    try:
        return list(classes).index(label)
    except ValueError:
        raise DataError(
            f"{where}: label {label!r} is not one of {', '.join(map(repr, classes))}",
            fix=nearest(label, list(classes)),
        ) from None

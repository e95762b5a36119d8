"""Values of DICOM elements, where empty is absent and what is no number is refused by keyword.

Texts of elements are never quoted: they may name a person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from he_compare.common.errors import DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_VALUES = 1024


class ElementError(DataError):
    """An element that cannot be used; whoever knows the file adds its name."""

    def __init__(self, what: str, fix: str = "correct the header or leave the file out") -> None:
        super().__init__(what, fix=fix)


def element_value(dataset: Dataset, keyword: str) -> Any:
    """Return the value, None where the element is absent or empty. Raises ElementError."""
    try:
        value = dataset.get(keyword)
    # pydicom converts when asked, and raises anything from ValueError to KeyError.
    except Exception as error:
        raise ElementError(f"its {keyword} cannot be read ({type(error).__name__})") from None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


def real_numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return all values as floats, empty for an absent element; NaN and infinity are kept."""
    value = element_value(dataset, keyword)
    if value is None:
        return []
    many = list(value) if _is_multiple(value) else [value]
    try:
        return [float(one) for one in many[:MAX_VALUES] if one not in (None, "")]
    except (TypeError, ValueError, OverflowError):
        raise ElementError(f"its {keyword} is no number") from None


def real_number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value, None where there is none. Raises ElementError on NaN, infinity."""
    values = real_numbers(dataset, keyword)
    if not values:
        return None
    if not math.isfinite(values[0]):
        raise ElementError(f"its {keyword} is {values[0]}")
    return values[0]


def whole_number(dataset: Dataset, keyword: str, otherwise: int) -> int:
    """Return the first value as an integer, ``otherwise`` where there is none."""
    value = real_number(dataset, keyword)
    if value is None:
        return otherwise
    if value != int(value):
        raise ElementError(f"its {keyword} is {value:g}, not a whole number")
    return int(value)


def code_string(dataset: Dataset, keyword: str) -> str:
    """Return the first value in capitals without blanks around it, '' where there is none."""
    value = element_value(dataset, keyword)
    if value is None:
        return ""
    first = value[0] if _is_multiple(value) else value
    return str(first).strip(" \x00").upper()


def sequence_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, none for an absent or empty one."""
    value = element_value(dataset, keyword)
    if value is None:
        return []
    items = list(value) if _is_multiple(value) else []
    if not all(isinstance(item, Mapping) or hasattr(item, "get_item") for item in items):
        raise ElementError(f"its {keyword} is no sequence")
    return items


def _is_multiple(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)

"""Lookup tables of DICOM: modality, VOI and palette, whatever their depth and byte order.

PS3.3 sections C.7.6.3.1.5 and C.7.9.2 (palettes), C.11.1 (modality), C.11.2.1.1 (VOI). A table is
described by three numbers: entries (0 for 65,536), the first value that is mapped, bits per entry.
Entries of up to 8 bits come as bytes or in words of 16 bits, in their low or in their high byte.
Values below the first or above the last entry take the first or the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_elements import ElementError, element_value
from he_compare.common.datasets.reading.dicom_segments import expanded
from he_compare.common.types import Float64Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_ENTRIES = 65536
Words = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class LookupTable:
    """``entries``: uint16, for the values from ``first`` on. ``bits``: their depth, 1 to 16."""

    first: int
    entries: Words
    bits: int

    def mapped(self, values: npt.NDArray[Any]) -> Float64Array:
        """Return the entry of each value, rounded to the nearest index, as float64."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[index.astype(np.int64)].astype(np.float64)

    def of_255(self, values: npt.NDArray[Any]) -> Float64Array:
        """Return the entries scaled so that the largest of their depth is 255."""
        return np.minimum(self.mapped(values) * (255.0 / (2**self.bits - 1)), 255.0)


def read_lookup_table(
    dataset: Dataset, descriptor: str, data: str, *, signed: bool, big_endian: bool
) -> LookupTable | None:
    """Return the table of two elements by keyword, None where one of them is absent or empty.

    ``signed``: whether the values to be mapped may be negative. Raises ElementError.
    """
    described = _described(dataset, descriptor)
    stored = element_value(dataset, data)
    if described is None or stored is None:
        return None
    count, first, bits = described
    words = _as_words(stored, data, big_endian)
    entries, bits = _entries(words, _byte_length(stored), count, bits, data)
    return LookupTable(_first_mapped(first, signed), entries, bits)


def read_palette(dataset: Dataset, *, big_endian: bool) -> list[LookupTable] | None:
    """Return the tables of red, green and blue, plain or segmented. Raises ElementError."""
    tables = []
    for colour in ("Red", "Green", "Blue"):
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        plain = read_lookup_table(
            dataset,
            descriptor,
            f"{colour}PaletteColorLookupTableData",
            signed=False,
            big_endian=big_endian,
        )
        table = plain or _segmented(dataset, descriptor, colour, big_endian)
        if table is None:
            return None
        tables.append(table)
    return tables


def _segmented(
    dataset: Dataset, descriptor: str, colour: str, big_endian: bool
) -> LookupTable | None:
    keyword = f"Segmented{colour}PaletteColorLookupTableData"
    described = _described(dataset, descriptor)
    stored = element_value(dataset, keyword)
    if described is None or stored is None:
        return None
    count, first, bits = described
    words = _as_words(stored, keyword, big_endian)
    if bits > 8:
        return LookupTable(first, expanded(words, 2, count, keyword), 16)
    try:  # segments are made of units of the size of the entries
        return LookupTable(first, expanded(_as_bytes(words), 1, count, keyword), 8)
    except ElementError:
        entries = expanded(words, 2, count, keyword)
        return LookupTable(first, *_depth_of(entries, bits))


def _described(dataset: Dataset, keyword: str) -> tuple[int, int, int] | None:
    value = element_value(dataset, keyword)
    if value is None:
        return None
    try:
        count, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise ElementError(f"its {keyword} has not three numbers") from None
    return (count & 0xFFFF) or MOST_ENTRIES, first & 0xFFFF, bits & 0xFFFF


def _first_mapped(first: int, signed: bool) -> int:
    return first - 0x10000 if signed and first >= 0x8000 else first


def _byte_length(stored: Any) -> int:
    return len(stored) if isinstance(stored, bytes | bytearray) else 2 * np.size(stored)


def _as_words(stored: Any, keyword: str, big_endian: bool) -> Words:
    """Return 16-bit words in the order of this machine; a last odd byte gets a zero beside it."""
    if isinstance(stored, bytes | bytearray):
        padded = bytes(stored) + b"\x00" * (len(stored) % 2)
        return np.frombuffer(padded, dtype=">u2" if big_endian else "<u2").astype(np.uint16)
    try:
        return (np.atleast_1d(np.asarray(stored, dtype=np.int64)) & 0xFFFF).astype(np.uint16)
    except (TypeError, ValueError, OverflowError):
        raise ElementError(f"its {keyword} holds no numbers") from None


def _as_bytes(words: Words) -> Words:
    """Return two entries per word, the low byte first."""
    return np.stack([words & 0xFF, words >> 8], axis=1).reshape(-1)


def _entries(words: Words, length: int, count: int, bits: int, keyword: str) -> tuple[Words, int]:
    """Return ``count`` entries and their depth, by how many bytes there are for each."""
    in_bytes = count <= length <= count + 1
    if len(words) < count and not in_bytes:
        raise ElementError(
            f"its {keyword} has {length:,} bytes for {count:,} entries",
            fix="restore the file or leave it out",
        )
    if len(words) < count:
        return _as_bytes(words)[:count], min(bits, 8) or 8
    return _depth_of(words[:count], bits)


def _depth_of(entries: Words, bits: int) -> tuple[Words, int]:
    """Return entries that came in words, and their depth."""
    if bits <= 8 and int(entries.max()) > 0xFF:
        low = entries & 0xFF
        if np.all((low == 0) | (low == entries >> 8)):
            return (entries >> 8).astype(np.uint16), 8
        # Neither byte alone holds the entries: they are deeper than the table says.
        return entries, int(entries.max()).bit_length()
    return entries, bits if 1 <= bits <= 16 else max(int(entries.max()).bit_length(), 8)

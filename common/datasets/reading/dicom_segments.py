"""Segmented palettes: PS3.3 section C.7.9.2, with bounds for hostile ones.

A segment is an operation, a length and values. 0, discrete: that many entries. 1, linear: a line
from the last entry to the one given. 2, indirect: that many segments once more, from an offset in
bytes (low and high part) on. An indirect segment may not lead to another indirect one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_elements import ElementError

DISCRETE, LINEAR, INDIRECT = range(3)


def expanded(
    units: npt.NDArray[np.uint16], unit_bytes: int, count: int, keyword: str
) -> npt.NDArray[np.uint16]:
    """Return ``count`` entries of segmented data given as ``units`` of 1 or 2 bytes each.

    Every segment adds an entry at least, and none may lead past ``count``: the work is bounded by
    ``count`` whatever the data says. Raises ElementError.
    """
    table = _Expansion(units, unit_bytes, count, keyword)
    position = 0
    while position < len(units) and table.missing:
        position = table.run(position, nested=False)
    if table.missing:
        raise ElementError(f"its {keyword} makes {count - table.missing:,} of {count:,} entries")
    return table.entries


class _Expansion:
    """Entries made so far: ``missing`` counts those that are not."""

    def __init__(
        self, units: npt.NDArray[np.uint16], unit_bytes: int, count: int, keyword: str
    ) -> None:
        self.units, self.unit_bytes, self.keyword = units, unit_bytes, keyword
        self.entries = np.zeros(count, dtype=np.uint16)
        self.missing = count

    def run(self, position: int, *, nested: bool) -> int:
        """Expand the segment at ``position``; return where the next one begins."""
        operation, length = (int(unit) for unit in self._take(position, 2))
        if length == 0:
            raise self._broken("a segment of no length")
        if operation == DISCRETE:
            self._append(self._take(position + 2, length))
            return position + 2 + length
        if operation == LINEAR:
            self._line(length, int(self._take(position + 2, 1)[0]))
            return position + 3
        if operation != INDIRECT or nested:
            what = "an indirect segment inside another" if nested else "an unknown segment"
            raise self._broken(what)
        self._again(length, position + 2)
        return position + 2 + 4 // self.unit_bytes

    def _again(self, segments: int, position: int) -> None:
        """Run segments once more, from the offset in bytes that stands at ``position`` on."""
        width = 8 * self.unit_bytes
        parts = self._take(position, 4 // self.unit_bytes)
        offset = sum(int(part) << (width * i) for i, part in enumerate(parts))
        start = offset // self.unit_bytes
        for _ in range(segments):
            if not self.missing:
                raise self._broken("more entries than declared")
            start = self.run(start, nested=True)

    def _line(self, length: int, end: int) -> None:
        made = len(self.entries) - self.missing
        if not made:
            raise self._broken("a line without a first entry")
        start = int(self.entries[made - 1])
        steps = np.arange(1, length + 1) / length
        self._append(np.floor(start + (end - start) * steps + 0.5).astype(np.uint16))

    def _append(self, values: npt.NDArray[np.uint16]) -> None:
        if len(values) > self.missing:
            raise self._broken("more entries than declared")
        made = len(self.entries) - self.missing
        self.entries[made : made + len(values)] = values
        self.missing -= len(values)

    def _take(self, position: int, length: int) -> npt.NDArray[np.uint16]:
        values = self.units[position : position + length]
        if len(values) < length:
            raise self._broken("a segment that ends after the data")
        return values

    def _broken(self, what: str) -> ElementError:
        return ElementError(f"its {self.keyword} has {what}")

"""How the values of one frame become grey levels, as its header says: rescale, VOI LUT, window.

An empty element is an absent one. A window that is none (no width, or no number) is passed over
and counted; a rescale that changes nothing is none. In enhanced objects the values of the frame
come before the ones that all frames share, and these before those of the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_elements import (
    ElementError,
    code_string,
    real_number,
    real_numbers,
    sequence_items,
)
from he_compare.common.datasets.reading.dicom_tables import LookupTable, read_lookup_table
from he_compare.common.types import Float64Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
# Beyond 40 the exponential no longer changes an 8-bit value.
STEEPEST = 40.0


@dataclass(frozen=True)
class Window:
    """A window of PS3.3 section C.11.2.1.2 and C.11.2.1.3; ``width`` is positive and finite."""

    center: float
    width: float
    function: str

    def of_255(self, values: Float64Array) -> Float64Array:
        """Return values from 0 to 255.

        LINEAR is defined from a width of 1 on; below it a window is taken as LINEAR_EXACT, as
        values of fractions (a slope of 0.0001) need it.
        """
        center, width = self.center, self.width
        if self.function == "SIGMOID":
            steep = np.clip(-4.0 * (values - center) / width, -STEEPEST, STEEPEST)
            sigmoid: Float64Array = 255.0 / (1.0 + np.exp(steep))
            return sigmoid
        if self.function == "LINEAR" and width >= 1:
            center, width = center - 0.5, width - 1.0
        if width == 0:
            return np.where(values > center, 255.0, 0.0)
        line: Float64Array = np.clip(((values - center) / width + 0.5) * 255.0, 0.0, 255.0)
        return line


@dataclass(frozen=True)
class Reduction:
    """``modality``: a table, else ``slope`` and ``intercept``. ``voi``: a table before a window.

    ``unusable``: there are window elements that are no window.
    """

    modality: LookupTable | None
    slope: float
    intercept: float
    voi: LookupTable | None
    window: Window | None
    unusable: bool

    def rescaled(self, stored: npt.NDArray[Any]) -> Float64Array:
        """Return the values of the modality as float64."""
        if self.modality is not None:
            return self.modality.mapped(stored)
        values: Float64Array = stored.astype(np.float64)
        if (self.slope, self.intercept) != (1.0, 0.0):
            values = values * self.slope + self.intercept
        return values


def read_reduction(dataset: Dataset, frame: int, *, signed: bool, big_endian: bool) -> Reduction:
    """Return what a header says of the frame ``frame`` (from 0 on). Raises ElementError."""
    places = [*_functional_groups(dataset, frame), dataset]
    slope, intercept = _rescale(places)
    modality = _first_table(dataset, "ModalityLUTSequence", signed, big_endian)
    negative = signed or slope < 0 or intercept < 0
    voi = _first_table(dataset, "VOILUTSequence", negative and modality is None, big_endian)
    step = 1.0 if modality is not None else abs(slope)
    windows = [window for place in places if (window := _windows(place, step)) is not None]
    chosen = next((usable[0] for usable in windows if usable), None)
    return Reduction(modality, slope, intercept, voi, chosen, bool(windows) and chosen is None)


def _functional_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    """Return the items that hold the frame's own values, then those that all frames share."""
    per_frame = sequence_items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = sequence_items(dataset, "SharedFunctionalGroupsSequence")
    found = []
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        found += sequence_items(group, "PixelValueTransformationSequence")[:1]
        found += sequence_items(group, "FrameVOILUTSequence")[:1]
    return found


def _rescale(places: Sequence[Dataset]) -> tuple[float, float]:
    """Return slope and intercept of the first place that has one of them, else 1 and 0."""
    for place in places:
        slope = real_number(place, "RescaleSlope")
        intercept = real_number(place, "RescaleIntercept")
        if slope is not None or intercept is not None:
            # A slope of 0 would make every value the same: it says that nothing is to be done.
            return (slope, intercept or 0.0) if slope else (1.0, intercept or 0.0)
    return 1.0, 0.0


def _first_table(
    dataset: Dataset, sequence: str, signed: bool, big_endian: bool
) -> LookupTable | None:
    for item in sequence_items(dataset, sequence):
        table = read_lookup_table(
            item, "LUTDescriptor", "LUTData", signed=signed, big_endian=big_endian
        )
        if table is not None:
            return table
    return None


def _windows(dataset: Dataset, step: float) -> list[Window] | None:
    """Return the windows that can be applied, in order; None where there are no elements.

    ``step``: between two values of the modality. A LINEAR window below a width of 1 is one only
    where it spans such a step.
    """
    centers = real_numbers(dataset, "WindowCenter")
    widths = real_numbers(dataset, "WindowWidth")
    if not centers or not widths:
        return None
    function = code_string(dataset, "VOILUTFunction") or "LINEAR"
    if function not in FUNCTIONS:
        raise ElementError(
            f"its VOILUTFunction is none of {', '.join(FUNCTIONS)}",
            fix="correct the header or leave the file out",
        )
    least = min(1.0, step) if function == "LINEAR" else math.ulp(0.0)
    return [
        Window(center, width, function)
        for center, width in zip(centers, widths, strict=False)
        if math.isfinite(center) and math.isfinite(width) and width >= least
    ]

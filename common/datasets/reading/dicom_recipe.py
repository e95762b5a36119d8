"""All that is needed to make pictures of the frames of a DICOM file, read from its header once.

Only elements of pixels are in it: nothing that may identify a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.decoding import MAX_PIXELS, MIN_SIDE
from he_compare.common.datasets.reading.dicom_elements import (
    ElementError,
    code_string,
    element_value,
    whole_number,
)
from he_compare.common.datasets.reading.dicom_reduction import Reduction, read_reduction
from he_compare.common.datasets.reading.dicom_tables import LookupTable, read_palette

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
PHOTOMETRIC = (*GREY, *COLOUR, PALETTE)
MAX_FRAMES = 20_000
MAX_BITS = 32
PIXEL_TAGS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)


@dataclass(frozen=True)
class PixelLayout:
    """How the pixels of each frame are stored."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    frames: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bits(self) -> int:
        """Return how many bits an uncompressed frame takes."""
        bits = self.rows * self.columns * self.samples * self.allocated
        return bits * 2 // 3 if self.photometric == "YBR_FULL_422" else bits

    @property
    def limits(self) -> tuple[int, int]:
        """Return the smallest and the largest value that the stored bits can hold."""
        if self.signed:
            return -(2 ** (self.stored - 1)), 2 ** (self.stored - 1) - 1
        return 0, 2**self.stored - 1


@dataclass(frozen=True)
class Recipe:
    """``reductions``: of each frame, or of all of them where there is one. ``padding``: a range.

    Both are empty for colour. ``padding`` is None where there is none.
    """

    layout: PixelLayout
    reductions: tuple[Reduction, ...]
    padding: tuple[int, int] | None
    palette: tuple[LookupTable, ...]

    def reduction(self, frame: int) -> Reduction:
        """Return how the values of a frame become grey levels."""
        return self.reductions[min(frame, len(self.reductions) - 1)]

    def way(self, frame: int) -> str:
        """Return by which of the ways of the rule the values of a frame become 8 bits."""
        if not self.reductions:
            return "colour"
        reduction = self.reduction(frame)
        if reduction.voi is not None:
            return "VOI LUT"
        if reduction.window is not None:
            return "window"
        if self.layout.stored <= 8 and reduction.modality is None:
            return "full range"
        return "smallest to largest value"


def read_recipe(dataset: Dataset, *, big_endian: bool) -> Recipe:
    """Read and check the elements of the pixels. Raises ElementError, which names no file."""
    layout = _layout(dataset)
    if layout.photometric not in GREY:
        palette = read_palette(dataset, big_endian=big_endian)
        if layout.photometric == PALETTE and palette is None:
            raise ElementError(
                "it is a palette image without a whole palette", fix="convert it to RGB"
            )
        return Recipe(layout, (), None, tuple(palette or ()) if _is_palette(layout) else ())
    enhanced = element_value(dataset, "PerFrameFunctionalGroupsSequence") is not None
    reductions = tuple(
        read_reduction(dataset, frame, signed=layout.signed, big_endian=big_endian)
        for frame in range(layout.frames if enhanced else 1)
    )
    return Recipe(layout, reductions, _padding(dataset, layout), ())


def _is_palette(layout: PixelLayout) -> bool:
    return layout.photometric == PALETTE


def _layout(dataset: Dataset) -> PixelLayout:
    for keyword in ("Rows", "Columns", "PhotometricInterpretation", "BitsAllocated"):
        if element_value(dataset, keyword) is None:
            raise ElementError(f"it has no {keyword}", fix="leave it out")
    photometric = code_string(dataset, "PhotometricInterpretation")
    if photometric not in PHOTOMETRIC:
        shown = photometric[:16] if photometric.replace("_", "").isalnum() else "?"
        raise ElementError(
            f"it has the photometric interpretation {shown!r}",
            fix="convert it to MONOCHROME2 or RGB",
        )
    allocated = whole_number(dataset, "BitsAllocated", 0)
    stored = whole_number(dataset, "BitsStored", allocated)
    layout = PixelLayout(
        rows=whole_number(dataset, "Rows", 0),
        columns=whole_number(dataset, "Columns", 0),
        samples=whole_number(dataset, "SamplesPerPixel", 3 if photometric in COLOUR else 1),
        photometric=photometric,
        planar=whole_number(dataset, "PlanarConfiguration", 0),
        frames=max(1, whole_number(dataset, "NumberOfFrames", 1)),
        allocated=allocated,
        stored=stored,
        high_bit=whole_number(dataset, "HighBit", stored - 1),
        signed=whole_number(dataset, "PixelRepresentation", 0) == 1,
    )
    _check_bits(layout)
    _check_layout_size(layout)
    return layout


def _check_bits(layout: PixelLayout) -> None:
    if layout.samples != (3 if layout.photometric in COLOUR else 1):
        raise ElementError(
            f"it is {layout.photometric} with {layout.samples} samples per pixel",
            fix="correct the header or leave the file out",
        )
    if layout.allocated not in (1, 8, 16, 32):
        raise ElementError(
            f"it has {layout.allocated} bits allocated per value, not 1, 8, 16 or 32",
            fix="store it with 16 bits",
        )
    if not 1 <= layout.stored <= layout.allocated:
        raise ElementError(f"it has {layout.stored} of {layout.allocated} bits stored")
    if not layout.stored - 1 <= layout.high_bit < layout.allocated:
        raise ElementError(
            f"its high bit {layout.high_bit} does not go with {layout.stored} of "
            f"{layout.allocated} bits stored"
        )


def _check_layout_size(layout: PixelLayout) -> None:
    rows, columns = layout.rows, layout.columns
    if rows * columns * layout.samples > MAX_PIXELS:
        raise ElementError(
            f"it claims {columns} x {rows} pixels of {layout.samples} samples, more than "
            f"{MAX_PIXELS:,}",
            fix="scale it down",
        )
    if min(rows, columns) < MIN_SIDE:
        raise ElementError(
            f"it has {columns} x {rows} pixels, fewer than {MIN_SIDE} per side",
            fix="leave it out",
        )
    if layout.frames > MAX_FRAMES:
        raise ElementError(
            f"it claims {layout.frames:,} frames, more than {MAX_FRAMES:,}", fix="cut it in parts"
        )


def _padding(dataset: Dataset, layout: PixelLayout) -> tuple[int, int] | None:
    """Return the smallest and largest padding value, with the sign that the pixels have.

    Written as US for signed pixels, 63,536 is -2,000; written as SS for unsigned ones, the other
    way round.
    """
    if element_value(dataset, "PixelPaddingValue") is None:
        return None
    first = whole_number(dataset, "PixelPaddingValue", 0)
    ends = [first, whole_number(dataset, "PixelPaddingRangeLimit", first)]
    ends = [_as_signed(end, layout) if layout.signed else _as_unsigned(end, layout) for end in ends]
    return min(ends), max(ends)


def _as_signed(value: int, layout: PixelLayout) -> int:
    if value >= 2**15:
        return value - 2**16
    return value - 2**8 if layout.allocated == 8 and value >= 2**7 else value


def _as_unsigned(value: int, layout: PixelLayout) -> int:
    return value % 2 ** min(layout.allocated, 16) if value < 0 else value

"""From stored DICOM values to an 8-bit picture, by one stated rule.

Grey values, in this order (PS3.3 sections C.7.6.3, C.11.1, C.11.2):

1. modality LUT, or rescale slope and intercept, where the file has them;
2. to 0 ... 255: by the file's first VOI LUT; else by its first window (LINEAR, LINEAR_EXACT or
   SIGMOID); else, for values of at most 8 bits that were not rescaled, by their full range; else
   from the smallest to the largest value of the image, padding left out;
3. MONOCHROME1 is inverted, so that small is dark in every picture; padding is black;
4. rounded to the nearest whole number, halves up.

Colour becomes RGB; values of more than 8 bits are divided by the full range of their bits.
Overlays, presentation states and ICC profiles are not applied.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import CompareError, DataError
from he_compare.common.types import Float64Array, UInt8Array

if TYPE_CHECKING:
    from PIL import Image
    from pydicom.dataset import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
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
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "PixelData",
)
RULE = (
    "rescaled as the file says, then reduced to 8 bits by its first VOI LUT or window, else by the "
    "full range (8 bits) or from smallest to largest value; MONOCHROME1 inverted; padding black"
)
Values = npt.NDArray[Any]


def known_photometric(photometric: str) -> bool:
    """Return whether pictures of this photometric interpretation can be made."""
    return photometric in GREY or photometric in COLOUR


def reduction_of(dataset: Dataset) -> str:
    """Return by which of the ways of the rule the values of an image become 8 bits."""
    if str(dataset.PhotometricInterpretation) not in GREY:
        return "colour"
    if dataset.get("VOILUTSequence"):
        return "VOI LUT"
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        return "window"
    rescaled = bool(dataset.get("ModalityLUTSequence")) or "RescaleSlope" in dataset
    if int(dataset.BitsStored) <= 8 and not dataset.get("PixelRepresentation") and not rescaled:
        return "full range"
    return "smallest to largest value"


def open_dicom(path: Path, name: str) -> Image.Image:
    """Return the 8-bit picture of a DICOM image, mode L or RGB. Raises DataError naming it."""
    from PIL import Image
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array

    try:
        dataset = dcmread(path, specific_tags=list(PIXEL_TAGS))
        pixels = eight_bit(dataset, pixel_array(dataset))
    except CompareError:
        raise
    # Codecs raise anything on hostile bytes; no element but those of pixels was read.
    except Exception as error:
        first = (str(error) or type(error).__name__).strip().split("\n", 1)[0]
        raise DataError(
            f"image {name} cannot be decoded: {first}", fix="restore the file or leave it out"
        ) from None
    return Image.fromarray(pixels)


def eight_bit(dataset: Dataset, stored: Values) -> UInt8Array:
    """Return uint8 (rows, columns) or (rows, columns, 3) of decoded values by the rule above."""
    from pydicom.pixels.processing import apply_color_lut

    photometric = str(dataset.PhotometricInterpretation)
    if photometric in GREY:
        return _rounded(_grey(dataset, stored))
    bits = int(dataset.BitsStored)
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        bits = 8 * stored.dtype.itemsize
    if stored.dtype == np.uint8 and bits == 8:
        return stored
    return _rounded(stored * (255.0 / (2**bits - 1)))


def _grey(dataset: Dataset, stored: Values) -> Float64Array:
    from pydicom.pixels.processing import apply_modality_lut

    values = apply_modality_lut(stored, dataset)
    padding = dataset.get("PixelPaddingValue")
    padded = None if padding is None else stored == int(padding)
    way = reduction_of(dataset)
    if way == "VOI LUT":
        grey = _by_voi_lut(dataset, values)
    elif way == "window":
        grey = _by_window(dataset, values.astype(np.float64))
    elif way == "full range":
        grey = values * (255.0 / (2 ** int(dataset.BitsStored) - 1))
    else:
        grey = _by_extremes(values.astype(np.float64), padded)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        grey = 255.0 - grey
    if padded is not None:
        grey[padded] = 0.0
    return grey


def _by_voi_lut(dataset: Dataset, values: Values) -> Float64Array:
    from pydicom.pixels.processing import apply_voi

    whole = np.rint(values).astype(np.int64)
    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    return apply_voi(whole, dataset).astype(np.float64) * (255.0 / (2**bits - 1))


def _by_window(dataset: Dataset, values: Float64Array) -> Float64Array:
    """Apply the first window: PS3.3 C.11.2.1.2 and C.11.2.1.3, to 0 ... 255."""
    center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if width < 1 if function == "LINEAR" else width <= 0:
        raise ValueError(f"its window width is {width:g}")
    if function == "SIGMOID":
        # Beyond 40 the exponential no longer changes an 8-bit value.
        return 255.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -40, 40)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    elif function != "LINEAR_EXACT":
        raise ValueError(f"its VOI LUT function is {function[:16]!r}")
    if width == 0:
        return np.where(values > center, 255.0, 0.0)
    return np.clip(((values - center) / width + 0.5) * 255.0, 0.0, 255.0)


def _first(value: Any) -> float:
    return (
        float(value[0])
        if hasattr(value, "__len__") and not isinstance(value, str)
        else float(value)
    )


def _by_extremes(values: Float64Array, padded: npt.NDArray[np.bool_] | None) -> Float64Array:
    shown = values if padded is None else values[~padded]
    if shown.size == 0 or shown.max() == shown.min():
        return np.zeros_like(values)
    low, high = float(shown.min()), float(shown.max())
    return np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)


def _rounded(values: Values) -> UInt8Array:
    return np.floor(np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)

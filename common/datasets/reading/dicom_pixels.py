"""From stored DICOM values to an 8-bit picture, by one stated rule.

Grey values, in this order (PS3.3 sections C.7.6.3, C.11.1, C.11.2):

1. modality LUT, or rescale slope and intercept, where the file has them;
2. to 0 ... 255: by the file's first VOI LUT; else by its first window that is one (LINEAR,
   LINEAR_EXACT or SIGMOID); else, for at most 8 stored bits without a modality LUT, by the full
   range of these bits; else from the smallest to the largest value, padding left out;
3. MONOCHROME1 is inverted, so that small is dark in every picture; padding is black;
4. rounded to the nearest whole number, halves up.

Colour becomes RGB; values of more than 8 bits are divided by the full range of their bits, and
entries of a palette by that of the palette's depth. Overlays, presentation states, presentation
LUTs and ICC profiles are not applied.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_codecs import check_codec
from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_file import opened_dicom
from he_compare.common.datasets.reading.dicom_frames import (
    check_compressed,
    check_stored,
    decoded_frame,
)
from he_compare.common.datasets.reading.dicom_recipe import (
    PALETTE,
    PIXEL_TAGS,
    Recipe,
    read_recipe,
)
from he_compare.common.errors import CompareError, DataError
from he_compare.common.types import Float64Array, UInt8Array

if TYPE_CHECKING:
    from PIL import Image

RULE = (
    "rescaled as the file says, then reduced to 8 bits by its first VOI LUT or window, else by the "
    "full range (8 bits) or from smallest to largest value; MONOCHROME1 inverted; padding black"
)
Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
# Values that span no more than this are reduced once each, and looked up pixel by pixel.
MOST_LEVELS = 65536


def open_dicom(path: Path, name: str, frame: int = 0) -> Image.Image:
    """Return the 8-bit picture of a frame (from 0 on), mode L or RGB. Raises DataError."""
    from PIL import Image

    try:
        with opened_dicom(path, PIXEL_TAGS) as file:
            recipe = read_recipe(file.dataset, big_endian=file.big_endian)
            if file.start is None:
                raise ElementError("it has no pixel data", fix="leave it out")
            check_stored(file, recipe.layout)
            check_compressed(file, recipe.layout, frame)
            check_codec(file.syntax, recipe.layout)
            stored = decoded_frame(file, recipe.layout, frame)
            pixels = eight_bit(recipe, stored, frame)
    except ElementError as error:
        raise about_image(name, error) from None
    except CompareError:
        raise
    # The text of an error may quote the file: only its kind is reported.
    except Exception as error:
        raise DataError(
            f"image {name} cannot be decoded ({type(error).__name__})",
            fix="restore the file or leave it out",
        ) from None
    return Image.fromarray(pixels)


def about_image(name: str, error: ElementError) -> DataError:
    """Return an error about an element as one about the image of that name."""
    said = error.problem.removeprefix("it ")
    joint = " " if said != error.problem else ": "
    return DataError(f"image {name}{joint}{said}", fix=error.fix)


def eight_bit(recipe: Recipe, stored: Values, frame: int = 0) -> UInt8Array:
    """Return uint8 (rows, columns) or (rows, columns, 3) of decoded values by the rule above."""
    if recipe.reductions:
        return _grey(recipe, stored, frame)
    if recipe.layout.photometric == PALETTE:
        return _rounded(np.stack([table.of_255(stored) for table in recipe.palette], axis=-1))
    bits = recipe.layout.stored
    if stored.dtype == np.uint8 and bits == 8:
        return stored
    return _rounded(stored * (255.0 / (2**bits - 1)))


def _grey(recipe: Recipe, stored: Values, frame: int) -> UInt8Array:
    """Reduce each value that occurs, or could between the smallest and the largest, once."""
    padded = _padded(recipe, stored)
    low, high = int(stored.min()), int(stored.max())
    if high - low >= MOST_LEVELS:
        shown = None if padded is None else ~padded
        grey = _rounded(_levels(recipe, stored, shown, frame))
    else:
        index = stored.astype(np.int64) - low
        present = np.zeros(high - low + 1, dtype=np.bool_)
        present[index if padded is None else index[~padded]] = True
        grey = _rounded(_levels(recipe, np.arange(low, high + 1), present, frame))[index]
    if padded is not None:
        grey[padded] = 0
    return grey


def _levels(recipe: Recipe, stored: Values, shown: Mask | None, frame: int) -> Float64Array:
    """Return grey levels of stored values; ``shown``: which of them count for the extremes."""
    reduction, way = recipe.reduction(frame), recipe.way(frame)
    values = reduction.rescaled(stored)
    if reduction.voi is not None:
        grey = reduction.voi.of_255(values)
    elif reduction.window is not None:
        grey = reduction.window.of_255(values)
    elif way == "full range":
        ends = reduction.rescaled(np.array(recipe.layout.limits))
        grey = _between(values, float(ends.min()), float(ends.max()))
    else:
        of_image = values if shown is None else values[shown]
        ends = of_image if of_image.size else np.zeros(1)
        grey = _between(values, float(ends.min()), float(ends.max()))
    return 255.0 - grey if recipe.layout.photometric == "MONOCHROME1" else grey


def _padded(recipe: Recipe, stored: Values) -> Mask | None:
    if recipe.padding is None:
        return None
    low, high = recipe.padding
    mask: Mask = (stored >= low) & (stored <= high)
    return mask


def _between(values: Float64Array, low: float, high: float) -> Float64Array:
    if high == low:
        return np.zeros_like(values)
    line: Float64Array = np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)
    return line


def _rounded(values: Values) -> UInt8Array:
    return np.floor(np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)

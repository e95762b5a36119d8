"""Pixels as PNG for a page: grey where they are grey, tiny pictures enlarged so that they show."""

from __future__ import annotations

import functools
import io
import struct
import warnings
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

# Pixels on a side below which a picture is enlarged by a whole factor; a third of a column.
SMALLEST = 96
# Larger ones are thinned: what a page shows of them is no finer.
LARGEST = 240
# Of a stored picture: attacks leave them at the size of the images of the run.
MOST_PIXELS = 1 << 24
_NO_PICTURE = (
    *(OSError, ValueError, SyntaxError, KeyError, IndexError, MemoryError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning, struct.error, zlib.error),
)


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode uint8 (h, w, 3) or (h, w) as PNG.

    Enlarging repeats pixels and thinning drops them: nothing is blurred, so a scrambled picture
    looks as it is.
    """
    shown = pixels
    if shown.ndim == 3 and (shown == shown[..., :1]).all():
        shown = shown[..., 0]
    side = max(shown.shape[:2])
    if side < SMALLEST:
        factor = -(-SMALLEST // max(side, 1))
        shown = shown.repeat(factor, axis=0).repeat(factor, axis=1)
    elif side > LARGEST:
        step = -(-side // LARGEST)
        shown = shown[::step, ::step]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


@functools.lru_cache(maxsize=512)
def redrawn(png: bytes) -> bytes | None:
    """Return a stored picture as ``png_of`` makes it.

    None where the bytes are no PNG, or one of more than ``MOST_PIXELS``: its header is judged
    before a pixel is decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                return png_of(np.asarray(image.convert("RGB")))
    except _NO_PICTURE:
        return None

"""Decoding untrusted images into RGB uint8.

Rules, the same for every dataset:

* the formats of ``picture_formats``, told by content; at most ``MAX_PIXELS`` pixels (checked before
  any pixel is decoded), at least ``MIN_SIDE`` pixels per side. Animations and TIFF files of several
  pictures are refused; of an MPO, and of a TIFF whose further pictures are smaller copies or masks,
  the first is read and ``picture_survey`` counts it.
* grey, 1-bit and palette images become RGB; an alpha channel is dropped if it is opaque everywhere
  and refused otherwise, because what lies under it is not defined.
* 16-bit grey goes through the window of ``grey_window``. 16-bit colour, signed and floating-point
  values, CMYK and the like are refused.
* pixels are turned and mirrored as an EXIF orientation says, so that they are what a person sees.
  Colour profiles and gamma are not applied.
* resizing squashes to a square with Pillow's bicubic filter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.grey_window import least_depth, through_window
from he_compare.common.datasets.reading.picture_formats import PICTURE_FORMATS
from he_compare.common.datasets.reading.picture_header import (
    MAX_PICTURE_PIXELS,
    MIN_PICTURE_SIDE,
    PALETTE_OF_TIFF,
    TO_8_BITS,
    WHITE_IS_ZERO,
    HeaderFacts,
    OpenedPicture,
    opened_picture,
    orientation_of,
)
from he_compare.common.errors import DataError
from he_compare.common.types import UInt8Array

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(ending for known in PICTURE_FORMATS for ending in known.endings)
MAX_PIXELS = MAX_PICTURE_PIXELS
MIN_SIDE = MIN_PICTURE_SIDE
WORKERS = 4
_COLOR_MAP = 320

Result = TypeVar("Result")


def open_image(path: Path, name: str, depth: int | None = None) -> Image.Image:
    """Return a fully decoded image of mode L or RGB, as a person sees it.

    ``depth``: bits of the window of 16-bit grey, one for all images of a dataset
    (``survey_pictures``); where None, the least that holds this image. Raises DataError that names
    the image.
    """
    with opened_picture(path, name) as picture:
        picture.image.load()
        return _turned(_as_grey_or_rgb(picture, depth), orientation_of(picture.image))


def header_facts(path: Path, name: str) -> HeaderFacts:
    """Return what the header says. Raises DataError that names the image."""
    with opened_picture(path, name) as picture:
        return picture.facts()


def image_size(path: Path, name: str) -> tuple[int, int]:
    """Return (width, height) as a person sees it. Raises DataError that names the image."""
    return header_facts(path, name).size


def largest_value(path: Path, name: str) -> int:
    """Return the largest value of a 16-bit grey image. Raises DataError that names the image."""
    with opened_picture(path, name) as picture:
        picture.image.load()
        return int(_deep_values(picture).max())


def _as_grey_or_rgb(picture: OpenedPicture, depth: int | None) -> Image.Image:
    image, name = picture.image, picture.name
    if picture.deep:
        return _windowed(picture, depth)
    if picture.tiff is not None and picture.tiff.photometric == PALETTE_OF_TIFF:
        _mend_palette(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        grey = image.mode == "LA"
        rgba = image.convert("RGBA")
        lowest, _ = rgba.getchannel("A").getextrema()
        if lowest != 255:
            raise DataError(
                f"image {name} (mode {image.mode}) has transparent pixels",
                fix="flatten it onto a background",
            )
        return image.getchannel("L") if grey else rgba.convert("RGB")
    if image.mode in ("L", "RGB"):
        return image.copy()
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    raise DataError(f"image {name} has mode {image.mode}", fix="convert it to grey or RGB")


def _deep_values(picture: OpenedPicture) -> npt.NDArray[np.integer[Any]]:
    """Return the values of a grey image of more than 8 bits. Raises DataError on others."""
    values: npt.NDArray[np.integer[Any]] = np.asarray(picture.image)
    unseen = picture.image.info.get("transparency")
    if unseen is not None and (values == unseen).any():
        raise DataError(
            f"image {picture.name} has transparent pixels", fix="flatten it onto a background"
        )
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise DataError(f"image {picture.name} has more than 16 bits per pixel", fix=TO_8_BITS)
    return values


def _windowed(picture: OpenedPicture, depth: int | None) -> Image.Image:
    from PIL import Image

    values = _deep_values(picture)
    bits = least_depth(int(values.max()))
    if depth is not None and bits > depth:
        raise DataError(
            f"image {picture.name} has values of {bits} bits, the dataset had {depth}: it was "
            "changed while it was read",
            fix="start again when nothing writes to it",
        )
    grey = through_window(values, depth or bits)
    inverted = picture.tiff is not None and picture.tiff.photometric == WHITE_IS_ZERO
    return Image.fromarray(255 - grey if inverted else grey)


def _mend_palette(image: Image.Image) -> None:
    """Take a TIFF palette for 8 bits where no entry has more: its 16 bits were never filled."""
    entries = image.tag_v2.get(_COLOR_MAP, ())  # type: ignore[attr-defined]
    if entries and 0 < max(entries) < 256:
        image.putpalette(np.asarray(entries, dtype=np.uint8).reshape(3, -1).T.tobytes(), "RGB")


def _turned(image: Image.Image, turn: int) -> Image.Image:
    """Apply an EXIF orientation (Exif 2.32, tag 274)."""
    from PIL.Image import Transpose

    way = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(turn)
    return image if way is None else image.transpose(way)


def to_square(image: Image.Image, size: int) -> UInt8Array:
    """Squash an L or RGB image to uint8 (size, size, 3) with Pillow's bicubic filter."""
    from PIL import Image

    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return as_rgb(image)


def as_rgb(image: Image.Image) -> UInt8Array:
    """Return the pixels of an L or RGB image as uint8 (height, width, 3)."""
    pixels: UInt8Array = np.asarray(image, dtype=np.uint8)
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def read_squares(opened: Callable[[int], Image.Image], count: int, size: int) -> UInt8Array:
    """Scale ``opened(0)`` ... ``opened(count - 1)`` into uint8 (count, size, size, 3), in order."""
    images = np.empty((count, size, size, 3), dtype=np.uint8)

    def read_into(position: int) -> None:
        images[position] = to_square(opened(position), size)

    for _ in map_threaded(read_into, range(count)):
        pass
    return images


def map_threaded(work: Callable[[int], Result], items: Sequence[int]) -> Iterator[Result]:
    """Yield ``work(item)`` in order from a few threads (Pillow and hashlib release the GIL).

    Items are handed out in portions, so that results do not pile up in memory and the first error
    ends the work soon.
    """
    workers = min(WORKERS, _usable_cores())
    if workers < 2 or len(items) < 8:
        yield from map(work, items)
        return
    portion = 16 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), portion):
            yield from pool.map(work, items[start : start + portion])


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

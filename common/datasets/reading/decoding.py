"""Decoding untrusted images into RGB uint8.

Rules, the same for every dataset:

* JPEG, PNG and BMP only; at most ``MAX_PIXELS`` pixels (checked before any pixel is decoded), at
  least ``MIN_SIDE`` pixels per side, one frame.
* grey, 1-bit and palette images become RGB; an alpha channel is dropped if it is opaque everywhere
  and refused otherwise, because what lies under it is not defined.
* 16-bit and floating-point grey is refused: mapping it to 8 bits needs a window, and the choice of
  window changes what can be seen. CMYK and the like are refused.
* pixels are taken as stored; an EXIF orientation is not applied.
* resizing squashes to a square with Pillow's bicubic filter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from he_compare.common.errors import CompareError, DataError
from he_compare.common.types import UInt8Array

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "BMP")
SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp"})
MAX_PIXELS = 64_000_000
MIN_SIDE = 8
WORKERS = 4

Result = TypeVar("Result")


def open_image(path: Path, name: str) -> Image.Image:
    """Return a fully decoded image of mode L or RGB. Raises DataError that names the image."""
    with _opened(path, name) as image:
        image.load()
        return _as_grey_or_rgb(image, name)


def image_size(path: Path, name: str) -> tuple[int, int]:
    """Return (width, height) as the header says. Raises DataError that names the image."""
    with _opened(path, name) as image:
        return image.size


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Image.Image]:
    """Open a file whose header is acceptable; whatever goes wrong inside becomes a DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_header(image, name)
            yield image
    except CompareError:
        raise
    except FileNotFoundError:
        raise DataError(f"image {name} does not exist", fix="restore the file") from None
    except UnidentifiedImageError:
        raise DataError(
            f"image {name} is not a {', '.join(FORMATS)} file", fix="convert it to 8-bit PNG"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(
            f"image {name} has more than {MAX_PIXELS:,} pixels", fix="scale it down"
        ) from None
    # Pillow's parsers raise anything from struct.error to KeyError on hostile bytes.
    except Exception as error:
        raise DataError(
            f"image {name} cannot be decoded: {error or type(error).__name__}",
            fix="restore the file or leave it out",
        ) from None


def _check_header(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"image {name} has {width} x {height} pixels, more than {MAX_PIXELS:,}",
            fix="scale it down",
        )
    if min(width, height) < MIN_SIDE:
        raise DataError(
            f"image {name} has {width} x {height} pixels, fewer than {MIN_SIDE} per side",
            fix="leave it out",
        )
    # Pillow reads 16-bit colour PNG as 8-bit RGB silently; its raw mode shows it.
    if any(str(tile[3]).endswith(";16B") for tile in getattr(image, "tile", ())):
        raise DataError(
            f"image {name} (mode {image.mode}) has more than 8 bits per channel",
            fix="apply the window that suits the modality and store it as 8-bit PNG",
        )
    if getattr(image, "n_frames", 1) > 1 and image.format != "JPEG":
        raise DataError(f"image {name} is an animation", fix="store one frame as PNG")


def _as_grey_or_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        lowest, _ = rgba.getchannel("A").getextrema()
        if lowest != 255:
            raise DataError(
                f"image {name} (mode {image.mode}) has transparent pixels",
                fix="flatten it onto a background",
            )
        return rgba.convert("RGB")
    if image.mode in ("L", "RGB"):
        return image.copy() if image.readonly else image
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    if image.mode.startswith("I") or image.mode == "F":
        raise DataError(
            f"image {name} has mode {image.mode} (more than 8 bits per pixel)",
            fix="apply the window that suits the modality and store it as 8-bit PNG",
        )
    raise DataError(f"image {name} has mode {image.mode}", fix="convert it to grey or RGB")


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

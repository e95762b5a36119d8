"""Opens a picture as far as its header, and says what reading it does to it.

Nothing is allocated for the pixels before the header was judged: size, bits, frames, scans, pieces.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from he_compare.common.datasets.reading.file_names import shown_name
from he_compare.common.datasets.reading.picture_formats import (
    HEAD_BYTES,
    JPEG,
    PNG,
    TIFF,
    WEBP,
    PictureFormat,
    format_of,
    kind_of_other,
    named_formats,
)
from he_compare.common.datasets.reading.picture_streams import (
    count_scans,
    says_more_at_the_end,
    webp_size,
)
from he_compare.common.datasets.reading.tiff_header import TiffHeader, read_tiff_header
from he_compare.common.errors import CompareError, DataError

if TYPE_CHECKING:
    from PIL import Image

MAX_PICTURE_PIXELS = 64_000_000
MIN_PICTURE_SIDE = 8
# Pillow reads whole files of some formats and whole blocks of text of others; not those of TIFF.
MAX_FILE_BYTES = 1 << 29
# A progressive JPEG needs a dozen; each may cost as much as the whole picture.
MAX_SCANS = 500
ORIENTATION = 0x0112
TURNED_SIDEWAYS = (5, 6, 7, 8)
WHITE_IS_ZERO, UNSIGNED, PALETTE_OF_TIFF = 0, 1, 3
_GREY_OF_TIFF = (0, 1)
FAX_CODES = (2, 3, 4)
TO_8_BITS = "apply the window that suits the modality and store it as 8-bit PNG"


@dataclass(frozen=True)
class HeaderFacts:
    """What the header of one picture says, and so what is done when it is read.

    ``size``: (width, height) as a person sees it. ``oriented``: it is turned or mirrored as its
    EXIF orientation says. ``first_of_several``: further pictures in the file are not read.
    ``deep``: 16-bit grey, mapped to 8 bits through a window.
    """

    size: tuple[int, int]
    format: str
    oriented: bool
    first_of_several: bool
    deep: bool


@dataclass(frozen=True)
class OpenedPicture:
    """A picture whose header is acceptable. ``tiff``: what its directory says, if it is one."""

    image: Image.Image
    name: str
    format: PictureFormat
    tiff: TiffHeader | None
    stream: BinaryIO

    @property
    def deep(self) -> bool:
        """Say whether it is grey of more than 8 bits."""
        return self.image.mode.startswith("I")

    def facts(self) -> HeaderFacts:
        """Return the facts of the header; a PNG whose EXIF comes last is decoded for it."""
        told = {"exif", "Raw profile type exif"} & self.image.info.keys()
        if self.format is PNG and not told and says_more_at_the_end(self.stream):
            self.image.load()
        turn = orientation_of(self.image)
        width, height = self.tiff.size if self.tiff else self.image.size
        several = self.tiff.copies > 0 if self.tiff else self.image.format == "MPO"
        return HeaderFacts(
            size=(height, width) if turn in TURNED_SIDEWAYS else (width, height),
            format=self.format.name,
            oriented=turn != 1,
            first_of_several=several,
            deep=self.deep,
        )


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none, as viewers take a broken one."""
    from PIL import Image

    try:
        # Not the method of PNG, which decodes the picture in search of EXIF data behind it.
        turn = Image.Image.getexif(image).get(ORIENTATION, 1)
    # Pillow's parser raises anything from struct.error to SyntaxError on hostile bytes.
    except Exception:
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


@contextmanager
def opened_picture(path: Path, name: str) -> Iterator[OpenedPicture]:
    """Open a picture up to its header; whatever goes wrong inside becomes a DataError."""
    from PIL import Image, UnidentifiedImageError

    shown = shown_name(name)
    # Pillow warns of odd metadata on the terminal; what matters here is refused or said.
    warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"image {shown} is not a regular file", fix="leave it out")
        with path.open("rb") as stream:
            found = _checked_format(stream, shown)
            tiff = _checked_tiff(stream, shown) if found is TIFF else None
            if found is WEBP:
                check_picture_size(*webp_size(stream), shown)
            stream.seek(0)
            with Image.open(stream, formats=(found.plugin,)) as image:
                picture = OpenedPicture(image, shown, found, tiff, stream)
                _check_header(picture)
                yield picture
    except CompareError:
        raise
    except FileNotFoundError:
        raise DataError(f"image {shown} does not exist", fix="restore the file") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"image {shown} has more than {MAX_PICTURE_PIXELS:,} pixels", fix="scale it down"
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"image {shown} begins like a {named_formats()} file, but is broken or of a kind that "
            "is not read",
            fix="restore it or convert it to 8-bit PNG",
        ) from None
    # Pillow's parsers raise anything from struct.error to KeyError on hostile bytes.
    except Exception as error:
        raise _undecodable(shown, error) from None


def _undecodable(shown: str, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(
            f"image {shown} cannot be read: {error.strerror}", fix="check that it may be read"
        )
    reason = re.sub(r"<_io\.[^>]*>", "the file", str(error)) or type(error).__name__
    return DataError(
        f"image {shown} cannot be decoded: {shown_name(reason)}",
        fix="restore the file or leave it out",
    )


def _checked_format(stream: BinaryIO, shown: str) -> PictureFormat:
    head = stream.read(HEAD_BYTES)
    found = format_of(head)
    if found is None:
        kind = kind_of_other(head)
        is_other = kind or "a file of another kind"
        remedy = "restore the file" if kind == "an empty file" else "convert it to 8-bit PNG"
        if kind == "a DICOM file":
            remedy = "read DICOM files with dicom:PATH, or convert it to 8-bit PNG"
        raise DataError(f"image {shown} is {is_other}, not a {named_formats()} file", fix=remedy)
    size = stream.seek(0, os.SEEK_END)
    if found is not TIFF and size > MAX_FILE_BYTES:
        raise DataError(
            f"image {shown} has {size:,} bytes, more than {MAX_FILE_BYTES:,}", fix="scale it down"
        )
    return found


def _checked_tiff(stream: BinaryIO, shown: str) -> TiffHeader:
    try:
        tiff = read_tiff_header(stream)
    except ValueError as problem:
        raise DataError(
            f"image {shown} is a broken TIFF file: {problem}",
            fix="restore the file or leave it out",
        ) from None
    check_picture_size(*tiff.size, shown)
    if tiff.tile > MAX_PICTURE_PIXELS:
        raise DataError(
            f"image {shown} has tiles of {tiff.tile:,} pixels, more than {MAX_PICTURE_PIXELS:,}",
            fix="store it in smaller tiles",
        )
    if tiff.pictures > 1:
        raise DataError(
            f"image {shown} is a TIFF file of {tiff.pictures:,} pictures",
            fix="store the one that is meant as a file of its own",
        )
    if tiff.compression in FAX_CODES:
        raise DataError(
            f"image {shown} is compressed as a fax, where broken data become black and white rows",
            fix="store it as PNG",
        )
    if set(tiff.sample_format) - {UNSIGNED, 4}:  # 4: not said what the samples are
        kind = "floating-point or complex" if max(tiff.sample_format) > 2 else "signed"
        raise DataError(f"image {shown} holds {kind} values", fix=TO_8_BITS)
    # Pillow does not read these two kinds.
    deep_white_is_zero = tiff.photometric == WHITE_IS_ZERO and max(tiff.bits) > 8
    if tiff.big_endian and (tiff.bigtiff or deep_white_is_zero):
        kind = "BigTIFF file" if tiff.bigtiff else "TIFF file of 16 bits where 0 is white"
        raise DataError(
            f"image {shown} is a {kind} with the highest byte first, which is not read",
            fix="store it with the lowest byte first, or as PNG",
        )
    grey = tiff.photometric in _GREY_OF_TIFF and tiff.samples == 1
    if max(tiff.bits) > 16 or (max(tiff.bits) > 8 and not grey):
        raise DataError(
            f"image {shown} has {max(tiff.bits)} bits per channel",
            fix=TO_8_BITS,
        )
    return tiff


def check_picture_size(width: int, height: int, shown: str) -> None:
    """Raise DataError where a picture of this size is not decoded."""
    if width * height > MAX_PICTURE_PIXELS:
        raise DataError(
            f"image {shown} has {width} x {height} pixels, more than {MAX_PICTURE_PIXELS:,}",
            fix="scale it down",
        )
    if min(width, height) < MIN_PICTURE_SIDE:
        raise DataError(
            f"image {shown} has {width} x {height} pixels, fewer than {MIN_PICTURE_SIDE} per side",
            fix="leave it out",
        )


def _check_header(picture: OpenedPicture) -> None:
    image, shown = picture.image, picture.name
    check_picture_size(*image.size, shown)
    # Pillow reads 16-bit colour PNG as 8-bit RGB silently; its raw mode shows it.
    deep_samples = any(str(tile[3]).endswith(";16B") for tile in getattr(image, "tile", ()))
    if picture.format is PNG and deep_samples and not picture.deep:
        raise DataError(
            f"image {shown} (mode {image.mode}) has more than 8 bits per channel", fix=TO_8_BITS
        )
    if image.mode == "CMYK":
        raise DataError(
            f"image {shown} has the inks of a printer (CMYK), whose colours depend on the printer",
            fix="convert it to RGB with the profile that it was made for",
        )
    if picture.format in (PNG, WEBP) and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"image {shown} is an animation", fix="store one frame as PNG")
    if picture.format is JPEG and "progression" in image.info:
        scans = count_scans(picture.stream)
        if scans > MAX_SCANS:
            raise DataError(
                f"image {shown} is a JPEG file of {scans:,} scans, at most {MAX_SCANS} are read",
                fix="store it anew as PNG",
            )

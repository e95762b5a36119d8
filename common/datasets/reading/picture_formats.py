"""The picture formats that are read, their usual endings, and what other files begin with.

What a file is, its first bytes say. Its ending only says whether it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 256


@dataclass(frozen=True)
class PictureFormat:
    """``name``: as people write it. ``plugin``: Pillow's. ``endings``: in lower case."""

    name: str
    plugin: str
    endings: tuple[str, ...]


PNG = PictureFormat("PNG", "PNG", (".png",))
# A phone's MPO is a JPEG file with further pictures behind the first one.
JPEG = PictureFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"))
TIFF = PictureFormat("TIFF", "TIFF", (".tif", ".tiff"))
BMP = PictureFormat("BMP", "BMP", (".bmp",))
WEBP = PictureFormat("WebP", "WEBP", (".webp",))
PICTURE_FORMATS = (PNG, JPEG, TIFF, BMP, WEBP)

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    *((mark, TIFF) for mark in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"BM", BMP),
)
# Files that are often found under the name of a picture.
_OTHERS = (
    (0, b"GIF8", "a GIF file"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (0, b"\xff\x0a", "a JPEG XL file"),
    (0, b"II\xbc\x01", "a JPEG XR file"),
    (4, b"ftypavif", "an AVIF file"),
    (4, b"ftyphe", "a HEIC file"),
    (4, b"ftypmif1", "a HEIC file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x93NUMPY", "a NumPy file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def format_of(head: bytes) -> PictureFormat | None:
    """Return the format of a file by its first ``HEAD_BYTES`` bytes; None where it is no other."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    return next((found for mark, found in _BEGINNINGS if head.startswith(mark)), None)


def kind_of_other(head: bytes) -> str:
    """Say what a file that is no picture of ours seems to be; '' where its bytes do not tell."""
    if not head.strip(b"\0"):
        return "a file of zeros" if head else "an empty file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<svg", b"<?xml")):
        return "an XML file"
    return next((kind for at, mark, kind in _OTHERS if head[at:].startswith(mark)), "")


def named_formats() -> str:
    """Return the names of the formats as one phrase."""
    names = [known.name for known in PICTURE_FORMATS]
    return f"{', '.join(names[:-1])} or {names[-1]}"

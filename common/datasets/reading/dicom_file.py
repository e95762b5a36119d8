"""A DICOM file opened as far as its pixels: the header as a data set, then a stream of pixels.

Files without the prefix of PS3.10 section 7.1 are read where they begin as a data set does; a
deflated one is inflated in memory, up to a bound, before anything of it is parsed.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from he_compare.common.datasets.reading.dicom_elements import ElementError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

MAX_FILE_BYTES = 1024**3
MAX_INFLATED_BYTES = 512 * 1024**2
PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
# Groups that come first in a data set without a prefix: file meta information, or identifying.
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


@dataclass(frozen=True)
class DicomFile:
    """``dataset``: elements asked for that come before the pixels; ``stream``: the file.

    ``start``, ``length``: of the value of the pixel data; ``start`` is None where there is none,
    ``length`` None for encapsulated pixels. ``vr``: theirs. ``prefixed``: it has the prefix.
    ``media_class``: the kind of object as the file meta information says, or ''.
    """

    dataset: Dataset
    stream: BinaryIO
    syntax: UID
    big_endian: bool
    start: int | None
    length: int | None
    vr: str
    prefixed: bool
    media_class: str


def is_dicom(path: Path) -> bool:
    """Return whether a file has the DICM prefix of PS3.10 section 7.1."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


class _Silence:
    """Keeps warnings of pydicom back, which quote values, while any thread is inside."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


SILENCE = _Silence()


@contextmanager
def opened_dicom(path: Path, keywords: Sequence[str]) -> Iterator[DicomFile]:
    """Open a file and read those elements. Raises ElementError, and pydicom's own errors."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ElementError(f"it has more than {MAX_FILE_BYTES:,} bytes", fix="leave it out")
    with path.open("rb") as stream:
        prefixed = stream.read(132)[128:] == b"DICM"
        stream.seek(0)
        if not prefixed and stream.read(2) not in FIRST_GROUPS:
            raise ElementError("it is not a DICOM file", fix="leave it out")
        with SILENCE:
            yield _parsed(stream, keywords, prefixed)


def _parsed(stream: BinaryIO, keywords: Sequence[str], prefixed: bool) -> DicomFile:
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_dataset
    from pydicom.tag import BaseTag
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    stream.seek(132 if prefixed else 0)
    syntax, media_class = _meta_information(stream)
    if syntax is None:
        syntax = _guessed_syntax(stream)
    elif syntax == DeflatedExplicitVRLittleEndian:
        stream, syntax = _inflated(stream), ExplicitVRLittleEndian
    found: dict[int, tuple[str | None, int]] = {}

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag >= PIXEL_DATA:
            found[int(tag)] = (vr, length)
        return tag >= PIXEL_DATA

    tags = [BaseTag(tag) for tag in map(tag_for_keyword, keywords) if tag is not None]
    dataset = read_dataset(
        stream,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
        stop_when=at_pixels,
        specific_tags=list(tags),
    )
    start, length, vr = None, None, ""
    if PIXEL_DATA in found:
        known, stated = found[PIXEL_DATA]
        vr, length = known or "OW", None if stated == UNDEFINED else stated
        start = stream.tell() + (8 if known is None else 12)
    return DicomFile(
        dataset=dataset,
        stream=stream,
        syntax=syntax,
        big_endian=not syntax.is_little_endian,
        start=start,
        length=length,
        vr=vr,
        prefixed=prefixed,
        media_class=media_class,
    )


def _meta_information(stream: BinaryIO) -> tuple[UID | None, str]:
    """Return transfer syntax and kind of object; leave the stream where the data set begins."""
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag >> 16 != 2,
    )
    stated = str(meta.get("TransferSyntaxUID") or "").strip(" \x00")
    return UID(stated) if stated else None, str(meta.get("MediaStorageSOPClassUID") or "")


def _guessed_syntax(stream: BinaryIO) -> UID:
    """Tell from the first element how an uncompressed data set is encoded."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    first = stream.read(6)
    stream.seek(-len(first), 1)
    if not first[4:6].isalpha() or not first[4:6].isupper():
        return ImplicitVRLittleEndian
    group = struct.unpack("<H", first[:2])[0]
    return ExplicitVRBigEndian if group >= 0x0100 else ExplicitVRLittleEndian


def _inflated(stream: BinaryIO) -> BinaryIO:
    """Inflate the rest of a file (PS3.5 section A.5), up to ``MAX_INFLATED_BYTES``."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(stream.read(), MAX_INFLATED_BYTES)
    except zlib.error:
        raise ElementError(
            "it is stored deflated and cannot be inflated", fix="restore the file or leave it out"
        ) from None
    if not inflater.eof and len(inflated) >= MAX_INFLATED_BYTES:
        raise ElementError(
            f"it is stored deflated and has more than {MAX_INFLATED_BYTES:,} bytes",
            fix="store it uncompressed (for instance with dcmconv)",
        )
    return BytesIO(inflated)

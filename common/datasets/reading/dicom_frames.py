"""Frames of an opened DICOM file: their stored bytes, their digest, and their decoded values.

One frame is read and decoded at a time. What a codec is given says its own width and height: these
are compared with the header's before anything is decoded.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_codecs import NATIVE, RLE, decoding_failed
from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_file import DicomFile
from he_compare.common.datasets.reading.dicom_fragments import Span, frame_fragments, joined
from he_compare.common.datasets.reading.dicom_recipe import PixelLayout

Stored = npt.NDArray[Any]
CHUNK = 1024 * 1024
# Markers of JPEG and JPEG-LS that hold the size of the picture.
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def check_stored(file: DicomFile, layout: PixelLayout) -> None:
    """Raise ElementError where uncompressed pixels are fewer than the header says."""
    assert file.start is not None
    if str(file.syntax) not in NATIVE:
        if file.length is not None:
            raise ElementError(
                f"it says {file.syntax.name}, but its pixels are not encapsulated",
                fix="restore the file or leave it out",
            )
        return
    if file.length is None:
        raise ElementError(
            "its pixels are compressed, but it does not say how", fix="restore its header"
        )
    expected = (layout.frame_bits * layout.frames + 7) // 8
    end = file.stream.seek(0, 2)
    stored = max(0, min(file.length, end - file.start))
    if stored < expected:
        raise ElementError(
            f"it is truncated: {stored:,} of {expected:,} bytes of pixels",
            fix="restore the file or leave it out",
        )


def frame_digests(file: DicomFile, layout: PixelLayout, frames: Sequence[int]) -> list[str]:
    """Return SHA-256 of the stored bytes of frames and of how they are to be understood."""
    about = (str(file.syntax), layout.rows, layout.columns, layout.allocated, layout.samples)
    spans = _spans(file, layout)
    return [_digest(file.stream, f"{about}", spans(frame)) for frame in frames]


def _spans(file: DicomFile, layout: PixelLayout) -> Callable[[int], list[Span]]:
    """Return where in the stream the bytes of a frame lie."""
    assert file.start is not None
    start, bits = file.start, layout.frame_bits
    if str(file.syntax) in NATIVE:
        return lambda frame: [
            (start + frame * bits // 8, -(-(frame + 1) * bits // 8) - frame * bits // 8)
        ]
    return frame_fragments(file.stream, start, layout.frames).__getitem__


def _digest(stream: BinaryIO, about: str, spans: list[Span]) -> str:
    digest = hashlib.sha256(about.encode())
    for offset, left in spans:
        stream.seek(offset)
        while left > 0 and (chunk := stream.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def decoded_frame(file: DicomFile, layout: PixelLayout, frame: int) -> Stored:
    """Return the values of a frame, (rows, columns) or (rows, columns, 3): integers, colour RGB.

    Unused bits are cleared and signs extended, wherever the high bit says that the values lie.
    Raises ElementError.
    """
    native = str(file.syntax) in NATIVE
    source: BinaryIO = file.stream
    if native:
        assert file.start is not None
        source.seek(file.start)
    else:
        source = _one_frame(joined(file.stream, _spans(file, layout)(frame)), layout)
    try:
        values = _decoded(
            source, file, layout, frame if native else 0, layout.frames if native else 1
        )
    # Codecs raise anything on hostile bytes, and their texts may quote the file.
    except Exception:
        raise decoding_failed(file.syntax, layout) from None
    return _without_unused_bits(values, layout, shifted=str(file.syntax) in (*NATIVE, RLE))


def _one_frame(frame: bytes, layout: PixelLayout) -> BinaryIO:
    """Return one compressed frame as the pixels of a file of one frame."""
    from pydicom.encaps import encapsulate

    _check_codestream(frame, layout)
    return BytesIO(encapsulate([frame + b"\x00" * (len(frame) % 2)]))


def _decoded(
    source: BinaryIO, file: DicomFile, layout: PixelLayout, frame: int, frames: int
) -> Stored:
    from pydicom.pixels.decoders.base import get_decoder

    values, _ = get_decoder(file.syntax).as_array(
        source,
        index=frame,
        rows=layout.rows,
        columns=layout.columns,
        samples_per_pixel=layout.samples,
        photometric_interpretation=layout.photometric,
        planar_configuration=layout.planar,
        number_of_frames=frames,
        bits_allocated=layout.allocated,
        bits_stored=layout.stored,
        pixel_representation=int(layout.signed),
        pixel_keyword="PixelData",
        pixel_vr=file.vr,
        correct_unused_bits=False,
        allow_excess_frames=False,
    )
    return values


def _without_unused_bits(values: Stored, layout: PixelLayout, *, shifted: bool) -> Stored:
    """Return only the bits that are stored: others may hold an overlay, or anything."""
    width = 8 * values.dtype.itemsize
    lowest = layout.high_bit + 1 - layout.stored if shifted else 0
    if layout.allocated == 1 or layout.stored + lowest > width or layout.stored == width:
        return values
    # To the top and back: a shift of a signed type to the right extends the sign.
    up = width - layout.stored - lowest
    kind = values.dtype.newbyteorder("=")
    raised = np.left_shift(values.astype(kind, copy=False), up)
    return np.right_shift(raised, width - layout.stored)


def _check_codestream(frame: bytes, layout: PixelLayout) -> None:
    said = codestream_size(frame)
    if said is not None and said != (layout.rows, layout.columns):
        raise ElementError(
            f"its compressed pixels are {said[1]} x {said[0]}, its header says "
            f"{layout.columns} x {layout.rows}",
            fix="restore the file or leave it out",
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that JPEG, JPEG-LS or JPEG 2000 data says of itself, None for others.

    ISO 10918-1 B.2.2, ISO 14495-1 C.2.2, ISO 15444-1 A.5.1.
    """
    start = frame[:4096].find(b"\xff\x4f\xff\x51")
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return bottom - top, right - left
    if frame[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in FRAME_MARKERS:
            rows, columns = struct.unpack(">2H", frame[position + 5 : position + 9])
            return rows, columns
        skipped = struct.unpack(">H", frame[position + 2 : position + 4])[0]
        position += 2 if marker in BARE_MARKERS else 2 + skipped
    return None

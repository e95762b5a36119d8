"""Frames of an opened DICOM file: their stored bytes, their digest, and their decoded values.

One frame is read and decoded at a time. What a codec is given says its own width and height: these
are compared with the header's before anything is decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from he_compare.common.datasets.reading.dicom_codecs import (
    NATIVE,
    RLE,
    decoding_failed,
    preferred_plugin,
)
from he_compare.common.datasets.reading.dicom_codestream import check_codestream
from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_file import DicomFile
from he_compare.common.datasets.reading.dicom_fragments import Extent, frame_fragments, joined
from he_compare.common.datasets.reading.dicom_recipe import PixelLayout

Stored = npt.NDArray[Any]
CHUNK = 1024 * 1024


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


def check_compressed(file: DicomFile, layout: PixelLayout, frame: int) -> None:
    """Raise ElementError where a compressed frame says that it cannot be decoded, or is another."""
    if str(file.syntax) not in NATIVE:
        check_codestream(joined(file.stream, _spans(file, layout)(frame)), layout)


def frame_digests(file: DicomFile, layout: PixelLayout, frames: Sequence[int]) -> list[str]:
    """Return SHA-256 of the stored bytes of frames and of how they are to be understood."""
    about = (str(file.syntax), layout.rows, layout.columns, layout.allocated, layout.samples)
    spans = _spans(file, layout)
    return [_digest(file.stream, f"{about}", spans(frame)) for frame in frames]


def _spans(file: DicomFile, layout: PixelLayout) -> Callable[[int], list[Extent]]:
    """Return where in the stream the bytes of a frame lie."""
    assert file.start is not None
    start, bits = file.start, layout.frame_bits
    if str(file.syntax) in NATIVE:
        return lambda frame: [
            (start + frame * bits // 8, -(-(frame + 1) * bits // 8) - frame * bits // 8)
        ]
    return frame_fragments(file.stream, start, layout.frames).__getitem__


def _digest(stream: BinaryIO, about: str, spans: list[Extent]) -> str:
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
        source = _one_frame(joined(file.stream, _spans(file, layout)(frame)))
    try:
        values = _decoded(
            source, file, layout, frame if native else 0, layout.frames if native else 1
        )
    # Codecs raise anything on hostile bytes, and their texts may quote the file.
    except Exception:
        raise decoding_failed(file.syntax, layout) from None
    return _without_unused_bits(values, layout, shifted=str(file.syntax) in (*NATIVE, RLE))


def _one_frame(frame: bytes) -> BinaryIO:
    """Return one compressed frame as the pixels of a file of one frame."""
    from pydicom.encaps import encapsulate

    return BytesIO(encapsulate([frame + b"\x00" * (len(frame) % 2)]))


def _decoded(
    source: BinaryIO, file: DicomFile, layout: PixelLayout, frame: int, frames: int
) -> Stored:
    from pydicom.pixels.decoders.base import get_decoder

    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "number_of_frames": frames,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
        "pixel_vr": file.vr,
        "correct_unused_bits": False,
        "allow_excess_frames": False,
    }
    decoder = get_decoder(file.syntax)
    plugin = preferred_plugin(file.syntax, layout, decoder.available_plugins)
    values, _ = decoder.as_array(source, index=frame, decoding_plugin=plugin, **options)
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

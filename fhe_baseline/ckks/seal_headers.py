"""SEAL's header and what lies behind it, inflated under a limit: no foreign byte of it meets SEAL.

An object is a header of 16 bytes and its content, which is mostly compressed. SEAL inflates as it
parses, from a stream whose failures it turns into exceptions; where the compressed stream ends too
early, one of these leaves a place that C++ lets none leave, and the process ends (one flipped bit
in the last bytes of an upload was enough). So content is inflated here, into no more bytes than the
object can have, and SEAL gets objects that are not compressed. Layout: seal/serialization.h of
SEAL 4; a header is that of the installed SEAL or is refused.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache

import zstandard

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.context import import_tenseal

# Magic number, header size, version (two), compression, reserved, size in all.
HEADER = struct.Struct("<HBBBBHQ")
SEAL_MAGIC = 0xA15E
UNCOMPRESSED, ZLIB, ZSTANDARD = 0, 1, 2
# SEAL compresses with a window of two megabytes; more is not asked of this process.
LARGEST_WINDOW = 1 << 23


@cache
def seal_version() -> tuple[int, int]:
    """Return the version of the installed SEAL, which is that of its format."""
    header = import_tenseal().sealapi.Serialization.SEALHeader()
    return int(header.version_major), int(header.version_minor)


def framed(content: bytes) -> bytes:
    """Put SEAL's header before content that is not compressed."""
    size = HEADER.size + len(content)
    return HEADER.pack(SEAL_MAGIC, HEADER.size, *seal_version(), UNCOMPRESSED, 0, size) + content


def read_seal_header(data: bytes, what: str, start: int = 0) -> tuple[int, int]:
    """Return compression and size in all of the object at ``start``. Raises MessageError."""
    if len(data) - start < HEADER.size:
        raise MessageError(f"{what} of {len(data) - start} bytes is shorter than SEAL's header")
    magic, length, major, minor, compression, reserved, size = HEADER.unpack_from(data, start)
    if magic != SEAL_MAGIC or length != HEADER.size or reserved:
        raise MessageError(f"{what} does not begin with SEAL's header")
    if (major, minor) != seal_version():
        own = ".".join(map(str, seal_version()))
        raise MessageError(f"{what} was made by SEAL {major}.{minor}, here is SEAL {own}")
    return compression, size


def inflated(data: bytes, most: int, what: str) -> bytes:
    """Return the content behind an object's header, of at most so many bytes.

    Raises MessageError where the header does not hold, where the content does not inflate to its
    end or to more bytes, and where bytes follow it.
    """
    compression, size = read_seal_header(data, what)
    if size != len(data):
        raise MessageError(f"{what}: {len(data)} bytes, its header says {size}")
    content = data[HEADER.size :]
    if compression == ZSTANDARD:
        content = _unfolded(content, most, what)
    elif compression == ZLIB:
        content = _inflated_by_zlib(content, most, what)
    elif compression != UNCOMPRESSED:
        raise MessageError(f"{what}: compression {compression} is none of SEAL's")
    if len(content) > most:
        raise MessageError(f"{what} has more than the {most} bytes that such an object has")
    return content


def _unfolded(content: bytes, most: int, what: str) -> bytes:
    """Inflate one Zstandard frame (RFC 8878)."""
    try:
        declared = zstandard.get_frame_parameters(content).content_size
        if declared != zstandard.CONTENTSIZE_UNKNOWN and declared > most:
            raise MessageError(f"{what} claims {declared} bytes, such an object has at most {most}")
        # Without the content's size in its header, a frame that takes more room than this is
        # an error; a frame that is cut short is one as well.
        inflater = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        return bytes(inflater.decompress(content, max_output_size=most, allow_extra_data=False))
    except (zstandard.ZstdError, MemoryError) as error:
        raise MessageError(f"{what} does not inflate: {error}") from None


def _inflated_by_zlib(content: bytes, most: int, what: str) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(content, most + 1)
    except zlib.error as error:
        raise MessageError(f"{what} does not inflate: {error}") from None
    if len(found) <= most and (not inflater.eof or inflater.unused_data):
        raise MessageError(f"{what} does not inflate: it is cut short, or bytes follow it")
    return found

"""Arrays as bytes and back: the one format of messages, public material and stored weights.

safetensors: a JSON header and raw values, no code. Whatever comes from outside is read here, by one
parser, and turned into a ``MessageError`` when it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as _save

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import strict_json

MAX_MESSAGE_BYTES = 1 << 30
LENGTH_BYTES = 8
METADATA = "__metadata__"
MAX_ARRAYS = 4096
MAX_DIMENSIONS = 8
# safetensors' names of the types of numbers that numpy has.
NUMBER_TYPES = {"BOOL": "|u1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2"}
NUMBER_TYPES |= {"U32": "<u4", "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8"}


def pack(
    arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Serialise named arrays with string metadata."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return _save(contiguous, dict(sorted((metadata or {}).items())) or None)


def unpack(
    data: bytes, *, expect: Mapping[str, tuple[str, int]] | None = None
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Parse bytes into named arrays and metadata.

    ``expect`` maps each required name to (dtype string, number of dimensions). Raises MessageError.
    """
    header = read_packed_header(data)
    arrays = {name: place.read(data, header.content) for name, place in header.places.items()}
    for name, (dtype, dimensions) in (expect or {}).items():
        array = arrays.get(name)
        if array is None:
            raise MessageError(f"message lacks the array {name!r}")
        if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
            raise MessageError(
                f"array {name!r} is {array.dtype} with {array.ndim} dimensions, "
                f"expected {dtype} with {dimensions}"
            )
    return arrays, header.metadata


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies behind the header, and what it is. ``kind``: safetensors' name of it."""

    kind: str
    shape: tuple[int, ...]
    start: int

    def read(self, data: bytes, content: int) -> npt.NDArray[Any]:
        """Return a copy of the array of a message whose ``content`` begins there."""
        dtype = np.dtype(NUMBER_TYPES[self.kind])
        count = math.prod(self.shape)
        flat = np.frombuffer(data, dtype, count, content + self.start) if count else np.empty(0)
        array = flat.astype(dtype.newbyteorder("=")).reshape(self.shape)
        return array != 0 if self.kind == "BOOL" else array


@dataclass(frozen=True)
class PackedHeader:
    """What the header of a packed message says; ``content``: where the arrays begin."""

    places: dict[str, ArrayPlace]
    metadata: dict[str, str]
    content: int


def read_packed_header(data: bytes) -> PackedHeader:
    """Parse and check the header in front of packed arrays.

    Raises MessageError where the header does not parse, or where the arrays are not exactly the
    bytes behind it.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"message of {len(data)} bytes exceeds {MAX_MESSAGE_BYTES}")
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES or length > len(data) - LENGTH_BYTES:
        raise MessageError(f"not a packed message: {len(data)} bytes are shorter than its header")
    header = strict_json(data[LENGTH_BYTES : LENGTH_BYTES + length], "a packed message's header")
    if not isinstance(header, dict) or len(header) > MAX_ARRAYS:
        raise MessageError("not a packed message: its header is no table of arrays")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
        raise MessageError("not a packed message: its metadata is no table of texts")
    content = LENGTH_BYTES + length
    return PackedHeader(_places(header, len(data) - content), metadata, content)


def _places(header: dict[str, Any], content: int) -> dict[str, ArrayPlace]:
    """Check that arrays lie one behind the other and fill the bytes of the content."""
    places, stretches = {}, []
    for name, told in header.items():
        fields = told if isinstance(told, dict) else {}
        shape: Any = fields.get("shape")
        offsets: Any = fields.get("data_offsets")
        if not _are_sizes(shape, MAX_DIMENSIONS) or not _are_sizes(offsets, 2):
            raise MessageError(f"not a packed message: array {name[:40]!r} has no shape or place")
        kind = str(fields.get("dtype"))
        if kind not in NUMBER_TYPES:
            raise MessageError(f"array {name[:40]!r} is of type {kind[:20]!r}")
        item = np.dtype(NUMBER_TYPES[kind]).itemsize
        if len(offsets) != 2 or offsets[1] - offsets[0] != item * math.prod(shape):
            raise MessageError(f"array {name[:40]!r} is not as long as its shape says")
        stretches.append(tuple(offsets))
        places[name] = ArrayPlace(kind, tuple(shape), offsets[0])
    end = 0
    for start, stop in sorted(stretches):
        if start != end:
            raise MessageError("not a packed message: its arrays overlap or leave a gap")
        end = stop
    if end != content:
        raise MessageError(
            f"not a packed message: {content} bytes follow its header, its arrays have {end}"
        )
    return places


def _are_sizes(value: Any, most: int) -> bool:
    """Say whether a value is a short list of whole numbers that are not negative."""
    if not isinstance(value, list) or len(value) > most:
        return False
    return all(type(size) is int and 0 <= size <= MAX_MESSAGE_BYTES for size in value)

"""Arrays as bytes and back: the one format of messages, public material and stored weights.

safetensors: a JSON header and raw values, no code, bounds checked. Whatever comes from outside is
parsed here and turned into a ``MessageError`` when it does not hold.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save

from he_compare.common.errors import MessageError

MAX_MESSAGE_BYTES = 1 << 30


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
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"message of {len(data)} bytes exceeds {MAX_MESSAGE_BYTES}")
    try:
        arrays = _load(data)
        (header_length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + header_length])
    except (SafetensorError, struct.error, ValueError, KeyError, TypeError) as error:
        raise MessageError(f"not a packed message: {error}") from None
    metadata = header.get("__metadata__") or {}
    for name, (dtype, dimensions) in (expect or {}).items():
        array = arrays.get(name)
        if array is None:
            raise MessageError(f"message lacks the array {name!r}")
        if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
            raise MessageError(
                f"array {name!r} is {array.dtype} with {array.ndim} dimensions, "
                f"expected {dtype} with {dimensions}"
            )
    return arrays, metadata

"""Packed arrays: what is packed comes back, and no header makes anything but a MessageError."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack

ARRAYS: dict[str, Any] = {
    "bytes": np.arange(7, dtype=np.uint8),
    "table": np.arange(6, dtype=np.float64).reshape(2, 3),
    "nothing": np.zeros((0, 3), np.float32),
    "one": np.array([-5], np.int64),
}
GOOD = pack(ARRAYS, {"role": "r", "text": "ä"})


def with_header(header: Any, content: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def one_array(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} | changes}


def test_arrays_and_metadata_come_back() -> None:
    arrays, metadata = unpack(GOOD)
    assert metadata == {"role": "r", "text": "ä"}
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert unpack(pack({}, {"a": "b"})) == ({}, {"a": "b"})
    assert unpack(pack({})) == ({}, {})


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 1 << 63),
        struct.pack("<Q", 100) + b"{}",
        with_header(b"null"),
        with_header([]),
        with_header({"__metadata__": None}),
        with_header({"__metadata__": []}),
        with_header({"__metadata__": "x"}),
        with_header({"__metadata__": {"a": None}}),
        with_header({"__metadata__": {"a": 1}}),
        with_header(b'{"__metadata__":{},"__metadata__":{"a":"b"}}'),
        with_header(b"[" * 100_000),
        with_header(one_array(), b"12345"),
        with_header(one_array(), b"123"),
        with_header(one_array(dtype="BF16"), b"1234"),
        with_header(one_array(dtype=None), b"1234"),
        with_header(one_array(dtype="U16"), b"1234"),
        with_header(one_array(shape=[-4]), b"1234"),
        with_header(one_array(shape=[4.0]), b"1234"),
        with_header(one_array(shape="4"), b"1234"),
        with_header(one_array(shape=[1] * 9 + [4]), b"1234"),
        with_header(one_array(shape=[1 << 40, 1 << 40]), b"1234"),
        with_header(one_array(data_offsets=[0]), b"1234"),
        with_header(one_array(data_offsets=[4, 0]), b"1234"),
        with_header(one_array(data_offsets=[0, 4, 8]), b"1234"),
        with_header(one_array(data_offsets=None), b"1234"),
        with_header({"a": None}, b"1234"),
        with_header(one_array() | {"b": one_array()["a"]}, b"1234"),
        with_header({str(i): one_array()["a"] for i in range(5000)}, b"1234"),
    ],
)
def test_headers_that_do_not_hold_are_refused(hostile: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(hostile)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_one_flipped_bit_is_refused_or_read(place: int, bit: int) -> None:
    changed = bytearray(GOOD)
    changed[place] ^= 1 << bit
    try:
        arrays, metadata = unpack(bytes(changed))
    except MessageError as error:
        assert error.problem
        return
    assert pack(arrays, metadata) != GOOD  # what is read is what was sent, not what was meant


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(data + b"\xff" * 9)


@pytest.mark.parametrize(
    "expect", [{"bytes": ("uint8", 2)}, {"bytes": ("int8", 1)}, {"x": ("u1", 1)}]
)
def test_an_array_that_is_missing_or_of_another_kind_is_named(
    expect: dict[str, tuple[str, int]],
) -> None:
    with pytest.raises(MessageError, match=r"bytes|'x'"):
        unpack(GOOD, expect=expect)

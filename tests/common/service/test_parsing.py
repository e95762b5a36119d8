"""Strict JSON, and the net that every parser of foreign bytes stands over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import (
    CellError,
    DataError,
    MessageError,
    UnavailableError,
    UnknownNameError,
)
from he_compare.common.service.parsing import parsed_as_hostile, strict_json


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=9,
    )
)
def test_what_json_writes_is_read(value: Any) -> None:
    assert strict_json(json.dumps(value), "a text") == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ('{"a": 1, "a": 2}', "comes twice"),
        ('{"a": {"b": 1, "b": 1}}', "comes twice"),
        ("NaN", "NaN is no number"),
        ('{"a": -Infinity}', "is no number"),
        ("1e999", "too large"),
        ("9" * 5000, "5000 digits"),
        ("0." + "0" * 5000 + "1", "too large or too long"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        (b"\xff\xfe\x00", "is not JSON"),
        (" " * ((1 << 22) + 1), "bytes of JSON"),
    ],
)
def test_what_is_no_strict_json_is_refused(text: str | bytes, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        strict_json(text, "a text")


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


UNEXPECTED: list[Callable[[], Any]] = [
    lambda: int("9" * 5000),
    lambda: {}["missing"],
    lambda: [][0],
    lambda: None + 1,  # type: ignore[operator]
    lambda: 1 / 0,
    lambda: 2.0**5000,
    lambda: None.items(),  # type: ignore[attr-defined]
    raising(RecursionError("deep")),
    raising(RuntimeError("[enforce fail at alloc_cpu.cpp:117]")),
    raising(MemoryError()),
    raising(AssertionError()),
    raising(DataError("a UsageError is none that may leave a parser")),
    raising(UnknownNameError("nor is this")),
]


@pytest.mark.parametrize("act", UNEXPECTED)
def test_only_message_errors_leave_a_parser(act: Callable[[], Any]) -> None:
    with pytest.raises(MessageError, match="a thing"), parsed_as_hostile("a thing"):
        act()


@pytest.mark.parametrize(
    "error", [MessageError("as it is"), CellError("as it is"), UnavailableError("as it is")]
)
def test_what_says_enough_leaves_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error), match=r"^as it is$"), parsed_as_hostile("a thing"):
        raise error


def test_what_ends_a_process_is_not_held() -> None:
    with pytest.raises(KeyboardInterrupt), parsed_as_hostile("a thing"):
        raise KeyboardInterrupt

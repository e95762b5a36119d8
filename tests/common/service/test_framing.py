"""Framing of several messages in one body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_messages_come_back_as_they_were(messages: list[bytes]) -> None:
    assert split(join(messages)) == messages


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_parsed_but_never_crash(body: bytes) -> None:
    try:
        messages = split(body)
    except MessageError:
        return
    assert join(messages) == body


@pytest.mark.parametrize("cut", [1, 5, 9, 17])
def test_truncated_bodies_are_refused(cut: int) -> None:
    with pytest.raises(MessageError):
        split(join([b"hello", b"world"])[:-cut])


def test_a_count_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(MessageError, match="claims"):
        split(b"HEC1" + b"\xff\xff\xff\xff")

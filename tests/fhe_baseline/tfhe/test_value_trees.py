"""The structure of Concrete's values, read without Concrete: Cap'n Proto by its specification."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.tfhe.value_trees import ValueForm, tree_of


def struct_pointer(offset: int, data: int, pointers: int) -> int:
    return (offset & (1 << 30) - 1) << 2 | data << 32 | pointers << 48


def list_pointer(offset: int, code: int, count: int) -> int:
    return 1 | (offset & (1 << 30) - 1) << 2 | code << 32 | count << 35


def message(*segments: list[int | bytes]) -> bytes:
    """Put segments of words together with their table."""
    bodies = [
        b"".join(struct.pack("<Q", one) if isinstance(one, int) else one for one in words)
        for words in segments
    ]
    table = struct.pack(f"<{len(bodies) + 1}I", len(bodies) - 1, *(len(b) // 8 for b in bodies))
    return table + b"\0" * (-len(table) % 8) + b"".join(bodies)


# A structure of one word and two pointers: a run of 16 bytes, and a list of two 32-bit numbers.
GOOD = message(
    [
        struct_pointer(0, 1, 2),
        77,
        list_pointer(1, 2, 16),
        list_pointer(2, 4, 2),
        b"0123456789abcdef",
        struct.pack("<2I", 3, 4),
    ]
)
TREE = (
    "structure",
    struct.pack("<Q", 77),
    ("bytes", 16),
    ("numbers", 4, 2, struct.pack("<2I", 3, 4)),
)


def test_a_tree_has_all_numbers_but_those_of_payloads() -> None:
    assert tree_of(GOOD, "value") == TREE
    other = GOOD.replace(b"0123456789abcdef", b"fedcba9876543210")
    ValueForm.of(GOOD).check(other, "value")
    for changed in (
        GOOD.replace(struct.pack("<Q", 77), struct.pack("<Q", 78)),
        GOOD.replace(struct.pack("<2I", 3, 4), struct.pack("<2I", 3, 5)),
    ):
        with pytest.raises(MessageError, match="not a ciphertext of this circuit"):
            ValueForm.of(GOOD).check(changed, "value")
    with pytest.raises(MessageError, match="expected"):
        ValueForm.of(GOOD).check(GOOD + b"\0" * 8, "value")


def test_far_pointers_and_lists_of_structures_lead_to_the_same_tree() -> None:
    """One value laid out in two ways: all in one segment, and in two by a far pointer."""
    tag = struct_pointer(2, 1, 0)
    inner = [tag, 5, 6]
    near = message([struct_pointer(0, 0, 1), list_pointer(0, 7, 2), *inner])
    far = message([struct_pointer(0, 0, 1), 2 | 0 << 3 | 1 << 32], [list_pointer(0, 7, 2), *inner])
    double = message(
        [struct_pointer(0, 0, 1), 2 | 1 << 2 | 0 << 3 | 1 << 32],
        [2 | 0 << 3 | 2 << 32, list_pointer(0, 7, 2)],
        inner,
    )
    expected = (
        "structure",
        b"",
        ("structures", (struct.pack("<Q", 5),), (struct.pack("<Q", 6),)),
    )
    for one in (near, far, double):
        assert tree_of(one, "value") == expected


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\xff" * 64,
        GOOD[:-8],
        message([struct_pointer(5, 1, 0)]),
        message([struct_pointer(-9, 1, 0)]),
        message([struct_pointer(0, 0xFFFF, 0xFFFF)]),
        message([list_pointer(0, 2, (1 << 29) - 1)]),
        message([list_pointer(0, 6, (1 << 29) - 1)]),
        message([list_pointer(0, 7, 1), struct_pointer(1 << 29, 0, 0)]),
        message([3]),
        message([2 | 9 << 3 | 0 << 32]),
        message([2 | 0 << 3 | 7 << 32]),
        message([2 | 0 << 3]),
        message([struct_pointer(-1, 0, 1)]),
        message([struct_pointer(0, 0, 1), struct_pointer(-2, 0, 1)]),
    ],
)
def test_pointers_out_of_a_message_and_circles_are_refused(hostile: bytes) -> None:
    with pytest.raises(MessageError):
        tree_of(hostile, "value")


def test_a_small_message_cannot_make_a_large_tree() -> None:
    """Lists that all point to one list: two to the power of their depth, if followed."""
    words: list[int | bytes] = [list_pointer(0, 6, 2)]
    for _ in range(30):
        words += [list_pointer(1, 6, 2), list_pointer(0, 6, 2)]
    with pytest.raises(MessageError, match=r"nested too deeply|points out"):
        tree_of(message([*words, 0, 0]), "value")


@given(st.binary(max_size=400))
def test_arbitrary_words_never_crash(data: bytes) -> None:
    body = data[: len(data) // 8 * 8]
    value = struct.pack("<2I", 0, len(body) // 8) + body
    try:
        form = ValueForm.of(value)
    except MessageError as error:
        assert error.problem
        return
    form.check(value, "value")
    assert (form.length, form.tree) == (len(value), tree_of(value, "value"))
    with pytest.raises(MessageError):
        form.check(value + bytes(8), "value")


def test_one_flipped_bit_is_refused_or_is_a_payloads() -> None:
    start = GOOD.index(b"0123456789abcdef")
    form, taken = ValueForm.of(GOOD), []
    for bit in range(8 * len(GOOD)):
        changed = bytearray(GOOD)
        changed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(MessageError):
            form.check(bytes(changed), "value")
            taken.append(bit)
    assert taken == list(range(8 * start, 8 * (start + 16)))


def test_a_payload_over_a_pointer_is_refused() -> None:
    moved = GOOD.replace(
        struct.pack("<Q", list_pointer(1, 2, 16)), struct.pack("<Q", list_pointer(0, 2, 16))
    )
    assert moved != GOOD
    with pytest.raises(MessageError, match="two parts in one place"):
        tree_of(moved, "value")


def test_a_form_knows_nothing_of_the_sample_but_its_structure() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        ValueForm.of(GOOD).check(GOOD.replace(b"0123456789abcdef", random.bytes(16)), "value")

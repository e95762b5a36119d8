"""Commands on paper: continued by backslashes, cut outside quotes only."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.reports.document.commands import command_lines

WORDS = st.lists(st.text(st.sampled_from("ab-=[], 'x"), min_size=1, max_size=30), min_size=1)


@given(WORDS)
def test_lines_say_the_same_command(words: list[str]) -> None:
    command = shlex.join(["compare", *words])
    lines = command_lines(command, 40)
    joined = "\n".join(lines).replace("\\\n", "")  # what a shell does, and shlex does not
    assert shlex.split(joined) == ["compare", *words]
    assert all(line.endswith(" \\") for line in lines[:-1])


@pytest.mark.parametrize("width", [20, 60])
def test_lines_are_no_wider_than_asked_where_words_allow_it(width: int) -> None:
    lines = command_lines("compare run --seed 1 --epochs 3 --profile quick", width)
    assert max(len(line) for line in lines) <= width


def test_a_comment_stays_on_its_line() -> None:
    assert command_lines("compare verify again  # about ten minutes, or more", 24) == [
        "compare verify again # about ten minutes, or more"
    ]

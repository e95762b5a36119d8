"""Text and tables fitted to a number of columns: nothing is wider, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from he_compare.comparisons.terminal import (
    TextTable,
    continued,
    fold_text,
    in_columns,
    laid_out,
    terminal_columns,
    unbroken,
)

NAMES = (
    "block-scramble[cipher=vit_block,mode=adapted,key_policy=per_client]",
    "胸部X線画像の分類" * 6,
    "תמונות חזה של ילדים " * 4,
    "صور الصدر" * 9,
    "cafe\u0301 " * 20,
)
TABLE = TextTable(
    ("pipeline", "accuracy", "secret?"),
    [(name, f"0.525 {unbroken('[0.417, 0.631]')}", "not broken by what was run") for name in NAMES],
)


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_no_line_of_a_table_is_wider_and_every_word_is_there(columns: int) -> None:
    lines = laid_out(TABLE, columns)
    assert max(map(cell_len, lines)) <= columns
    squeezed = "".join("".join(lines).split())
    for name in NAMES[:1] if columns == 100 else NAMES:
        # Beside each other, folded cells of a row alternate: the first piece is enough there.
        assert "".join(name.split())[:8] in squeezed
    assert sum("[0.417, 0.631]" in line for line in lines) == len(NAMES)


def test_columns_that_do_not_fit_become_cards() -> None:
    table = TextTable(("name", *"abcdef"), [("one", *["0.123456789"] * 6), ("two", *["-"] * 6)])
    assert in_columns(table, 60) is None
    lines = laid_out(table, 60)
    assert lines[0] == "one"
    assert lines[1].split() == ["a", "0.123456789"]
    assert lines[-1] == "two"  # what has nothing to say takes no line


def test_without_a_limit_each_row_is_one_line() -> None:
    assert len(laid_out(TABLE, None)) == 1 + len(NAMES)


def test_control_characters_cannot_reach_the_terminal() -> None:
    (line,) = fold_text("a\x1b[2Jb\u202ec\nd", None)
    assert line == "a⟨U+001B⟩[2Jb⟨U+202E⟩c d"


@given(st.text(max_size=300), st.integers(40, 120))
def test_folded_text_is_never_wider(text: str, columns: int) -> None:
    assert all(cell_len(line) <= columns for line in fold_text(text, columns, "  "))


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize(
    "words",
    [
        ["--dataset", "chestxray", "--seed", "0", "--pipeline", "block-scramble[cipher=np]"] * 3,
        ["--pipeline", "'" + "医療画像" * 30 + "[a b]'"],
        ["'" + "x" * 300 + "'", "y"],
    ],
)
def test_a_folded_command_is_still_the_same_command(words: list[str], columns: int) -> None:
    command = " ".join(["printf '%s|'", *words])
    lines = continued(command, columns)
    assert max(map(cell_len, lines)) <= columns
    ran = [
        subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout
        for text in (command, "\n".join(lines))
    ]
    assert ran[0] == ran[1] != ""
    assert all(one.endswith("\\") for one, _ in pairwise(lines))


def test_the_width_is_that_of_columns_and_100_where_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_columns() == 72
    assert terminal_columns(wide=True) is None
    monkeypatch.delenv("COLUMNS")
    code = "from he_compare.comparisons.terminal import terminal_columns as t; print(t())"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert piped.stdout.strip() == "100"

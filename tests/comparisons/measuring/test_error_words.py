"""The reason of a failed cell: an error that is none of the project's is shown with its type."""

from __future__ import annotations

import pytest

from he_compare.common.errors import CellError
from he_compare.comparisons.measuring.measurer import describe_error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("boom in fit"), "KeyError: 'boom in fit'"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("two\n lines"), "ValueError: two lines"),
        (CellError("its own words", fix="do this"), "its own words (do this)"),
    ],
)
def test_a_foreign_error_is_shown_with_its_type(error: Exception, words: str) -> None:
    assert describe_error(error) == words

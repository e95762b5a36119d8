"""The table of a run as CSV: texts from outside stay texts in a spreadsheet."""

from __future__ import annotations

import pandas as pd

from he_compare.common.run.table import neutralised


def test_a_formula_becomes_a_text_and_numbers_stay_numbers() -> None:
    frame = pd.DataFrame(
        {"label": ["=HYPERLINK(1)", "+cmd|x", " @sum", "plain", None], "value": [-1.5, 2, 3, 4, 5]}
    )
    shown = neutralised(frame)
    assert shown["label"].tolist()[:4] == ["'=HYPERLINK(1)", "'+cmd|x", "' @sum", "plain"]
    assert shown["value"].tolist() == [-1.5, 2, 3, 4, 5]
    assert ",'=HYPERLINK(1)" in "," + shown.to_csv(index=False).split("\n")[1]


def test_a_metric_named_like_a_formula_is_a_text_too() -> None:
    assert list(neutralised(pd.DataFrame({"=1+1": [1]})).columns) == ["'=1+1"]

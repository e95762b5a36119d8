"""The document refuses what no renderer could draw rightly, and spells numbers one way."""

from __future__ import annotations

import pytest

from he_compare.common.run.quantiles import median_interval, quantile
from he_compare.common.run.spelling import (
    duration,
    fixed,
    moment,
    probability,
    scientific,
    significant,
    size,
)
from he_compare.common.statistics.evaluation import wilson_half_width
from he_compare.common.visible_text import visible
from he_compare.reports.document.legible import breakable, wrapped
from he_compare.reports.document.nodes import (
    Break,
    Code,
    Column,
    Document,
    Figure,
    Row,
    Section,
    Table,
    inline,
    plain,
)


def _document(*sections: Section) -> Document:
    return Document("title", inline("sub"), "2025-03-01T09:30:00Z", (), sections)


def test_a_figure_without_alternative_text_is_refused() -> None:
    with pytest.raises(ValueError, match="alternative text"):
        Figure("name", "caption", "  ", b"<svg/>")


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        Table("caption", (Column("a"), Column("b")), (Row((inline("x"),)),))


def test_repeated_anchors_and_figure_names_are_refused() -> None:
    with pytest.raises(ValueError, match="anchors repeat"):
        _document(Section("a", 1, "same", ()), Section("b", 1, "same", ()))
    figure = Figure("name", "caption", "alt", b"<svg/>")
    with pytest.raises(ValueError, match="figure names repeat"):
        _document(Section("a", 1, "a", (figure, figure)))


def test_appendices_of_level_1_are_lettered_and_stand_behind_the_body() -> None:
    sections = [
        Section("Answer", 1, "answer", ()),
        Section("Parameters", 1, "parameters", (), appendix=True),
        Section("Of the ciphers", 2, "ciphers", (), appendix=True),
        Section("Method", 1, "method", (), appendix=True),
    ]
    made = _document(*sections)
    assert list(made.headings().values()) == [
        "Answer",
        "A. Parameters",
        "Of the ciphers",
        "B. Method",
    ]
    assert made.first_appendix() == "parameters"
    assert _document(sections[0]).first_appendix() == ""
    with pytest.raises(ValueError, match="a section of the body follows an appendix"):
        _document(*reversed(sections))


def test_after_z_the_letters_are_doubled() -> None:
    many = [Section("x", 1, f"a{n}", (), appendix=True) for n in range(54)]
    headings = list(_document(*many).headings().values())
    assert [headings[n] for n in (25, 26, 51, 52)] == ["Z. x", "AA. x", "AZ. x", "BA. x"]


def test_inline_joins_strings_spans_and_runs() -> None:
    content = inline("a ", Code("b"), inline(Break(), "c"))
    assert plain(content) == "a b\nc"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.123456, "0.123"), (12.345, "12.3"), (2685.4, "2,685"), (-4.5, "−4.50")],
)
def test_numbers_have_three_significant_digits(value: float, shown: str) -> None:
    assert significant(value) == shown


def test_values_that_are_no_numbers_are_named() -> None:
    assert significant(float("nan")) == "not a number"
    assert fixed(float("inf")) == "∞"


def test_units_fit_the_size() -> None:
    assert duration(0.0000315) == "31.5 µs"
    assert duration(0.0084) == "8.40 ms"
    assert duration(12.3) == "12.3 s"
    assert size(490) == "490 bytes"
    assert size(150_400) == "150 kB"
    assert size(22_000_000) == "22.0 MB"


def test_signs_powers_and_small_probabilities() -> None:
    assert fixed(0.0123, signed=True) == "+0.012"
    assert scientific(7.1e-5) == "7.1 × 10⁻⁵"
    assert probability(0.0004) == "< 0.001"
    assert moment("2025-03-01T10:30:00+01:00") == "2025-03-01 09:30:00 UTC"
    assert moment("yesterday") == "yesterday"


def test_quantiles_are_samples_and_p99_of_few_is_the_largest() -> None:
    samples = [float(i) for i in range(1, 51)]
    assert quantile(samples, 0.5) == 25
    assert quantile(samples, 0.99) == 50


def test_the_median_interval_needs_six_samples() -> None:
    assert median_interval([1.0] * 5) is None
    interval = median_interval([6.0, 1.0, 3.0, 2.0, 5.0, 4.0])
    assert interval is not None
    assert (interval.low, interval.high) == (1.0, 6.0)


def test_the_median_interval_of_100_is_that_of_the_tables() -> None:
    """Ranks 40 and 61 for n = 100 at 95% (Hahn and Meeker, table A.15)."""
    interval = median_interval([float(i) for i in range(1, 101)])
    assert interval is not None
    assert (interval.low, interval.high) == (40.0, 61.0)


def test_wilson_half_width_shrinks_with_n() -> None:
    assert wilson_half_width(100) == pytest.approx(0.0962, abs=1e-4)


def test_characters_that_hide_or_reorder_are_spelled_out() -> None:
    assert visible("a\u202eb\x00c") == "a⟨U+202E⟩b⟨U+0000⟩c"
    assert visible("a\r\nb\u2028c") == "a b c"
    assert visible("שלום 日本") == "שלום 日本"


def test_long_words_may_break_and_lose_no_character() -> None:
    word = "x" * 40 + "-name[cipher=al_amin]"
    pieces = breakable(word).split("\u200b")
    assert "".join(pieces) == word
    assert max(len(piece) for piece in pieces) <= 14


def test_labels_fold_to_the_width_and_are_cut_with_an_ellipsis() -> None:
    lines = wrapped("block-scramble[cipher=al_amin,mode=adapted,patch=16]", 20, 2).split("\n")
    assert len(lines) == 2
    assert max(len(line) for line in lines) <= 20
    assert lines[-1].endswith("…")

"""The first page: what to choose, its price, what is not protected, use in a clinic, repetition.

The rules are those of ``reports.answer``.
"""

from __future__ import annotations

from he_compare.common.run.view import RunView
from he_compare.reports.answer.answer_table import answer_table
from he_compare.reports.answer.choose import choice_of, choice_words
from he_compare.reports.answer.clinic_words import clinic_words
from he_compare.reports.answer.repeating import commands_of, repeat_words
from he_compare.reports.answer.scrambling_words import scrambling_words
from he_compare.reports.answer.sides import ciphers_of, sides_of
from he_compare.reports.answer.unpromised import unpromised_words
from he_compare.reports.document.nodes import Block, CodeBlock, Paragraph, inline
from he_compare.reports.section import ReportSection


class FirstPage(ReportSection):
    """The answer in words, one table, two commands."""

    order = 100
    title = "Answer"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the page; a paragraph that a run gives no ground for is left out."""
        sides = sides_of(view)
        groups = ciphers_of(view, sides)
        choice = choice_of(view, sides)
        above = [scrambling_words(view, groups), choice_words(view, sides, choice)]
        below = [
            unpromised_words(view, sides, choice.chosen),
            clinic_words(view, sides, choice.chosen, groups),
        ]
        return [
            *[Paragraph(words) for words in above if words],
            answer_table(view, sides, groups, choice.chosen),
            *[Paragraph(words) for words in below if words],
            Paragraph(inline(repeat_words(view))),
            CodeBlock(commands_of(view)),
        ]


SECTION = FirstPage()

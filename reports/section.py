"""What one part of the report is: its place, its heading, and the blocks it makes of a run.

A file of ``reports/sections`` is one part: it derives a class from ``ReportSection`` and assigns an
instance to ``SECTION``. Nothing else is edited. A package of one's own registers such a module
under the entry-point group ``he_compare.sections``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Block, Section

FIRST_APPENDIX = 1000


class ReportSection:
    """One part of the report. A derived class sets ``title`` and overrides ``blocks``.

    ``order``: parts come by rising order. Below ``FIRST_APPENDIX`` a part is of the body, which has
    few pages; from there on it is an appendix, as it is without an order of its own. ``level``: of
    the heading, 1 to 3. ``anchor``: what links lead to; without one it is made of the title.
    """

    order: int = 1550
    title: str = ""
    level: int = 1
    anchor: str = ""

    def blocks(self, view: RunView) -> Sequence[Block]:
        """Return what is below the heading; nothing where this run has nothing to show."""
        return ()

    def sections(self, view: RunView) -> Sequence[Section]:
        """Return the part as headings with blocks: one, or none where there are no blocks.

        Override it for a part of several headings.
        """
        blocks = tuple(self.blocks(view))
        return [Section(self.title, self.level, self._anchor(), blocks)] if blocks else []

    def _anchor(self) -> str:
        return self.anchor or re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

"""The parts of a report in order; a part that cannot be made is a line that says so.

A part may come from elsewhere and do anything: what is wrong with one loses no other.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import get_args

from he_compare.common.errors import CompareError, IntegrityError
from he_compare.common.plugins import BrokenPluginError, survey
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Block, Callout, Figure, Section, inline
from he_compare.reports.document.photographs import Grid, Stills
from he_compare.reports.section import FIRST_APPENDIX, ReportSection

LOGGER = logging.getLogger("he_compare.reports")
KINDS_OF_BLOCK = get_args(Block)


class MissingPart(ReportSection):
    """Stands for a part that cannot be made, with the reason."""

    level = 2

    def __init__(self, name: str, reason: str, order: int = ReportSection.order) -> None:
        self.order = order
        self.title = f"Not made: {name}"
        self.reason = f"section {name!r} could not be made: {' '.join(reason.split())}"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the line that says why, and warn on the terminal."""
        LOGGER.warning("warning: %s", self.reason)
        return [Callout("warning", self.reason[0].upper() + self.reason[1:], inline(""))]


def parts() -> list[tuple[str, ReportSection]]:
    """Return every part of the report by its plug-in's name, in order.

    ``MissingPart`` stands for a plug-in that cannot be used.
    """
    found = survey("sections")
    loaded: list[tuple[str, ReportSection]] = [
        (one.name, MissingPart(one.name, str(one.error()))) for one in found.broken
    ]
    for name, plugin in found.usable.items():
        try:
            part: ReportSection = plugin.load()
            part.order + 0.0
        except BrokenPluginError as error:
            part = MissingPart(name, str(error))
        except Exception as error:
            part = MissingPart(name, f"its order is no number ({type(error).__name__})")
        loaded.append((name, part))
    return sorted(loaded, key=lambda one: (one[1].order, one[0]))


def sections_of(view: RunView) -> tuple[Section, ...]:
    """Return the sections of all parts, in order. Raises IntegrityError of a damaged run."""
    anchors: dict[str, str] = {}
    shown: dict[str, str] = {}
    found: list[Section] = []
    for name, part in parts():
        try:
            made = _checked(part.sections(view))
            _refuse_taken(made, anchors, shown)
        except IntegrityError:  # the run's fault, not the part's
            raise
        except (Exception, SystemExit) as error:
            if not isinstance(error, CompareError):
                traceback.print_exc()
            reason = str(error) if isinstance(error, _Refused) else _spelled(error)
            made = list(MissingPart(name, reason, part.order).sections(view))
        for section in made:
            anchors.setdefault(section.anchor, name)
            shown |= dict.fromkeys(_names_of(section), name)
        found += _placed(made, appendix=part.order >= FIRST_APPENDIX)
    return tuple(_under_headings(found))


def _placed(made: Iterable[Section], *, appendix: bool) -> list[Section]:
    """Mark sections as of the body or of the appendices, whatever the part said."""
    return [replace(section, appendix=appendix) for section in made]


def _under_headings(sections: Iterable[Section]) -> Iterator[Section]:
    """Make the first section of the body and of the appendices a heading of level 1."""
    before = None
    for section in sections:
        first = section.appendix != before
        yield replace(section, level=1) if first else section
        before = section.appendix


class _Refused(CompareError):
    """What a part returned cannot stand in the document."""


def _spelled(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _checked(made: object) -> list[Section]:
    """Return the sections that a part made. Raises _Refused where they are none."""
    if not isinstance(made, list | tuple):
        raise _Refused(f"it made a {type(made).__name__}, expected a list of sections")
    for section in made:
        if not isinstance(section, Section):
            raise _Refused(f"it made a {type(section).__name__}, expected a Section")
        if not (isinstance(section.title, str) and section.title and section.level in (1, 2, 3)):
            raise _Refused(f"heading {section.title!r} of level {section.level!r}: expected 1 to 3")
        for block in section.blocks:
            if not isinstance(block, KINDS_OF_BLOCK):
                raise _Refused(f"it made a {type(block).__name__}, expected a block")
    return list(made)


def _refuse_taken(made: list[Section], anchors: dict[str, str], shown: dict[str, str]) -> None:
    """Raise _Refused where anchors or names of figures repeat, in it or with an earlier part."""
    mine = [section.anchor for section in made]
    for anchor in mine:
        if anchor in anchors:
            raise _Refused(
                f"it uses the anchor {anchor!r} of the section {anchors[anchor]!r}",
                fix="give it another title or anchor",
            )
        if mine.count(anchor) > 1:
            raise _Refused(f"it uses the anchor {anchor!r} twice", fix="rename one")
    names = [name for section in made for name in _names_of(section)]
    for name in names:
        if name in shown:
            raise _Refused(
                f"it uses the figure name {name!r} of the section {shown[name]!r}",
                fix="give the figure another name",
            )
        if names.count(name) > 1:
            raise _Refused(f"it uses the figure name {name!r} twice", fix="rename one")


def _names_of(section: Section) -> list[str]:
    """Return the names of its figures and plates, of which a document has each once."""
    return [block.name for block in section.blocks if isinstance(block, Figure | Stills | Grid)]

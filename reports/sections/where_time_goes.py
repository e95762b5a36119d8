"""Where each millisecond of an image is spent: at the hospital, on the wire, at the server."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.server_places import wire_is_loopback, wire_words
from he_compare.common.run.spelling import duration, fixed
from he_compare.common.run.timing import TimeByPlace, places_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Figure, Paragraph, inline
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.time_by_place import beside_twins, time_by_place_plot
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

CAPTION = (
    "Time of one image by place, protected pipelines (bold) below the same model without "
    "protection. A bar is as long as the median of single images, measured at the hospital from "
    "the image to the answer; it is divided as the images around the median were (the middle "
    "fifth). "
)
AS_LOOPBACK = "The wire is loopback: a real network adds to it."
AS_MEASURED = "The wire is {wire}, as it was measured."
UNDIVIDED = "The stages of {names} were not entered once per image, so that its time is not divided"
Found = Sequence[tuple[PipelineView, TimeByPlace]]


class WhereTimeGoes(ReportSection):
    """Who spends the time of an image."""

    order = 210
    title = "Where each millisecond is spent"
    anchor = "where-time-goes"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer and a bar per pipeline; nothing where no image was timed."""
        found = [
            (one, places)
            for group in beside_twins(view)
            for one in group
            if (places := places_of(one)) is not None
        ]
        words = _words(view, found)
        said = [Paragraph(inline(words))] if words else []
        return [*said, *_figure(view, found)]


def _words(view: RunView, found: Found) -> str:
    """Say for the protected pipelines who does the work, those whose hospital runs the network
    first."""
    hidden = [(one, places) for one, places in found if one.protected]
    at_hospital = [row for row in hidden if row[1].network > 0]
    at_server = [row for row in hidden if row[1].network <= 0]
    said = []
    if at_hospital:
        said.append(
            f"With {_names(view, at_hospital)} the hospital runs the image network itself: "
            f"{_range([places.hospital / places.total for _, places in at_hospital])} of the time "
            "of an image is spent at the hospital, "
            f"{_range([places.network / places.total for _, places in at_hospital])} in the "
            "network alone; the server has "
            f"{_range([places.server / places.total for _, places in at_hospital])} of it."
        )
    if at_server:
        said.append(
            f"With {_names(view, at_server)} the server runs the network: "
            f"{_range([places.server / places.total for _, places in at_server])} of the time is "
            "spent there."
        )
    divided = {one.label for one, _ in found}
    undivided = [one for one in view.pipelines if one.timed and one.label not in divided]
    if undivided:
        names = ", ".join(short_title(view, one) for one in undivided)
        said.append(f"{UNDIVIDED.format(names=names)}.")
    return " ".join(said)


def _names(view: RunView, rows: Found) -> str:
    names = [short_title(view, one) for one, _ in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _range(shares: list[float]) -> str:
    low, high = (fixed(100 * share, 0) for share in (min(shares), max(shares)))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _figure(view: RunView, found: Found) -> list[Figure]:
    spoken = "; ".join(
        f"{one.label}: {duration(places.total)}, of which hospital {duration(places.hospital)}, "
        f"wire {duration(places.wire)}, server {duration(places.server)}"
        for one, places in found
    )
    alt = f"Time of one image by place. {spoken}"
    told = AS_LOOPBACK if wire_is_loopback(view) else AS_MEASURED.format(wire=wire_words(view))
    return drawn(lambda: time_by_place_plot(view), "time-by-place", CAPTION + told, alt)


SECTION = WhereTimeGoes()

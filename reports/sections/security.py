"""The security map: what each protection kept, in three columns, and who took what from it.

Nothing here adds up to one score. The map is printed once; single attacks are in an appendix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from he_compare.common.run.protection import (
    NOTHING_SENT,
    ProtectionStanding,
    integrity_of,
    leaked_decryptions_of,
    secrecy_of,
    worst_standing,
)
from he_compare.common.run.security_map import MapColumn, MapRow, SecurityMap, security_map
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Callout,
    Column,
    Figure,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.security import NARROW, is_narrow, security_figure
from he_compare.reports.figures.style import PAGE_WIDTH
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

NO_ATTACKS = (
    "No attack was run on this run's pipelines (smoke profile or --no-audit), so no claim was "
    "tested."
)
NO_PROOF = (
    "“Held” and “not broken” mean within the stated budget and by the attacks named here, which is "
    "not the same as secure."
)
COLUMNS = (
    Column("Protection", weight=1.3),
    Column("Secret from the server?", weight=1.9),
    Column("Integrity of answers", weight=1.9),
    Column("If decrypted results leak", weight=1.9),
)
Ask = Callable[[RunView, PipelineView], ProtectionStanding]


class Security(ReportSection):
    """What each protection kept, and the map of who took what."""

    order = 600
    title = "Security: what each protection kept"
    anchor = "security"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the table and the map; where no attack ran, that is said instead."""
        if not view.outcomes:
            return [Callout("warning", "No attack was run", inline(NO_ATTACKS))]
        found = security_map(view)
        return [
            _kept(view, found.columns),
            Paragraph(inline(f"{NO_PROOF} {_messages(view)} {_estimates(view)}")),
            *_map(found),
            *_beside(found),
        ]


def _kept(view: RunView, columns: Sequence[MapColumn]) -> Table:
    """Return secrecy, integrity and leaked decryptions of every protection, without counts."""
    asked: tuple[Ask, ...] = (secrecy_of, integrity_of, leaked_decryptions_of)
    rows = [
        Row((inline(column.title), *(_standing(view, column, ask) for ask in asked)))
        for column in columns
    ]
    alone = [short_title(view, one) for one in view.pipelines if one.no_server]
    if alone:
        name = f"hospital only ({', '.join(alone)})"
        rows.append(Row((inline(name), inline(NOTHING_SENT), inline("—"), inline("—"))))
    marks = {ask(view, one).mark for ask in asked for one in view.pipelines}
    exploited = (
        "“Not protected” and “gives the key” were tried and worked; the scheme does not promise "
        "the opposite. "
    )
    note = inline(
        exploited if marks & {"not protected", "not promised"} else "",
        "Numbers, attack by attack: appendix “Attacks one by one”.",
    )
    return Table("What each protection kept", COLUMNS, tuple(rows), note)


def _standing(view: RunView, column: MapColumn, ask: Ask) -> Inline:
    found = worst_standing([ask(view, pipeline) for pipeline in column.pipelines])
    words = found.words
    return inline(Bold(words)) if found.mark in ("broken", "partly") else inline(words)


def _messages(view: RunView) -> str:
    """Say which bytes attacks read, as each outcome records it."""
    sources = Counter(
        one.messages
        for one in view.outcomes
        if one.target_kind != "control" and (one.metric is not None or one.messages)
    )
    crossed = sources.pop("crossed in the run", 0)
    unknown = sources.pop("", 0)
    words = []
    if crossed:
        words.append(
            f"{crossed} outcomes are on messages that crossed the wire in this run; under further "
            "keys the attacks meet messages that the audit encrypted anew"
        )
    words += [f"{count} on messages {_SOURCES.get(name, name)}" for name, count in sources.items()]
    if unknown:
        words.append(f"{unknown} older outcomes do not say where their messages come from")
    return f"Which bytes were attacked: {'; '.join(words)}." if words else ""


_SOURCES = {
    "deployed again": "of a pipeline that the audit deployed again",
    "deployed for the audit": "of a pipeline that was deployed for the audit only",
    "cipher alone": "of the cipher alone",
}


def _estimates(view: RunView) -> str:
    """Say what a result is compared with, and that the comparison is an estimate."""
    if not any(one.controls for one in view.outcomes):
        return ""
    keys = {one.control_keys for one in view.outcomes if one.controls and one.control_keys}
    few = f" from {min(keys)} keys" if len(keys) == 1 else " from few keys"
    return (
        "Results are compared with what is had without the attack and with unprotected images; "
        f"both are estimates{few}, whose error no interval holds."
    )


def _map(found: SecurityMap) -> list[Figure]:
    rows = sum(len(rows) for _, rows in found.groups)
    return drawn(
        lambda: security_figure(found),
        name="security-map",
        caption="What each attack got from each protection. Dark: promised and taken. Ring: taken, "
        "or changed unnoticed, and never promised. Hatched: nothing is known.",
        alt=f"Map of {rows} attacks, grouped by the property they test, against "
        f"{len(found.columns)} protections; in words: appendix “Attacks one by one”",
        width=NARROW / PAGE_WIDTH if is_narrow(found) else 1.0,
    )


def _beside(found: SecurityMap) -> list[Block]:
    """Return controls in one line, and what was left out of the map in one sentence."""
    left = "; ".join(
        f"{len(rows)} {why} ({_named(why, rows)})" for why, rows in sorted(found.left_out.items())
    )
    words = [found.controls]
    if left:
        words.append(f"Attacks left out of the map, because they say nothing here: {left}.")
    told = " ".join(filter(None, words))
    if not told:
        return []
    if found.controls.startswith("Controls that misbehaved"):
        return [Callout("danger", "A control misbehaved", inline(told))]
    return [Paragraph(inline(told))]


def _named(why: str, rows: Sequence[MapRow]) -> str:
    if why == "not run":
        return "listed in Deviations"
    return ", ".join(row.title for row in rows)


SECTION = Security()

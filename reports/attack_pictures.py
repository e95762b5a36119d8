"""What an attack made of a picture: original, what the server saw, and after the attack."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import WON, beyond_claims, gravity
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.png import redrawn

ROLES = ("original", "server's view", "after attack")
ALIGNED = "aligned for display with the original"
WHAT_ALIGNED_MEANS = (
    "“Aligned for display with the original”: turned, mirrored or negated as a whole, which the "
    "ciphertext does not determine; SSIM is measured after that."
)


@dataclass(frozen=True)
class Strip:
    """One image: PNG and caption of the original, of the server's view and after the attack."""

    title: str
    pictures: tuple[tuple[bytes, str], ...]


def strip_of(view: RunView, title: str, outcome: AttackOutcome) -> Strip | None:
    """Return the pictures of an outcome's first image; None where one is missing or unreadable."""
    first = next(iter(outcome.pictures), None)
    if first is None:
        return None
    mine = {one.role: one for one in outcome.pictures if one.image == first.image}
    if any(role not in mine for role in ROLES):
        return None
    found = [_read(view, mine[role].file) for role in ROLES]  # type: ignore[index]
    captions = [mine[role].caption.partition(" (")[0] for role in ROLES]  # type: ignore[index]
    if outcome.aligned:
        captions[-1] = "; ".join(filter(None, (captions[-1], ALIGNED)))
    read = [png for png in found if png is not None]
    if len(read) < len(ROLES):
        return None
    return Strip(title, tuple(zip(read, captions, strict=True)))


def lost_files(view: RunView) -> list[str]:
    """Return the pictures that records name and the run folder does not hold or cannot show."""
    named = dict.fromkeys(one.file for outcome in view.outcomes for one in outcome.pictures)
    return [name for name in named if _read(view, name) is None]


def _read(view: RunView, name: str) -> bytes | None:
    data = view.file(name)
    return redrawn(data) if data is not None else None


def leading_break(view: RunView) -> tuple[PipelineView, AttackOutcome, Strip] | None:
    """Return the strongest attack that won and left a picture; None where none did.

    Only of pipelines that claim protection: what an attack makes of open images shows nothing. Of
    equal verdicts the one that took the least knowledge.
    """
    found = [
        (gravity(outcome), pipeline.number, pipeline, outcome)
        for pipeline in view.pipelines
        if pipeline.protected
        for outcome in outcomes_of(view, pipeline)
        if outcome.verdict in WON and not beyond_claims(outcome) and outcome.pictures
    ]
    for _, _, pipeline, outcome in sorted(found, key=lambda one: one[:2]):
        strip = strip_of(view, pipeline.label, outcome)
        if strip is not None:
            return pipeline, outcome, strip
    return None

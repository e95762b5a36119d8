"""What attacks made of the pictures: a grid an attack, and the one that leads the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import WON, WORDS, beyond_claims, gravity
from he_compare.reports.document.nodes import Block, Bold, Paragraph, inline
from he_compare.reports.document.photographs import Frame, Grid, GridRow, Head, Slider, Tile
from he_compare.reports.document.png import redrawn
from he_compare.reports.view import PipelineView, RunView

SSIM_WORDS = (
    "A low SSIM between an image and its ciphertext is perceptual hiding, not confidentiality; a "
    "high SSIM between an image and what an attack made of its ciphertext is a break."
)
ROLES = ("original", "server's view", "after attack")
MOST_STRIPS = 6
MOST_GRIDS = 4


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


def grids(
    view: RunView,
    attacks: Sequence[tuple[str, str]],
    names: Sequence[tuple[str, str]],
    controls: Sequence[str],
) -> list[Block]:
    """Return a grid for each attack (name, title) that left pictures, and what is missing.

    ``names``: (target, shown name), a column each, the pipelines first; controls go last.
    """
    made: list[Block] = []
    for attack, title in attacks:
        strips = [
            (target in controls, strip)
            for target, shown in names
            for outcome in view.outcomes
            if outcome.attack == attack and outcome.target == target
            if (strip := strip_of(view, shown, outcome)) is not None
        ]
        attacked = [strip for control, strip in strips if not control]
        ends = [strip for control, strip in strips if control]
        if attacked and len(made) < MOST_GRIDS:
            made.append(_grid(attack, title, [*attacked[: MOST_STRIPS - len(ends)], *ends]))
    lost = lost_files(view)
    if lost:
        words = f"Not shown, because missing or unreadable in the run folder: {', '.join(lost)}."
        made.append(Paragraph(inline(words)))
    return [Paragraph(inline(Bold(SSIM_WORDS))), *made] if made else []


def _grid(attack: str, title: str, strips: Sequence[Strip]) -> Grid:
    return Grid(
        name=f"security-{attack.replace('_', '-')}",
        caption=f"{title}: original, what the server sees, and what the attack made of it; "
        "the controls on the right. " + SSIM_WORDS,
        alt=f"Pictures before and after the attack “{title}” for "
        + ", ".join(strip.title for strip in strips),
        heads=tuple(Head(strip.title) for strip in strips),
        rows=tuple(
            GridRow(
                role,
                tuple(
                    Tile(strip.pictures[row][0], f"{strip.title}, {role}", strip.pictures[row][1])
                    for strip in strips
                ),
            )
            for row, role in enumerate(ROLES)
        ),
    )


def leading_picture(view: RunView) -> Slider | None:
    """Return the picture of the strongest attack that won and left one; None where none did.

    Only pipelines that claim protection: what an attack makes of open images shows nothing.
    """
    found = [
        (gravity(outcome), pipeline.number, pipeline, outcome)
        for pipeline in view.pipelines
        if pipeline.protected
        for outcome in outcomes_of(view, pipeline)
        if outcome.verdict in WON and not beyond_claims(outcome) and outcome.pictures
    ]
    for _, _, pipeline, outcome in sorted(found, key=lambda one: one[:2]):
        strip = strip_of(view, view.title(pipeline), outcome)
        if strip is not None:
            return _slider(pipeline, outcome, strip)
    return None


def _slider(pipeline: PipelineView, outcome: AttackOutcome, strip: Strip) -> Slider:
    frames = tuple(
        Frame(role, caption, png)
        for role, (png, caption) in zip(ROLES, strip.pictures, strict=True)
    )
    return Slider(
        name="verdict-attack",
        caption=f"The strongest attack that won and left a picture: {outcome.title} on "
        f"{strip.title}, knowledge: {outcome.rung.value}; {WORDS[outcome.verdict].short}, "
        f"{outcome.headline.rstrip('.')}.",
        alt=f"An image before and after the attack “{outcome.title}” on {pipeline.label}",
        frames=frames,
    )

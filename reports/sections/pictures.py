"""Original, scrambled, rebuilt: one image as the hospital has it, as it is sent, and as it is won.

Three pictures side by side in every format. Where no attack rebuilt a picture, the first two.
"""

from __future__ import annotations

from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.result_words import short_result
from he_compare.common.run.severity import WORDS
from he_compare.common.run.view import RunView
from he_compare.reports.attack_pictures import WHAT_ALIGNED_MEANS, leading_break
from he_compare.reports.document.nodes import Block, Paragraph, inline
from he_compare.reports.document.photographs import Still, Stills
from he_compare.reports.document.png import png_of
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

AT_THE_HOSPITAL, AT_THE_SERVER = "original, at the hospital", "what the server gets"
HIDING = (
    "What looks like noise is hidden from the eye, which is not secrecy: what an attacker recovers "
    "is measured by attacks."
)
BYTES_ONLY = "What encryption sends is no picture: {names} send bytes that only the key opens."
NO_PICTURES = "The run stored no sample pictures."


class WhatTheServerSees(ReportSection):
    """One image before, on its way, and after the strongest attack."""

    order = 200
    title = "What the server sees"
    anchor = "pictures"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the pictures with a sentence; without stored ones the section says so."""
        shown = _rebuilt(view) or _sent(view)
        words = [NO_PICTURES if shown is None else HIDING]
        sealed = [
            short_title(view, one)
            for one in view.pipelines
            if one.measured and one.claims and one.claims.assumption
        ]
        if sealed:
            words.append(BYTES_ONLY.format(names=", ".join(sealed)))
        return [*([shown] if shown else []), Paragraph(inline(" ".join(words)))]


def _rebuilt(view: RunView) -> Stills | None:
    """Return the picture of the strongest attack that won and left one; None where none did."""
    found = leading_break(view)
    if found is None:
        return None
    pipeline, outcome, strip = found
    titles = (AT_THE_HOSPITAL, AT_THE_SERVER, "rebuilt by the attack")
    stills = tuple(
        Still(title, caption, png)
        for title, (png, caption) in zip(titles, strip.pictures, strict=True)
    )
    aligned = f" {WHAT_ALIGNED_MEANS}" if outcome.aligned else ""
    return Stills(
        name="pictures-rebuilt",
        caption=f"Original, what {short_title(view, pipeline)} sends, and what was rebuilt by the "
        f"attack “{outcome.title}” (adversary: {outcome.rung.value}): "
        f"{WORDS[outcome.verdict].short}, {short_result(outcome).rstrip('.')}.{aligned}",
        alt=f"One image: original, as sent by {pipeline.label}, and rebuilt by “{outcome.title}”",
        stills=stills,
    )


def _sent(view: RunView) -> Stills | None:
    """Return one image as the hospital has it and as it is sent; None where none was stored."""
    pictures = view.pictures
    if pictures is None or not len(pictures.original):
        return None
    groups = cipher_groups(view)
    named = [(group.pipelines[0].label, group.title) for group in groups]
    shown = [(label, title) for label, title in named if label in pictures.views][:3]
    if not shown:
        shown = [(label, label) for label in pictures.views][:1]
    if not shown:
        return None
    stills = [Still(AT_THE_HOSPITAL, "", png_of(pictures.original[0]))]
    for label, title in shown:
        stills.append(Still(AT_THE_SERVER, title, png_of(pictures.views[label][0])))
    return Stills(
        name="pictures-sent",
        caption="One image at the hospital and as it reaches the server, enlarged or reduced to "
        "the same size. No attack of this run left a rebuilt picture, which shows nothing.",
        alt="One image: original, and what the server gets of it",
        stills=tuple(stills),
    )


SECTION = WhatTheServerSees()

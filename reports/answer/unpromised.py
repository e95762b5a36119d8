"""What encryption did not do: integrity, decryptions that leak, proof, and attacks not run."""

from __future__ import annotations

import math
from collections.abc import Sized

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import integrity_of, leaked_decryptions_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import NotRun
from he_compare.reports.answer.price import sentence
from he_compare.reports.answer.scrambling_words import spelled
from he_compare.reports.answer.sides import Sides, with_results
from he_compare.reports.document.nodes import Bold, Inline, inline

HEAD = "What encryption did not do."
KEEP = "keep decrypted values inside the hospital"
UNTESTED = (
    "Whether changed replies are noticed, and whether leaked decryptions give away the key, was "
    "not tested in this run"
)
TLS = "TLS stops outsiders, not the server"


def unpromised_words(view: RunView, sides: Sides, chosen: PipelineView | None) -> Inline:
    """Return the paragraph, of the chosen pipeline or the first measured; empty without any."""
    found = with_results(sides.encrypted)
    if not found:
        return ()
    one = chosen or found[0]
    parts = [*_tested(view, one), _proof(found), _not_run(view, found), _licence(found)]
    return inline(Bold(HEAD), *[f" {part}." for part in parts if part])


def _tested(view: RunView, pipeline: PipelineView) -> list[str]:
    marks = {integrity_of(view, pipeline).mark, leaked_decryptions_of(view, pipeline).mark}
    if marks == {"not tested"}:
        return [f"{UNTESTED}; {TLS}", KEEP[:1].upper() + KEEP[1:]]
    return [_integrity(view, pipeline), _decryptions(view, pipeline)]


def _integrity(view: RunView, pipeline: PipelineView) -> str:
    found = integrity_of(view, pipeline)
    if found.mark in ("not protected", "broken", "partly"):
        changed = sentence(found.words.partition(": ")[2] or found.words)
        return f"Replies are not authenticated: {changed[:1].lower()}{changed[1:]}; {TLS}"
    if found.mark == "held":
        return sentence(found.words)
    return f"Whether changed replies are noticed was not tested; {TLS}"


def _decryptions(view: RunView, pipeline: PipelineView) -> str:
    found = leaked_decryptions_of(view, pipeline)
    if found.mark in ("not promised", "broken", "partly"):
        return f"If decryptions leak: {found.words}; {KEEP}"
    if found.mark == "held":
        return sentence(found.words)
    return f"Whether leaked decryptions give away the key was not tested; {KEEP}"


def _proof(pipelines: list[PipelineView]) -> str:
    """Say what secrecy rests on and what that is worth, the lowest estimate first."""
    bits: dict[str, float] = {}
    attacks: set[str] = set()
    for one in pipelines:
        for facts in one.claims.lattice if one.claims else ():
            attacks.add(facts.attack or "not named")
            for model, value in facts.bits.items():
                name = model.replace(" (", ", ").rstrip(")")
                bits[name] = min(value, bits.get(name, value))
    rests = "“Not broken” is no proof: secrecy rests on the hardness of (R)LWE"
    if not bits:
        return f"{rests}; this run holds no estimate of it"
    ordered = sorted(bits.items(), key=lambda one: one[1])
    told = [f"{math.floor(value)} bits ({model})" for model, value in ordered]
    by = f"one attack, {attacks.pop()}" if len(attacks) == 1 else f"{len(attacks)} attacks"
    span = f"{told[0]} or {told[-1]}" if len(told) > 1 else told[0]
    counted = ", by how cost is counted" if len(told) > 1 else ""
    return f"{rests}, estimated at {span}{counted}, for {by}"


def _not_run(view: RunView, pipelines: list[PipelineView]) -> str:
    missing: dict[str, NotRun | None] = {}
    for pipeline in pipelines:
        for one in outcomes_of(view, pipeline):
            if one.verdict == "not run":
                missing[one.title or one.attack] = one.not_run
    if not missing:
        return ""
    count = f"{spelled(len(missing))} attack{'s' * (len(missing) != 1)}".capitalize()
    if set(missing.values()) == {NotRun.BUDGET}:
        return f"{count} need{_s(missing)} a larger budget and {_was(missing)} not run"
    reasons = ", ".join(dict.fromkeys(reason.value for reason in missing.values() if reason))
    return f"{count} {_was(missing)} not run" + (f" ({reasons})" if reasons else "")


def _s(counted: Sized) -> str:
    return "s" if len(counted) == 1 else ""


def _was(counted: Sized) -> str:
    return "was" if len(counted) == 1 else "were"


def _licence(pipelines: list[PipelineView]) -> str:
    """Repeat the sentence of a library that may not be used commercially without a licence."""
    for one in pipelines:
        licence = str(one.claims.parameters.get("licence", "")) if one.claims else ""
        if "commercial use" in licence:
            return f"Commercial use of {one.label}{licence.partition('commercial use')[2]}"
    return ""

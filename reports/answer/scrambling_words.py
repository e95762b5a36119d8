"""What became of scrambling: what sufficed to rebuild the images, or what was not found out."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import LADDER, WON, is_judged
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Aim, Knowledge
from he_compare.reports.answer.price import sentence
from he_compare.reports.answer.sides import with_results
from he_compare.reports.document.nodes import Bold, Content, Inline, inline
from he_compare.reports.naming import short_title

HOW_TO_AUDIT = "add --audit to the command that made this run"
SMALL_NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
# A key counts as broken where the attack got this share of the way from its floor to its ceiling.
WON_SHARE = 0.8
NO_PROOF = "That is no proof: no hardness assumption stands behind scrambling."


def spelled(count: int) -> str:
    """Return a number in letters up to twenty, in digits above."""
    return SMALL_NUMBERS[count] if 0 <= count < len(SMALL_NUMBERS) else f"{count:,}"


def scrambling_words(view: RunView, groups: Sequence[Sequence[PipelineView]]) -> Inline:
    """Return the paragraph; empty where the run has no scrambling.

    ``groups``: the scrambled pipelines, those of one cipher together.
    """
    everyone = [one for group in groups for one in group]
    if not everyone:
        return ()
    ran = [one for one in _judged(view, everyone) if one.verdict in (*WON, "resists within budget")]
    lost = [(group, won) for group in groups if (won := _won(view, group))]
    if lost:
        return _broken(view, groups, lost)
    if ran:
        count = len({one.row for one in ran})
        told = "attack ran and did not win" if count == 1 else "attacks ran; none of them won"
        words = f" {sentence(spelled(count))} {told}. "
        return inline(Bold("No attack that was run rebuilt a scrambled image."), words, NO_PROOF)
    if not with_results(tuple(everyone)) and not view.outcomes:
        reason = everyone[0].trouble
        return inline(Bold("Scrambling gave no result."), f" {_names(view, everyone)}: {reason}.")
    if not view.outcomes:
        words = f" No attack was run: {HOW_TO_AUDIT}. Its claim is heuristic."
        return inline(Bold("Whether scrambling protects was not tested in this run."), words)
    words = " No attack on it came to a result that counts; that is not a pass."
    return inline(Bold("Whether scrambling protects is not known."), words)


def _broken(
    view: RunView,
    groups: Sequence[Sequence[PipelineView]],
    lost: Sequence[tuple[Sequence[PipelineView], AttackOutcome]],
) -> Inline:
    whole = any(won.verdict == "broken" for _, won in lost)
    kept = [group for group in groups if not any(group is one for one, _ in lost)]
    head = "Scrambling did not protect the images."
    if not whole:
        head = "Scrambling gave away part of the images."
    elif kept:
        head = "Scrambling did not protect the images in every set-up."
    parts: list[Content] = [Bold(head)]
    several = len(groups) > 1
    for group, won in sorted(lost, key=lambda one: _ease(one[1]))[:2]:
        name = f" {_names(view, group)}:" if several else ""
        parts.append(f"{name} {_story(won)}")
    if len(lost) > 2:
        parts.append(f" {sentence(spelled(len(lost) - 2))} more ciphers were broken as well.")
    if kept:
        names = "; ".join(_names(view, group) for group in kept)
        parts.append(f" Not broken by what was run, which is no proof: {names}.")
    if not several and len(groups[0]) > 1:
        count = spelled(len(groups[0]))
        parts.append(f" The {count} set-ups are one cipher: this is one result, not {count}.")
    return inline(*parts)


def _story(won: AttackOutcome) -> str:
    """Say what sufficed and what came back."""
    means = sentence(_means(won))
    if not _shows_pictures(won):
        return f"{means} sufficed for the attack “{won.title}”: {won.headline.rstrip('.')}."
    verb = "rebuild them" if won.verdict == "broken" else "rebuild part of them"
    return f"{means} sufficed to {verb}{_measure(won)}{_up_to(won)}."


def _means(won: AttackOutcome) -> str:
    """Say what the adversary had."""
    spent = {name: int(value) for name, value in won.spent.items() if isinstance(value, int)}
    if pairs := spent.get("pairs"):
        return f"{spelled(pairs)} image{'s' * (pairs != 1)} known in both forms"
    if queries := spent.get("queries"):
        return f"{spelled(queries)} image{'s' * (queries != 1)} of the attacker's own choice"
    if count := spent.get("ciphertexts"):
        shown = f"{spelled(count)} scrambled image{'s' * (count != 1)}"
        if won.rung is Knowledge.MANY_CIPHERTEXTS:
            return f"{shown} under one key"
        return shown if won.rung is Knowledge.CIPHERTEXT_ONLY else f"{shown} and {won.rung.value}"
    return f"an adversary's knowledge of the kind “{won.rung.value}”"


def _measure(won: AttackOutcome) -> str:
    if won.metric is None or won.metric.value is None:
        return ""
    name = "SSIM" if won.metric.name.startswith("SSIM") else won.metric.name
    keys = len(won.per_key)
    shown = f"{name} {fixed(won.metric.value, 2)}"
    if keys and won.floor is not None and won.ceiling is not None:
        line = won.floor + WON_SHARE * (won.ceiling - won.floor)
        hit = sum((value >= line) == won.higher_is_worse for value in won.per_key)
        return f" ({shown}, {hit} of {keys} keys)"
    return f" ({shown}, {keys} keys)" if keys else f" ({shown})"


def _up_to(won: AttackOutcome) -> str:
    """Say what the attack cannot tell, where its first limit is of that kind."""
    first = won.limits[0] if won.limits else ""
    return f", {first.partition(',')[0]}" if first.startswith("up to ") else ""


def _shows_pictures(won: AttackOutcome) -> bool:
    return bool(won.pictures) or bool(won.metric and won.metric.name.startswith("SSIM"))


def _won(view: RunView, group: Sequence[PipelineView]) -> AttackOutcome | None:
    """Return the attack on a cipher to tell of; None where none won."""
    won = [one for one in _judged(view, group) if one.verdict in WON]
    return min(won, key=_ease, default=None)


def _ease(won: AttackOutcome) -> tuple[bool, bool, bool, int, float, str]:
    """Return what to sort by: broken first, then what rebuilds images, then least knowledge."""
    blind = not _shows_pictures(won)
    rest = (LADDER.index(won.rung), -(won.advantage or 0.0), won.attack)
    return won.verdict != "broken", won.aim not in (Aim.IMAGE, None), blind, *rest


def _judged(view: RunView, pipelines: Sequence[PipelineView]) -> list[AttackOutcome]:
    return [o for one in pipelines for o in outcomes_of(view, one) if is_judged(o)]


def _names(view: RunView, pipelines: Sequence[PipelineView]) -> str:
    return ", ".join(short_title(view, one) for one in pipelines)

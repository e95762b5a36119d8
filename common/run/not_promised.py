"""What an encryption does not promise and what came of trying it: measured, pipeline by pipeline.

Read from the outcomes of the checks that exploit it; a check that did not run is told as that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import replies_changed
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.view import PipelineView, RunView

# How the check of decoded replies names what it measured.
ONE_REPLY = "from one complex decode of a reply"
SCORES_ALONE = "from the scores of two replies"
FEWEST_DECIMALS = "fewest decimals that reveal the key"
NOISY_ONCE = "with noise as large as the ciphertext's own, one decode each"
NOISY_AVERAGED = "the same noise, "
ALL_OF_IT = 0.99


@dataclass(frozen=True)
class Gap:
    """One property that is not promised: by which check it was exploited, and what to do."""

    name: str
    attack: str
    told: Callable[[AttackOutcome], str]
    instead: str


@dataclass(frozen=True)
class Tried:
    """What came out, and for which pipelines it is the same."""

    pipelines: tuple[PipelineView, ...]
    words: str


def _integrity(outcome: AttackOutcome) -> str:
    changed = replies_changed(outcome)
    if not changed:
        return outcome.headline
    return (
        f"{changed} were given another class, by adding a constant to the encrypted scores; the "
        "client noticed none"
    )


def _decoded_replies(outcome: AttackOutcome) -> str:
    found = {one.name: one.value for one in outcome.details}
    one_reply, scores = found.get(ONE_REPLY), found.get(SCORES_ALONE)
    if one_reply is None or scores is None:
        return outcome.headline
    parts = [
        f"all decoded slots of one reply gave {_share(one_reply)} of the secret key",
        f"the class scores alone gave {_share(scores)}, which proves nothing for other attacks",
    ]
    if decimals := found.get(FEWEST_DECIMALS):
        parts.append(f"slots rounded to {decimals:.0f} decimals still gave the whole key")
    averaged = next((v for name, v in found.items() if name.startswith(NOISY_AVERAGED)), None)
    if (once := found.get(NOISY_ONCE)) is not None and averaged is not None:
        parts.append(
            f"with noise as large as the ciphertext’s own, one decode gave {_share(once)}, the "
            f"average of many decodes of the same replies {_share(averaged)}"
        )
    return "; ".join(parts)


def _extracted_head(outcome: AttackOutcome) -> str:
    queries = outcome.spent.get("queries")
    alike = next((one.value for one in outcome.details if "classified alike" in one.name), None)
    if not isinstance(queries, int) or alike is None:
        return outcome.headline
    return (
        f"{queries} encrypted queries gave a copy of the head that gave the same class for "
        f"{100 * alike:.1f}% of the images it was compared on"
    )


def _share(value: float) -> str:
    """Spell a share without making all of it of nearly all."""
    if value in (0.0, 1.0):
        return "all" if value else "nothing"
    return f"{100 * value:.1f}%"


def _headline(outcome: AttackOutcome) -> str:
    return outcome.headline


GAPS = (
    Gap(
        "Integrity: a reply is not authenticated",
        "malleability",
        _integrity,
        "Use TLS between the machines; it does not stop the server itself. Check a sample of "
        "answers against the plain head.",
    ),
    Gap(
        "Decoded replies (IND-CPA-D)",
        "ind_cpa_d",
        _decoded_replies,
        "Keep decoded replies inside the hospital; hand out the class, not the slots.",
    ),
    Gap(
        "Secrecy of the head from the client",
        "head_extraction",
        _extracted_head,
        "It matters only where the server owns the head: limit the number of queries.",
    ),
    Gap(
        "Privacy of training samples in a decrypted update",
        "sample_gradient",
        _headline,
        "Keep decrypted weights with the owner of the samples.",
    ),
)


def tried(view: RunView, gap: Gap) -> list[Tried]:
    """Return what came of one gap, encrypted pipelines of the same words together."""
    found: dict[str, list[PipelineView]] = {}
    for pipeline in view.pipelines:
        claims = pipeline.claims
        if claims is None or claims.claim_type != "reduction to a hardness assumption":
            continue  # scrambling promises less, and has a part of its own
        for outcome in outcomes_of(view, pipeline):
            if outcome.attack != gap.attack or outcome.verdict == "not applicable":
                continue
            words = gap.told(outcome)
            if outcome.verdict in ("not run", "unreadable"):
                words = f"not run: {outcome.reason or 'no reason was recorded'}"
            found.setdefault(words, []).append(pipeline)
    return [Tried(tuple(pipelines), words) for words, pipelines in found.items()]

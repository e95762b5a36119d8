"""Which kinds of set-up a run has: what hospital and server hold and compute, by what is recorded.

Set-ups of which the same can be said are one kind; controls are none.
"""

from __future__ import annotations

import re

from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.scheme import CONTROLS
from he_compare.reports.figures.holders import HeldWhere
from he_compare.reports.naming import short_title

MOST_NAMED = 6
Said = tuple[tuple[str, ...], str, str, tuple[str, ...], str, bool]


def holdings_of(view: RunView) -> list[HeldWhere]:
    """Return the kinds of set-up with the names of their pipelines, in the order of the plan."""
    names: dict[Said, list[str]] = {}
    for pipeline in view.pipelines:
        if str(pipeline.planned.resolved.get("cipher", "")) in CONTROLS:
            continue
        names.setdefault(_said(pipeline), []).append(short_title(view, pipeline))
    return [HeldWhere(_joined(mine), *said) for said, mine in names.items()]


def _joined(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _said(pipeline: PipelineView) -> Said:
    """Return what is said of a pipeline: all fields of ``HeldWhere`` but the names."""
    work, claims = pipeline.planned.work, pipeline.claims
    computes = _sentence(work.hospital if work else "")
    if pipeline.no_server:
        return (("Holds images, network and head.", computes), "nothing is sent", "", (), "", False)
    serves = _sentence(work.server if work else "")
    key = _key(claims)
    hospital = (f"Holds the images{key}.", computes)
    return hospital, _up(claims), _down(claims), (serves,), _head(pipeline), bool(key)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _key(claims: SecurityClaims | None) -> str:
    has_key = claims is not None and (claims.key_fingerprint or claims.key_space is not None)
    return " and the secret key" if has_key else ""


def _up(claims: SecurityClaims | None) -> str:
    if claims is None:
        return "not recorded"
    if claims.claim_type == "none":
        return "images as they are"
    if claims.claim_type == "heuristic":
        return "scrambled images"
    return f"ciphertexts ({re.split('[:,(]', claims.scheme)[0].strip()})"


def _down(claims: SecurityClaims | None) -> str:
    if claims is None:
        return "not recorded"
    sealed = claims.claim_type == "reduction to a hardness assumption"
    return "encrypted scores" if sealed else "scores"


def _head(pipeline: PipelineView) -> str:
    """Say who trained the head and whose it is."""
    work = pipeline.planned.work
    if work is None:
        trained = _trained_on(pipeline)
        return f"Head: trained on {trained}." if trained else "Head: not recorded whose it is."
    words = [f"trained by {work.head_trained_by}"] if work.head_trained_by else []
    words += [f"owned by {work.head_owner}"] if work.head_owner else []
    return f"Head: {'; '.join(words) or 'not said whose it is'}."


def _trained_on(pipeline: PipelineView) -> object:
    return pipeline.measured.training.get("trained_on") if pipeline.measured else None

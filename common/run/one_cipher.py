"""Set-ups of one cipher: what differs between them is the model, not the protection.

Two pipelines use the same cipher where it has the same number of keys, keeps the same of an image,
in blocks of the same size, under the same key policy, whatever the cipher is called; and where no
attack broke one of them and was resisted by the other. That they reach different accuracies is a
matter of how each model was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.view import PipelineView, RunView

HEURISTIC = "heuristic"
# Parameters that change how images are encrypted and that no other fact of a claim shows.
TELLING = ("clients", "wrong_key")


@dataclass(frozen=True)
class CipherGroup:
    """One cipher of a run with the pipelines that use it, in their order.

    ``ciphers``: what it is called, each name once.
    """

    ciphers: tuple[str, ...]
    pipelines: tuple[PipelineView, ...]

    @property
    def title(self) -> str:
        """Name the cipher for a column or a row."""
        return f"scrambling ({', '.join(self.ciphers)})" if self.ciphers else "scrambling"

    @property
    def words(self) -> str:
        """Say that several set-ups are one cipher; '' where there is one."""
        count = len(self.pipelines)
        if count < 2:
            return ""
        return f"one cipher in {count} set-ups: same moves, same blocks, same key policy"

    def spread(self, metric: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a metric over the set-ups that were measured.

        Each is a training of its own: the spread is what training alone makes. None below two.
        """
        found = [one for pipeline in self.pipelines if (one := pipeline.value(metric)) is not None]
        return (min(found), max(found)) if len(found) > 1 else None


def cipher_groups(view: RunView) -> tuple[CipherGroup, ...]:
    """Return the ciphers of a run, each with its pipelines, in the order of the first of each.

    Pipelines without a cipher (no protection, encryption) and controls are in no group.
    """
    groups: list[list[PipelineView]] = []
    for pipeline in view.pipelines:
        if not _scrambles(pipeline):
            continue
        for group in groups:
            if all(_same_cipher(view, one, pipeline) for one in group):
                group.append(pipeline)
                break
        else:
            groups.append([pipeline])
    return tuple(
        CipherGroup(tuple(dict.fromkeys(map(_cipher, group))), tuple(group)) for group in groups
    )


def group_of(view: RunView, pipeline: PipelineView) -> CipherGroup | None:
    """Return the group a pipeline belongs to; None where it uses no cipher."""
    groups = cipher_groups(view)
    return next((one for one in groups if pipeline.label in _labels(one)), None)


def _labels(group: CipherGroup) -> list[str]:
    return [pipeline.label for pipeline in group.pipelines]


def _scrambles(pipeline: PipelineView) -> bool:
    claims = pipeline.claims
    return (
        claims is not None and claims.claim_type == HEURISTIC and not is_control_pipeline(pipeline)
    )


def _cipher(pipeline: PipelineView) -> str:
    named = str(pipeline.planned.resolved.get("cipher", ""))
    return named or (pipeline.claims.scheme.partition(":")[0] if pipeline.claims else "")


def _same_cipher(view: RunView, one: PipelineView, other: PipelineView) -> bool:
    return _moves(one) == _moves(other) and not _told_apart(view, one, other)


def _moves(pipeline: PipelineView) -> tuple[Any, ...]:
    """Return what tells ciphers apart: how many keys, what is kept, of which blocks, whose key."""
    claims = pipeline.claims
    assert claims is not None
    space = claims.key_space
    bits = None if space is None or space.nominal_bits is None else round(space.nominal_bits, 6)
    named = _cipher(pipeline) if bits is None else ""
    return (
        named,
        bits,
        claims.deterministic,
        claims.key_policy,
        claims.parameters.get("patch"),
        tuple(kept.replace("patch", "block") for kept in claims.preserves),
        tuple(str(claims.parameters.get(name, "")) for name in TELLING),
    )


def _told_apart(view: RunView, one: PipelineView, other: PipelineView) -> bool:
    """Say whether an attack broke one and was resisted by the other: they then differ somehow."""
    first = {found.row: found.verdict for found in outcomes_of(view, one)}
    second = {found.row: found.verdict for found in outcomes_of(view, other)}
    opposed = {"broken", "resists within budget"}
    return any({first[row], second[row]} == opposed for row in first.keys() & second.keys())

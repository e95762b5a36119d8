"""What each adversary got from a protection: for every rung of the ladder the best of its attacks.

With what it took: ciphertexts, known pairs or chosen images, and seconds per key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import SECRECY
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import LADDER, WON, gravity, is_control, only_necessary
from he_compare.common.run.spelling import duration
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Knowledge

# What is in ``spent`` and is not what the adversary had to have.
NOT_NEEDED = ("keys", "descriptor", "trials")
ONE_OF = {"queries": "chosen image", "pairs": "known pair", "labels": "label"}
MANY_OF = {"queries": "chosen images", "pairs": "known pairs"}


@dataclass(frozen=True)
class Gain:
    """The best attack of one adversary, and how many of its attacks ran."""

    rung: Knowledge
    outcome: AttackOutcome
    attacks: int

    @property
    def needed(self) -> str:
        """Say what the attack took per key."""
        words = [
            _counted(name, value)
            for name, value in self.outcome.spent.items()
            if name not in NOT_NEEDED and isinstance(value, int | float)
        ]
        return ", ".join(words) or "nothing but the algorithm"

    @property
    def keys(self) -> int:
        """Return under how many keys it was tried; 0 where that is not recorded."""
        return len(self.outcome.per_key)

    @property
    def time(self) -> str:
        """Return the seconds per key on this machine."""
        return duration(self.outcome.seconds / max(1, self.keys))


def gains_from(view: RunView, pipelines: Sequence[PipelineView]) -> tuple[Gain, ...]:
    """Return what adversaries got from a protection, the one with the least knowledge first.

    Over all pipelines that use it, and over all public images. Of a rung where nothing was won, an
    attack that was resisted; a rung on which nothing ran, or nothing that is evidence, is left out.
    """
    found: dict[Knowledge, dict[str, AttackOutcome]] = {}
    for pipeline in pipelines:
        for one in outcomes_of(view, pipeline):
            ran = one.verdict in (*WON, "resists within budget", "unreliable")
            if not ran or one.aim not in SECRECY or is_control(one) or only_necessary(one):
                continue
            best = found.setdefault(one.rung, {})
            known = best.get(one.attack)
            best[one.attack] = one if known is None else min(known, one, key=gravity)
    return tuple(
        Gain(rung, min(found[rung].values(), key=_best), len(found[rung]))
        for rung in LADDER
        if rung in found
    )


def _best(outcome: AttackOutcome) -> tuple[bool, int, int, float]:
    """Sort what shows a picture before what does not, among equal verdicts and promises."""
    promised, verdict, _, advantage = gravity(outcome)
    return promised, verdict, 0 if outcome.pictures else 1, advantage


def _counted(name: str, value: float) -> str:
    shown = f"{value:,.0f}"
    if value == 1:
        return f"{shown} {ONE_OF.get(name, name.removesuffix('s'))}"
    return f"{shown} {MANY_OF.get(name, name)}"

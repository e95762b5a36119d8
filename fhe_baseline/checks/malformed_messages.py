"""Malformed messages: cut, flipped, foreign, transparent and replayed ciphertexts at the server."""

from __future__ import annotations

from collections import Counter

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Aim, Knowledge
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.hostile_messages import Bombardment, Fate, bombard
from he_compare.fhe_baseline.checks.tools.victim import victim_of

FLIPPED, REPLAYED = "one bit flipped", "replayed"
UNNOTICED = (Fate.ANSWERED_GARBAGE, Fate.ANSWERED_SAME, Fate.ANSWERED_NOTICED)


class MalformedMessages(EncryptionCheck):
    """Sends them to the running server process, and a good one after each kind."""

    name = "malformed_messages"
    title = "Malformed, foreign, transparent and replayed ciphertexts"
    rung = Knowledge.ACTIVE
    aim = Aim.INTEGRITY
    metric = AttackMetric("malformed messages that were not refused cleanly", best=1.0)
    source = "this project: SECURITY.md, the trust boundary"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Send hostile messages to a fresh server process."""
        return judged(bombard(victim_of(inspected), random))


def judged(result: Bombardment) -> CheckFinding:
    """Turn fates into a finding. Flipped bits and replays may pass: nothing is authenticated."""
    strict = {kind: c for kind, c in result.fates.items() if kind not in (FLIPPED, REPLAYED)}
    malformed = sum(sum(counter.values()) for counter in strict.values())
    refused = sum(counter[Fate.REFUSED] for counter in strict.values())
    harm = result.count(Fate.DIED) + result.count(Fate.INTERNAL_ERROR)
    clean = malformed == refused and not harm and result.alive
    flips = result.fates.get(FLIPPED, Counter[Fate]())
    replays = result.fates.get(REPLAYED, Counter[Fate]())
    passed = sum(flips[fate] for fate in UNNOTICED)
    taken = sum(replays[fate] for fate in UNNOTICED)
    alive = "the server lives and answers" if result.alive else "the server is gone"
    ended = result.count(Fate.REPLACED)
    if ended:
        alive += f" ({ended} messages ended its process, which was replaced)"
    return CheckFinding(
        verdict="partial" if clean else "broken",
        headline=f"{refused} of {malformed} malformed messages refused with a reason, {alive}; "
        f"{passed} of {sum(flips.values())} messages with a flipped bit and "
        f"{taken} of {sum(replays.values())} replays are answered: nothing is authenticated",
        value=1 - refused / malformed if malformed else None,
        details=[
            Detail(f"{kind}: {fate.value}", float(number), "messages")
            for kind, counter in result.fates.items()
            for fate, number in counter.items()
        ]
        + [Detail("largest shift of a score by one flipped bit", result.largest_shift)],
        promised=not clean,
        claim="authentication of messages" if clean else "the server refuses what does not parse",
        limits=[
            "single bits and a few kinds of messages, not a fuzzing campaign",
            "a replay is answered with an encryption of the same scores, which the sender cannot "
            "read; it costs the server work and gives it nothing new",
        ],
        spent={"messages": malformed + sum(flips.values()) + sum(replays.values())},
    )


CHECK = MalformedMessages()

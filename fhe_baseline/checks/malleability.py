"""Malleability: scores moved at will on their way back, without a key and without a trace."""

from __future__ import annotations

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.types import Aim, Knowledge, Message, Side
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.hostile_messages import (
    flipped,
    shifted_lwe_reply,
    shifted_reply,
)
from he_compare.fhe_baseline.checks.tools.victim import (
    Victim,
    packing_obstacle,
    victim_of,
)

IMAGES = 8


class Malleability(EncryptionCheck):
    """Whoever carries a reply adds a constant to the scores inside; the client takes it."""

    name = "malleability"
    title = "Malleability of replies"
    rung = Knowledge.ACTIVE
    aim = Aim.INTEGRITY
    metric = AttackMetric("predictions forced to the class the adversary chose", best=1.0)
    source = "homomorphic encryption is malleable by definition; Barak, Goldreich et al."

    def unreadable(self, inspected: Inspected) -> str:
        """Packings whose messages are not single ciphertexts."""
        return packing_obstacle(inspected)

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Turn every prediction into another class; then flip single bits of replies."""
        victim = victim_of(inspected)
        with victim.serve() as server:
            replies = server.call("infer", victim.uploads(IMAGES), Clock(Side.CLIENT))
        before = victim.reveal(replies).argmax(axis=1)
        after = victim.reveal([_moved(victim, reply) for reply in replies]).argmax(axis=1)
        target = victim.model.classes - 1
        forced = float((after == target).mean())
        noticed = _noticed_flips(victim, replies[0], random)
        return CheckFinding(
            verdict="broken" if forced > 0.99 else "resists within budget",
            headline=f"{round(forced * IMAGES)} of {IMAGES} replies were changed to the chosen "
            "class by adding a constant to the encrypted scores, and the client noticed none; it "
            f"noticed {noticed:.0%} of single flipped bits",
            value=forced,
            details=[
                Detail("of that class before", float((before == target).mean())),
                Detail("replies with one flipped bit that the client refuses", noticed),
            ],
            promised=False,
            claim="integrity; the server, or anyone who carries replies, can change them",
            limits=[
                "the transport here is HTTP on loopback with a bearer token and no TLS; between "
                "machines TLS protects replies on the way, and nothing protects them from the "
                "server"
            ],
            spent={"replies": IMAGES},
        )


def _moved(victim: Victim, reply: Message) -> Message:
    """Add to the last class more than honest scores differ by; TFHE: a quarter of the range."""
    if victim.plan is None:
        return shifted_lwe_reply(reply, victim.client._reply_frame)
    reach = float(np.abs(victim.model.scores(victim.inputs)).max())
    shift = [0.0] * (victim.model.classes - 1) + [3.0 * reach]
    return shifted_reply(reply, victim.plan.parameters, shift)


def _noticed_flips(victim: Victim, reply: Message, random: np.random.Generator) -> float:
    noticed = 0
    for _ in range(40):
        try:
            victim.reveal([flipped(reply, len(reply), random)])
        except MessageError:
            noticed += 1
    return noticed / 40


CHECK = Malleability()

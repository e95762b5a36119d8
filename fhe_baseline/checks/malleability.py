"""Malleability: scores moved at will on their way back, without a key and without a trace."""

from __future__ import annotations

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.run.protection import GIVEN_ANOTHER, OF_THAT_CLASS
from he_compare.common.run.records import Verdict
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
    metric = AttackMetric("replies whose class the adversary decided, either way", best=1.0)
    source = "homomorphic encryption is malleable by definition; Barak, Goldreich et al."

    def unreadable(self, inspected: Inspected) -> str:
        """Packings whose messages are not single ciphertexts."""
        return packing_obstacle(inspected)

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Turn every answer into the last class, and out of it; then flip bits of replies.

        An answer that had the class before shows nothing, so a reply counts where both came out as
        the adversary chose.
        """
        victim = victim_of(inspected)
        with victim.serve() as server:
            replies = server.call("infer", victim.uploads(IMAGES), Clock(Side.CLIENT))
        last = victim.model.classes - 1
        before = victim.reveal(replies).argmax(axis=1)
        into, out = (
            victim.reveal([_moved(victim, reply, sign) for reply in replies]).argmax(axis=1)
            for sign in (1, -1)
        )
        decided = (into == last) & (out != last)
        changed = (into != before) | (out != before)
        noticed = _noticed_flips(victim, replies[0], random)
        verdict: Verdict = "partial" if changed.any() else "resists within budget"
        return CheckFinding(
            verdict="broken" if changed.all() else verdict,
            headline=f"{decided.sum()} of {IMAGES} replies were given the class that the adversary "
            "chose, and another one when it chose that, by adding a constant to the encrypted "
            f"scores; the client noticed none. It noticed {noticed:.0%} of single flipped bits",
            value=float(decided.mean()),
            details=[
                Detail(OF_THAT_CLASS, float((before == last).mean())),
                Detail(GIVEN_ANOTHER, float(changed.mean())),
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


def _moved(victim: Victim, reply: Message, sign: int) -> Message:
    """Move the last class's score by more than honest scores differ by, up or down."""
    if victim.plan is None:
        return shifted_lwe_reply(reply, victim.client._reply_frame, sign)
    reach = float(np.abs(victim.model.scores(victim.inputs)).max())
    shift = [0.0] * (victim.model.classes - 1) + [sign * 3.0 * reach]
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

"""Malleability: scores moved at will on their way back, without a key and without a trace."""

from __future__ import annotations

import numpy as np

from common.adversary import Budget, Detail, Finding, Inspected, Metric
from common.clock import Clock
from common.types import Knowledge, Message, Side
from fhe_baseline.adversary.hostile_messages import flipped, shifted_lwe_reply, shifted_reply
from fhe_baseline.adversary.victim import CKKS, TFHE, Victim, pipeline_obstacle, victim_of

IMAGES = 8
ONE_CIPHERTEXT = ("auto", "replicated")


class Malleability:
    """Whoever carries a reply adds a constant to the scores inside; the client takes it."""

    name = "malleability"
    title = "Malleability of replies"
    rung = Knowledge.ACTIVE
    metric = Metric("predictions changed to the other class at will", best=1.0)
    source = "homomorphic encryption is malleable by definition; Barak, Goldreich et al."

    def applies(self, inspected: Inspected) -> str:
        """Pipelines whose reply is one ciphertext of all scores."""
        if getattr(inspected.parameters, "packing", "auto") not in ONE_CIPHERTEXT:
            return "run on packing replicated; the others are as malleable"
        return pipeline_obstacle(inspected, CKKS + TFHE)

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Turn every prediction into another class; then flip single bits of replies."""
        victim = victim_of(inspected)
        with victim.serve() as server:
            replies = server.call("infer", victim.uploads(IMAGES), Clock(Side.CLIENT))
        before = victim.reveal(replies)
        after = victim.reveal([_moved(victim, reply) for reply in replies])
        changed = float((before.argmax(axis=1) != after.argmax(axis=1)).mean())
        noticed = _noticed_flips(victim, replies[0], random)
        return Finding(
            verdict="broken" if changed > 0.25 else "resists within budget",
            headline=f"a constant added to the encrypted scores changes {changed:.0%} of the "
            f"predictions, and the client notices none; of single flipped bits it notices "
            f"{noticed:.0%}",
            value=changed,
            details=[
                Detail("largest shift of a score", float(np.abs(after - before).max())),
                Detail("replies with one flipped bit that the client refuses", noticed),
            ],
            claim="integrity is not claimed: a server or whoever carries replies can change them",
            limits=[
                "the transport here is HTTP on loopback with a bearer token and no TLS; between "
                "machines TLS protects replies on the way, and nothing protects from the server"
            ],
            spent={"replies": IMAGES},
        )


def _moved(victim: Victim, reply: Message) -> Message:
    """Add to the last class what no honest score reaches; TFHE: a quarter of the range."""
    if victim.plan is None:
        return shifted_lwe_reply(reply, victim.client._reply_frame)
    classes = victim.model.classes
    reach = float(np.abs(victim.model.scores(victim.inputs)).max())
    shift = [2.0 * reach] * (classes - 1) + [0.0]
    mirrored = (
        [*shift[:-1], -2.0 * reach]
        if victim.reveal([reply])[0].argmax()
        else [
            *([0.0] * (classes - 1)),
            2.0 * reach,
        ]
    )
    return shifted_reply(reply, victim.plan.parameters, mirrored)


def _noticed_flips(victim: Victim, reply: Message, random: np.random.Generator) -> float:
    from common.errors import MessageError

    noticed = 0
    for _ in range(40):
        try:
            victim.reveal([flipped(reply, len(reply), random)])
        except MessageError:
            noticed += 1
    return noticed / 40


ATTACK = Malleability()

"""Freshness: two encryptions of one image share nothing, and ciphertext bytes do not compress."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.adversary import Budget, Detail, Finding, Inspected, Metric
from common.errors import MessageError
from common.types import Knowledge, Message
from fhe_baseline.adversary.freshness import (
    agreement,
    as_pictures,
    longest_common_run,
    randomness,
    residue_deviation,
)
from fhe_baseline.adversary.victim import CKKS, TFHE, Victim, pipeline_obstacle, victim_of
from fhe_baseline.ckks.context import data_primes, import_tenseal, seal_context
from fhe_baseline.ckks.serialization import load_seal

MOST_AGREEMENT, LONGEST_RUN, LEAST_DEFLATED, MOST_DEVIATION = 0.02, 8, 0.97, 6.0
# Past it no header of SEAL's or Concrete's is left.
HEADER_BYTES = 256
PAIRS = 4


class Freshness:
    """Encrypts the same images again and compares."""

    name = "freshness"
    title = "Freshness and incompressibility of ciphertexts"
    rung = Knowledge.MANY_CIPHERTEXTS
    metric = Metric("equal bytes of two encryptions of one image", best=1.0)
    source = "semantic security: Goldwasser and Micali, JCSS 1984"

    def applies(self, inspected: Inspected) -> str:
        """Every pipeline that encrypts."""
        return pipeline_obstacle(inspected, CKKS + TFHE)

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Compare pairs of encryptions, and look at the bytes as numbers and as a picture."""
        victim = victim_of(inspected)
        pairs = [body_of(victim.uploads(1)[0], victim.uploads(1)[0]) for _ in range(PAIRS)]
        same = max(agreement(one, two) for one, two in pairs)
        run = max(longest_common_run(one, two) for one, two in pairs)
        body = randomness(pairs[0][0])
        deviation = _deviation(victim)
        sound = (
            same < MOST_AGREEMENT
            and run < LONGEST_RUN
            and body.deflated > LEAST_DEFLATED
            and (deviation is None or abs(deviation) < MOST_DEVIATION)
        )
        side = inspected.images.shape[1]
        picture = as_pictures([victim.uploads(1)[0]], (side, side, 3))[0]
        return Finding(
            verdict="resists within budget" if sound else "broken",
            headline=f"of two encryptions of one image {same:.2%} of the bytes agree (1/256 = "
            f"0.39% by chance); zlib leaves {body.deflated:.1%} of a ciphertext, "
            f"{body.entropy:.2f} bits a byte",
            value=same,
            details=[
                Detail("longest run of equal bytes", float(run), "bytes"),
                Detail("size after zlib / before", body.deflated),
                Detail("entropy", body.entropy, "bits a byte"),
                Detail("entropy of as many uniform bytes", body.uniform_entropy, "bits a byte"),
                *(
                    [Detail("unevenness of residues", deviation, "standard deviations")]
                    if deviation is not None
                    else []
                ),
            ],
            limits=[
                "statistics find a broken generator or a deterministic scheme; security rests on "
                "the hardness assumption, not on them"
            ],
            spent={"encryptions": 2 * PAIRS},
            pictures=[("0", "server's view", picture, "an upload's bytes")],
        )


def body_of(first: Message, second: Message) -> tuple[Message, Message]:
    """Return the stretch of two messages past headers, from first to last difference."""
    size = min(len(first), len(second))
    one, two = (np.frombuffer(message[:size], np.uint8) for message in (first, second))
    differ = np.flatnonzero(one != two)
    if not len(differ):
        raise MessageError("two encryptions of one image are equal")
    start = max(int(differ[0]), min(HEADER_BYTES, size // 4))
    return first[start : differ[-1] + 1], second[start : differ[-1] + 1]


def _deviation(victim: Victim) -> float | None:
    """Judge the residues where an upload is one SEAL ciphertext; None elsewhere."""
    if victim.plan is None or victim.plan.packing.name not in ("replicated", "zero-sum"):
        return None
    context = seal_context(victim.plan.parameters)
    empty: Any = import_tenseal().sealapi.Ciphertext()
    ciphertext = load_seal(empty, context, victim.uploads(1)[0], "upload")
    return residue_deviation(ciphertext, data_primes(context)[: ciphertext.coeff_modulus_size()])


ATTACK = Freshness()

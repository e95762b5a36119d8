"""Freshness: two encryptions of one image share nothing, and ciphertext bytes do not compress."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import MessageError
from he_compare.common.scheme import folded
from he_compare.common.types import Aim, IntArray, Knowledge, Message
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.victim import Victim, victim_of
from he_compare.fhe_baseline.ckks.context import data_primes, import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext

LEAST_BYTES = 2048


@dataclass(frozen=True)
class Randomness:
    """How far the bytes of ciphertexts are from uniform ones.

    ``entropy``: bits per byte, of the histogram of all bytes (uniform bytes of this length give a
    little less than 8, ``uniform_entropy``). ``deflated``: size after zlib against before.
    """

    size: int
    entropy: float
    uniform_entropy: float
    deflated: float


def agreement(first: Message, second: Message, skip: int = 0) -> float:
    """Return the share of places, past ``skip`` bytes, at which two messages hold one byte."""
    one, two = (np.frombuffer(message, np.uint8)[skip:] for message in (first, second))
    size = min(len(one), len(two))
    return float((one[:size] == two[:size]).mean()) if size else 1.0


def most_agreement(size: int) -> float:
    """Return the share of ``size`` bytes that may agree: by chance hardly ever more.

    ``MOST_AGREEMENT``, or where that is a few bytes only, what uniform bytes exceed once in 10^9.
    """
    from scipy.stats import binom

    return max(MOST_AGREEMENT, float(binom.isf(CHANCE, size, 1 / 256)) / max(size, 1))


def longest_common_run(first: Message, second: Message, skip: int = 0) -> int:
    """Return the longest run of equal bytes at equal places past ``skip``."""
    size = min(len(first), len(second))
    one, two = (np.frombuffer(message[skip:size], np.uint8) for message in (first, second))
    differ = np.flatnonzero(np.concatenate([[True], one != two, [True]]))
    return int(np.diff(differ).max() - 1)


def randomness(data: bytes) -> Randomness:
    """Judge the bytes of a ciphertext's body. Raises MessageError on fewer than ``LEAST_BYTES``."""
    if len(data) < LEAST_BYTES:
        raise MessageError(f"{len(data)} bytes are too few to judge, {LEAST_BYTES} are needed")
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    return Randomness(
        size=len(data),
        entropy=_entropy(counts),
        # Miller and Madow: the histogram of n uniform bytes loses (256 - 1) / (2 n ln 2) bits.
        uniform_entropy=8 - 255 / (2 * len(data) * np.log(2)),
        deflated=len(zlib.compress(data, 9)) / len(data),
    )


def residue_deviation(ciphertext: Any, primes: Sequence[int]) -> float:
    """Judge how evenly a CKKS ciphertext's residues fill their primes.

    Chi-square over 256 equal bins of residue / prime, all polynomials and primes together, in
    standard deviations from what uniform residues give: within +-4 nothing is to be seen.
    """
    degree, count = ciphertext.poly_modulus_degree(), len(primes)
    values = np.fromiter(
        (ciphertext[i] for i in range(ciphertext.size() * count * degree)), np.float64
    ).reshape(ciphertext.size(), count, degree)
    shares = values / np.array(primes, np.float64)[None, :, None]
    counts = np.histogram(shares, bins=256, range=(0.0, 1.0))[0]
    expected = values.size / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - 255) / float(np.sqrt(2 * 255))


def _entropy(counts: IntArray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


MOST_AGREEMENT, LONGEST_RUN, LEAST_DEFLATED, MOST_DEVIATION = 0.02, 8, 0.97, 6.0
CHANCE = 1e-9
# Past it no header of SEAL's or Concrete's is left.
HEADER_BYTES = 256
PAIRS, MOST_PAIRS = 4, 64


class Freshness(EncryptionCheck):
    """Encrypts the same images again and compares."""

    name = "freshness"
    title = "Freshness and incompressibility of ciphertexts"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.LINKS
    metric = AttackMetric("equal bytes of two encryptions of one image", best=1.0)
    source = "semantic security: Goldwasser and Micali, JCSS 1984"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Compare pairs of encryptions, and look at the bytes as numbers and as a picture."""
        victim = victim_of(inspected)
        pairs = _pairs(victim)
        # Ciphertexts of few features are short: all of them together are judged as well.
        together = [b"".join(messages) for messages in zip(*pairs, strict=True)]
        judged = [*pairs, (together[0], together[1])]
        same = max(agreement(one, two) for one, two in judged)
        fresh = all(agreement(one, two) <= most_agreement(len(one)) for one, two in judged)
        run = max(longest_common_run(one, two) for one, two in pairs)
        body = randomness(b"".join(together))
        deviation = _deviation(victim)
        sound = (
            fresh
            and run < LONGEST_RUN
            and body.deflated > LEAST_DEFLATED
            and (deviation is None or abs(deviation) < MOST_DEVIATION)
        )
        side = inspected.images.shape[1]
        picture = folded([victim.uploads(1)[0]], (side, side, 3))[0]
        return CheckFinding(
            verdict="resists within budget" if sound else "broken",
            headline=f"of two encryptions of one image {same:.2%} of the bytes agree (1/256 = "
            f"0.39% by chance); zlib leaves {body.deflated:.1%} of a ciphertext, "
            f"{body.entropy:.2f} bits per byte",
            value=same,
            details=[
                Detail("longest run of equal bytes", float(run), "bytes"),
                Detail("size after zlib / before", body.deflated),
                Detail("entropy", body.entropy, "bits per byte"),
                Detail("entropy of as many uniform bytes", body.uniform_entropy, "bits per byte"),
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
            spent={"encryptions": 2 * len(pairs)},
            pictures=[("0", "server's view", picture, "an upload's bytes")],
        )


def _pairs(victim: Victim) -> list[tuple[Message, Message]]:
    """Encrypt one image twice, again and again: until all bodies together can be judged."""
    pairs: list[tuple[Message, Message]] = []
    while len(pairs) < PAIRS or (
        len(pairs) < MOST_PAIRS and sum(len(one) + len(two) for one, two in pairs) < LEAST_BYTES
    ):
        pairs.append(body_of(victim.uploads(1)[0], victim.uploads(1)[0]))
    return pairs


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
    if victim.plan is None:
        return None
    context = seal_context(victim.plan.parameters)
    empty: Any = import_tenseal().sealapi.Ciphertext()
    try:
        ciphertext = load_ciphertext(empty, context, victim.uploads(1)[0], "upload")
    except MessageError:
        return None
    return residue_deviation(ciphertext, data_primes(context)[: ciphertext.coeff_modulus_size()])


CHECK = Freshness()

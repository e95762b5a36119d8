"""What an encryption rests on, in words: the problem, the kind of key, limits, estimated bits.

One wording for the report and for `compare audit parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from he_compare.common.run.records import LatticeFacts
from he_compare.common.run.security_tables import (
    GUIDELINES_2024,
    TABLE_SECRET,
    TABLE_SIGMA,
    largest_log2_q,
)
from he_compare.common.run.spelling import significant

# From here on a width of errors is told as a power of two: TFHE counts in units of 2^-64.
WIDE_ERRORS = 1000.0
UNKNOWN_TOOL = "a program that was not recorded"
OWN_TOOL = (
    "this project’s own code, not by a third party; it agrees with the public lattice-estimator "
    "within 0.01 bits at the 25 points of ternary secrets that its tests hold"
)
OTHER_ATTACKS = (
    "The estimate is of one attack, primal uSVP. Dual and hybrid attacks are not estimated: for "
    "uniform ternary secrets they are known to cost about 1 bit less from N = 4,096 on and about 3 "
    "bits less at N = 1,024; for the binary secrets of LWE and TFHE the gap is not known here."
)
SMALLEST_OF_GAP = 4096
MODELS = (
    "Bits of two cost models cannot be compared, because the models count different things: "
    "core-SVP and Chailloux-Loyer count one call of a sieve, MATZOV the gates of the whole attack."
)


def kind_of_key(facts: LatticeFacts) -> str:
    """Name the scheme, the task, and what is published under the key."""
    scheme = facts.scheme
    usual = "ciphertexts and evaluation keys" if scheme == "CKKS" else "ciphertexts"
    what = "encrypted inputs" if facts.use == "inputs" else facts.use or usual
    return f"{scheme}, {facts.task}: {what}" if facts.task else f"{scheme}: {what}"


def problem_of(facts: LatticeFacts) -> str:
    """Describe the instance of RLWE or LWE: dimension, modulus, secret, width of the errors."""
    ring = facts.scheme == "CKKS"
    named = "RLWE in a ring of degree" if ring else "LWE in dimension"
    return (
        f"{named} {facts.dimension:,}, modulus of {facts.log2_q:g} bits, {_secret(facts)}, errors "
        f"of width {_width(facts)}"
    )


def _secret(facts: LatticeFacts) -> str:
    return f"{facts.secret_distribution} secret".replace("uniform ternary", "ternary").replace(
        "uniform binary", "binary"
    )


def _width(facts: LatticeFacts) -> str:
    sigma = 2.0**facts.log2_sigma if abs(facts.log2_sigma) < WIDE_ERRORS else math.inf
    return significant(sigma, 2) if sigma < WIDE_ERRORS else f"2^{facts.log2_sigma:.1f}"


def distance_to_limit(facts: LatticeFacts) -> str:
    """Say how far the modulus is from the limit of the table of 2024 at 128 bits."""
    if facts.secret_distribution != TABLE_SECRET:
        kind = facts.secret_distribution.removeprefix("uniform ") or "such"
        return f"no table: {kind} secret, only this estimate"
    limit = largest_log2_q(GUIDELINES_2024, facts.dimension, facts.secret_distribution)
    if limit is None:
        return "ring not in the table"
    apart = limit - facts.log2_q
    if apart == 0:
        return f"limit {limit:,} bits: exactly at the limit"
    side = "below" if apart > 0 else "above: not 128 bits"
    return f"limit {limit:,} bits: {abs(apart):g} bit{'s' * (abs(apart) != 1)} {side}"


def estimates_of(facts: LatticeFacts) -> list[tuple[str, float]]:
    """Return cost models and bits, the lowest first."""
    return sorted(facts.bits.items(), key=lambda one: one[1])


def estimate_words(facts: LatticeFacts) -> list[str]:
    """Spell the estimates one by one, the lowest first."""
    if not facts.bits:
        return ["out of reach of the attack" if facts.attack else "not estimated"]
    at_most = "at most " if facts.bits_are_at_most else ""
    return [f"{at_most}{bits:.1f} {model}" for model, bits in estimates_of(facts)]


def with_dual_attacks(lattice: Sequence[LatticeFacts]) -> str:
    """Say what the smallest classical estimate of large ternary rings is less the known gap."""
    known = [
        bits
        for one in lattice
        if one.secret_distribution == TABLE_SECRET and one.dimension >= SMALLEST_OF_GAP
        for model, bits in one.bits.items()
        if model.startswith("MATZOV")
    ]
    if not known:
        return ""
    return (
        f" The lowest MATZOV estimate of such a ring here, {min(known):.1f}, is then about "
        f"{min(known) - 1:.1f}."
    )


def lowest_bits(facts: LatticeFacts) -> float:
    """Return the lowest estimate; infinite where there is none."""
    return min(facts.bits.values(), default=math.inf)


def estimated_by(lattice: Sequence[LatticeFacts]) -> str:
    """Name the program that estimated, and what it was compared with."""
    tools = dict.fromkeys(one.estimated_by or UNKNOWN_TOOL for one in lattice if one.bits)
    named = " and ".join(OWN_TOOL if tool == "he-compare" else tool for tool in tools)
    return f"Estimated by {named}." if named else "No estimate was recorded."


TABLES_ASSUME = (
    f"The limit is that of the Security Guidelines of 2024 (ePrint 2024/463) for 128 bits; it "
    f"assumes a uniform ternary secret, classical attacks and errors of width {TABLE_SIGMA}. It "
    "covers no binary secret."
)

"""CKKS parameter sets by name, and what two published security tables say about each.

Microsoft SEAL enforces the table of 2018 at 128 bits. The modulus that counts is the largest an
evaluation key is published under, the key-switching prime included.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.run.security_tables import LEVELS, STANDARD_2018, TABLES
from he_compare.common.service.parsing import strict_json

ENFORCED_BY = (
    "Microsoft SEAL refuses less than 128 bits of the 2018 standard when the context is made; "
    "he-compare checks the same table before, and only reports the 2024 guidelines"
)

# SEAL takes primes of at most 60 bits; below 20 a prime congruent 1 mod 2N leaves no precision.
MIN_PRIME_BITS, MAX_PRIME_BITS = 20, 60


@dataclass(frozen=True)
class CkksParameters:
    """A ring, a chain of primes and a scale.

    ``modulus_bits``: sizes of the primes, the last one left first, the key-switching prime last.
    ``scale_bits``: log2 of the scale at which features are encoded.
    Raises UsageError where SEAL has no such parameters, whatever their security.
    """

    degree: int
    modulus_bits: tuple[int, ...]
    scale_bits: int

    def __post_init__(self) -> None:
        if self.degree not in TABLES[STANDARD_2018]:
            raise UsageError(
                f"ring degree {self.degree} is not one SEAL has security bounds for",
                fix=f"use one of {', '.join(map(str, TABLES[STANDARD_2018]))}",
            )
        if len(self.modulus_bits) < 2:
            raise UsageError(
                f"modulus sizes {list(self.modulus_bits)} leave no prime to compute with",
                fix="give at least one prime and the key-switching prime",
            )
        for bits in self.modulus_bits:
            if not MIN_PRIME_BITS <= bits <= MAX_PRIME_BITS:
                raise UsageError(
                    f"a prime of {bits} bits is out of range",
                    fix=f"use {MIN_PRIME_BITS} to {MAX_PRIME_BITS} bits",
                )
        if not 1 <= self.scale_bits < self.modulus_bits[0]:
            raise UsageError(
                f"scale 2^{self.scale_bits} does not fit under a last prime of "
                f"{self.modulus_bits[0]} bits",
                fix="lower the scale or enlarge the first prime",
            )

    @property
    def slot_count(self) -> int:
        """Complex numbers one ciphertext holds."""
        return self.degree // 2

    @property
    def total_bits(self) -> int:
        """log2 Q, key-switching prime included: what security is judged by."""
        return sum(self.modulus_bits)

    @property
    def depth(self) -> int:
        """Multiplications with rescaling that fresh ciphertexts allow."""
        return len(self.modulus_bits) - 2

    def to_json(self) -> str:
        """Return the parameters as JSON."""
        return json.dumps(
            {
                "degree": self.degree,
                "modulus_bits": list(self.modulus_bits),
                "scale_bits": self.scale_bits,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> CkksParameters:
        """Parse what ``to_json`` wrote; MessageError, ValueError or UsageError on anything else."""
        fields = strict_json(text, "the text of CKKS parameters")
        if not isinstance(fields, dict) or set(fields) != {"degree", "modulus_bits", "scale_bits"}:
            raise ValueError("not CKKS parameters")
        bits = fields["modulus_bits"]
        numbers = [
            fields["degree"],
            fields["scale_bits"],
            *(bits if type(bits) is list else [None]),
        ]
        if not all(type(number) is int for number in numbers) or len(numbers) > 32:
            raise ValueError("CKKS parameters must be whole numbers")
        return cls(fields["degree"], tuple(bits), fields["scale_bits"])


# n4096-106 stays within both tables. Its small middle prime leaves 42 bits to the key-switching
# prime, so that rotations cost no more precision than their rounding (see packings/replicated.py).
# Where nothing is rotated no rotation key is published: n4096-106-wide computes under one prime of
# 60 bits (packings/batched.py), n4096-106-flat under two, 86 bits (packings/zero_sum.py), whose
# public key lives under all 106. The verdicts count every prime.
PARAMETER_SETS: dict[str, CkksParameters] = {
    "n4096": CkksParameters(4096, (36, 36, 37), 30),
    "n4096-106": CkksParameters(4096, (36, 28, 42), 27),
    "n4096-106-wide": CkksParameters(4096, (60, 46), 30),
    "n4096-106-flat": CkksParameters(4096, (43, 43, 20), 26),
    "n8192": CkksParameters(8192, (60, 40, 40, 60), 40),
    "n8192-160": CkksParameters(8192, (60, 40, 60), 40),
    "n8192-144": CkksParameters(8192, (48, 36, 60), 36),
}

# For training, by ring and log2 Q, in the order in which they are preferred. A step from zero
# weights takes one level, every later one four with a sigmoid of degree 3, five with degree 5 or 7;
# the last prime left holds the weights. From one upload and with degree 3 that is one or two steps
# at N = 8192, two, three or four at N = 16384, six or seven at N = 32768. Small primes make small
# keys: 25 bits leave weights exact to some 4e-4, 33 bits to 2e-5. The key-switching prime is larger
# than the last one left, or its error would be multiplied. n16384-297 has 192 bits of security by
# both tables, and errors near 1e-3.
TRAINING_SETS: dict[str, CkksParameters] = {
    "n8192-214": CkksParameters(8192, (44, 30, 30, 30, 30, 50), 30),
    "n8192-214-deep": CkksParameters(8192, (39, 27, 27, 27, 27, 27, 40), 27),
    "n16384-295": CkksParameters(16384, (50, 38, 38, 38, 38, 38, 55), 38),
    "n16384-309": CkksParameters(16384, (37, *[25] * 9, 47), 25),
    "n16384-297": CkksParameters(16384, (36, *[24] * 9, 45), 24),
    "n16384-402": CkksParameters(16384, (50, *[33] * 9, 55), 33),
    "n16384-430": CkksParameters(16384, (37, *[27] * 13, 42), 27),
    "n32768-724": CkksParameters(32768, (42, *[30] * 21, 52), 30),
    "n32768-844": CkksParameters(32768, (42, *[30] * 25, 52), 30),
    "n1024-insecure": CkksParameters(1024, (44, 30, 30, 30, 30, 50), 30),
}


def training_set(name: str) -> CkksParameters:
    """Return training parameters by name. Raises UnknownNameError with the nearest names."""
    try:
        return TRAINING_SETS[name]
    except KeyError:
        raise UnknownNameError(
            f"unknown training parameter set {name!r}", fix=nearest(name, list(TRAINING_SETS))
        ) from None


def parameter_set(name: str) -> CkksParameters:
    """Return the parameter set of that name. Raises UnknownNameError with the nearest names."""
    try:
        return PARAMETER_SETS[name]
    except KeyError:
        raise UnknownNameError(
            f"unknown CKKS parameter set {name!r}", fix=nearest(name, list(PARAMETER_SETS))
        ) from None


def name_of(parameters: CkksParameters) -> str:
    """Return the name these parameters have among the sets, '' if none."""
    known = PARAMETER_SETS | TRAINING_SETS
    return next((name for name, one in known.items() if one == parameters), "")


@dataclass(frozen=True)
class Verdict:
    """What one table says: the highest of its levels the parameters meet, None if below 128."""

    table: str
    level: int | None
    largest_bits_at_128: int | None

    def __str__(self) -> str:
        if self.largest_bits_at_128 is None:
            return "ring not listed"
        return f"{self.level} bits" if self.level else "below 128 bits"


def verdict(parameters: CkksParameters) -> dict[str, Verdict]:
    """Judge parameters by both tables."""
    verdicts = {}
    for table, bounds in TABLES.items():
        listed = bounds.get(parameters.degree, (None, None, None))
        met = [
            level
            for level, bound in zip(LEVELS, listed, strict=True)
            if bound is not None and parameters.total_bits <= bound
        ]
        verdicts[table] = Verdict(table, max(met, default=None), listed[0])
    return verdicts


def require_128_bits(parameters: CkksParameters) -> None:
    """Refuse parameters below 128 bits of the 2018 standard, as SEAL would. Raises UsageError."""
    judged = verdict(parameters)[STANDARD_2018]
    if judged.level is None:
        raise UsageError(
            f"N = {parameters.degree} with log2 Q = {parameters.total_bits} is below 128 bits of "
            f"security: the {STANDARD_2018} allows {judged.largest_bits_at_128} bits",
            fix="enlarge the ring or shorten the modulus, for instance "
            f"{_smallest_ring_for(parameters.total_bits)}",
        )


def _smallest_ring_for(total_bits: int) -> str:
    for degree, (bound, _, _) in TABLES[STANDARD_2018].items():
        if bound is not None and total_bits <= bound:
            return f"N = {degree}"
    return "fewer primes"

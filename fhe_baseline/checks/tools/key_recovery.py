"""The secret key from decrypted results: the IND-CPA-D attack on CKKS, by linear algebra.

A CKKS ciphertext decrypts to m = c0 + c1 s mod q, noise included, and what a client publishes is m
divided by the scale. Encoded again at the ciphertext's scale and level it gives m back, digit for
digit, and s = (m - c0) / c1 at every value of the transform. A real decode publishes half of m, its
sum with its conjugate t = m + m', where value i of m' is value N - 1 - i of m: two ciphertexts give
a system of two equations for the pair s_i, s_(N-1-i). One prime of the level is enough, since the
secret's coefficients are -1, 0 or 1; that they are is the adversary's own proof of success.

Source: Li and Micciancio, "On the Security of Homomorphic Encryption on Approximate Numbers",
EUROCRYPT 2021. The pairs of real decodes and the system are worked out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.types import Complex128Array, Float64Array
from he_compare.fhe_baseline.ckks.context import import_tenseal
from he_compare.fhe_baseline.ckks.modular import (
    Int64Array,
    UInt64Array,
    coefficients,
    inverse,
    multiply,
    subtract,
)

NEEDED_REAL = 2


@dataclass(frozen=True)
class RealDecode:
    """A ciphertext (SEAL's) and the real parts of all N / 2 slots that somebody published."""

    ciphertext: Any
    values: Float64Array


@dataclass(frozen=True)
class _Residues:
    """One ciphertext modulo one prime: c0 and c1, uint64 (N,), as SEAL transformed them."""

    first: UInt64Array
    second: UInt64Array


def key_from_complex(context: Any, ciphertext: Any, slots: Complex128Array) -> Int64Array | None:
    """Return the secret key, int64 (N,), from all slots of one decrypted ciphertext.

    None where what comes out is no ternary key: the published values are not exact enough.
    """
    prime = _prime(context, ciphertext)
    body = _residues(ciphertext)
    message = _encoded(context, ciphertext, slots.tolist())
    secret = multiply(subtract(message, body.first, prime), inverse(body.second, prime), prime)
    return _ternary(coefficients(secret, prime))


def key_from_real(context: Any, decodes: Sequence[RealDecode]) -> Int64Array | None:
    """Return the secret key, int64 (N,), from the real decodes of two ciphertexts of one level.

    None where what comes out is no ternary key. Raises ValueError on other than two decodes.
    """
    if len(decodes) != NEEDED_REAL:
        raise ValueError(f"{len(decodes)} real decodes, the system takes {NEEDED_REAL}")
    prime = _prime(context, decodes[0].ciphertext)
    bodies = [_residues(decode.ciphertext) for decode in decodes]
    sums = []
    for decode, body in zip(decodes, bodies, strict=True):
        doubled = _encoded(context, decode.ciphertext, (2 * decode.values).tolist())
        known = subtract(doubled, body.first, prime)
        sums.append(subtract(known, body.first[::-1], prime))
    (a, b), (t, u) = [body.second for body in bodies], sums
    determinant = subtract(multiply(a, b[::-1], prime), multiply(a[::-1], b, prime), prime)
    numerator = subtract(multiply(t, b[::-1], prime), multiply(a[::-1], u, prime), prime)
    return _ternary(coefficients(multiply(numerator, inverse(determinant, prime), prime), prime))


def secret_coefficients(secret_key: Any, context: Any) -> Int64Array:
    """Return the coefficients of a SEAL secret key, int64 (N,): the truth, for scoring alone."""
    parameters = context.first_context_data().parms()
    degree = parameters.poly_modulus_degree()
    plaintext = secret_key.data()
    values = np.fromiter((plaintext[i] for i in range(degree)), np.uint64, degree)
    return coefficients(values, int(parameters.coeff_modulus()[0].value()))


def recovered_share(found: Int64Array | None, truth: Int64Array) -> float:
    """Return the share of the key's coefficients that were found; 0 where the attack gave up."""
    return 0.0 if found is None else float((found == truth).mean())


def _prime(context: Any, ciphertext: Any) -> int:
    """Return the first prime of the ciphertext's level."""
    level = context.get_context_data(ciphertext.parms_id())
    return int(level.parms().coeff_modulus()[0].value())


def _residues(ciphertext: Any) -> _Residues:
    """Read both polynomials modulo the first prime out of SEAL's ciphertext."""
    degree = ciphertext.poly_modulus_degree()
    stride = degree * ciphertext.coeff_modulus_size()
    first, second = (
        np.fromiter((ciphertext[start + i] for i in range(degree)), np.uint64, degree)
        for start in (0, stride)
    )
    return _Residues(first, second)


def _encoded(context: Any, ciphertext: Any, slots: list[Any]) -> UInt64Array:
    """Encode slots at the scale and level of a ciphertext; values modulo the first prime."""
    seal = import_tenseal().sealapi
    plaintext = seal.Plaintext()
    encoder = seal.CKKSEncoder(context)
    encoder.encode(slots, ciphertext.parms_id(), ciphertext.scale, plaintext)
    degree = ciphertext.poly_modulus_degree()
    return np.fromiter((plaintext[i] for i in range(degree)), np.uint64, degree)


def _ternary(found: Int64Array) -> Int64Array | None:
    return found if np.abs(found).max() <= 1 else None

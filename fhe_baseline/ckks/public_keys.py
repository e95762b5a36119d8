"""Public keys of which a client cannot choose the uniform half.

A public key is (b, a) with b = -(a s + e). A server that hides what it returns under an encryption
of zero, (b v + e0, a v + e1), relies on a: under a = 0, or an a that is a ratio of short
polynomials, which nobody can tell from a uniform one, the second half hides nothing from the key's
maker. SEAL takes any a. Here a client sends a seed and b, and the server expands a from the seed by
SHAKE-256: a client may try seeds, but not choose a.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.types import Float64Array
from he_compare.fhe_baseline.ckks.exact_plaintexts import public_key_of, residues_of
from he_compare.fhe_baseline.ckks.modular import (
    UInt64Array,
    add,
    multiply,
    residues,
    subtract,
    transformed,
    uniform,
)

SEED_BYTES = 32
# As SEAL draws errors: a centred binomial over 2 x 21 bits.
ERROR_BITS = 21


def make_public_key(context: Any, secret_key: Any) -> bytes:
    """Return a fresh public key for a secret key of SEAL: the seed of a, then b."""
    primes, degree = key_primes(context), _degree(context)
    seed, error = os.urandom(SEED_BYTES), binomial_errors(degree)
    halves = []
    for secret, drawn, prime in zip(
        residues_of(secret_key.data(), len(primes)),
        uniform_half(seed, primes, degree),
        primes,
        strict=True,
    ):
        noisy = add(
            multiply(drawn, secret, prime), transformed(residues(error, prime), prime), prime
        )
        halves.append(subtract(np.zeros(degree, np.uint64), noisy, prime))
    return seed + np.concatenate(halves).astype("<u8").tobytes()


def load_public_key(context: Any, data: bytes) -> Any:
    """Return SEAL's public key from bytes of unknown origin. Raises MessageError."""
    primes, degree = key_primes(context), _degree(context)
    expected = SEED_BYTES + 8 * len(primes) * degree
    if len(data) != expected:
        raise MessageError(f"public key of {len(data)} bytes, expected {expected}")
    half = np.frombuffer(data[SEED_BYTES:], "<u8").reshape(len(primes), degree)
    return public_key_of(context, [*half, *uniform_half(data[:SEED_BYTES], primes, degree)])


def key_primes(context: Any) -> list[int]:
    """Return the primes that keys live under, the one that ciphertexts do not have last."""
    return [modulus.value() for modulus in context.key_context_data().parms().coeff_modulus()]


def uniform_half(seed: bytes, primes: list[int], degree: int) -> list[UInt64Array]:
    """Expand a seed to a uniform polynomial, transformed: uint64 (degree,) for each prime."""
    return [
        uniform(degree, prime, _stream(seed + bytes([place]))) for place, prime in enumerate(primes)
    ]


def binomial_errors(degree: int) -> Float64Array:
    """Return fresh errors, whole numbers from -ERROR_BITS to ERROR_BITS: float64 (degree,)."""
    count = 2 * ERROR_BITS * degree
    bits = np.unpackbits(np.frombuffer(os.urandom(-(-count // 8)), np.uint8))[:count]
    ones = bits.reshape(degree, 2, ERROR_BITS).sum(axis=2, dtype=np.float64)
    errors: Float64Array = ones[:, 0] - ones[:, 1]
    return errors


def _stream(seed: bytes) -> Callable[[int], bytes]:
    """Return a source of bytes that a seed determines; each call gives others."""
    calls = 0

    def draw(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(seed + calls.to_bytes(4, "little")).digest(count)

    return draw


def _degree(context: Any) -> int:
    return int(context.key_context_data().parms().poly_modulus_degree())

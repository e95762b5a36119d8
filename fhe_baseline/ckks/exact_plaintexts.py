"""Plaintexts of exact whole numbers: into SEAL's form and out of it, with no double in between.

Public keys of known residues likewise.

SEAL's CKKS encoder takes doubles, whose last bits are missing where numbers are large. A CKKS
plaintext is one polynomial modulo the primes of a level, each transformed; here it is written and
read residue by residue. ``tenseal.sealapi`` sets no coefficients: the plaintext is built in SEAL's
own format (seal/serialization.h and plaintext.cpp of SEAL 4) and checked by SEAL as it is loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from he_compare.fhe_baseline.ckks.context import data_primes, import_tenseal, level_with
from he_compare.fhe_baseline.ckks.modular import UInt64Array, monomial, multiply, total
from he_compare.fhe_baseline.ckks.seal_headers import framed
from he_compare.fhe_baseline.ckks.seal_objects import check_residues, ring_form
from he_compare.fhe_baseline.ckks.serialization import load_own


def primes_of(context: Any, primes: int) -> list[int]:
    """Return the primes of the level at which ``primes`` of them are left."""
    return data_primes(context)[:primes]


def plaintext_of(context: Any, residues: Sequence[UInt64Array], scale: float) -> Any:
    """Return SEAL's plaintext of a transformed polynomial, one uint64 (N,) a prime of its level."""
    values = np.concatenate(residues).astype("<u8")
    level = level_with(context, len(residues))
    array = framed(struct.pack("<Q", len(values)) + values.tobytes())
    members = struct.pack("<4QQd", *level, len(values), scale) + array
    return load_own(import_tenseal().sealapi.Plaintext(), context, framed(members), "plaintext")


def public_key_of(context: Any, residues: Sequence[UInt64Array]) -> Any:
    """Return SEAL's public key (b, a): each transformed, one uint64 (N,) a prime of keys.

    Raises MessageError where a residue is not below its prime.
    """
    values = np.concatenate(residues).astype("<u8")
    primes = ring_form(context).key_primes
    check_residues(values.reshape(2, len(primes), -1), primes, "public key")
    array = framed(struct.pack("<Q", len(values)) + values.tobytes())
    # Transformed; two polynomials; degree; primes; scale; a factor that CKKS leaves at 1.
    shape = (True, 2, len(residues[0]), len(residues) // 2, 1.0, 1)
    members = struct.pack("<4Q?3QdQ", *context.key_parms_id(), *shape) + array
    return load_own(import_tenseal().sealapi.PublicKey(), context, framed(members), "public key")


def residues_of(plaintext: Any, primes: int) -> list[UInt64Array]:
    """Return the transformed polynomial of a plaintext, one uint64 (N,) a prime of its level."""
    count = plaintext.coeff_count()
    values = np.fromiter((plaintext[place] for place in range(count)), np.uint64, count)
    return list(values.reshape(primes, -1))


def coefficient(residues: Sequence[UInt64Array], place: int, primes: Sequence[int]) -> int:
    """Return the coefficient of X^place, between -q / 2 and q / 2, q the product of the primes."""
    found, modulus = 0, 1
    for values, prime in zip(residues, primes, strict=True):
        remainder = coefficient_modulo(values, place, prime)
        found += modulus * ((remainder - found) * pow(modulus, -1, prime) % prime)
        modulus *= prime
    return found - modulus if found > modulus // 2 else found


def coefficient_modulo(values: UInt64Array, place: int, prime: int) -> int:
    """Return the coefficient of X^place of a transformed polynomial (N,), modulo its prime."""
    degree = len(values)
    turned = multiply(values, monomial(-place, degree, prime), prime)
    return total(turned, prime) * pow(degree, -1, prime) % prime

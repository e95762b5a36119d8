"""Arithmetic modulo one of SEAL's primes on whole arrays, and its transform there and back.

numpy has no 128-bit product: the quotient is estimated in floating point and the remainder taken in
wrapping 64-bit arithmetic, where it is exact. The transform is the negacyclic one of Longa and
Naehrig (CANS 2016) as SEAL orders it: value i is the polynomial at psi^(2 r(i) + 1), r reversing
the bits of i and psi being the smallest primitive 2N-th root of unity.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from he_compare.common.types import Float64Array

UInt64Array: TypeAlias = npt.NDArray[np.uint64]
Int64Array: TypeAlias = npt.NDArray[np.int64]

# Up to here the estimate of the quotient of two residues is off by less than one.
ONE_STEP_BITS = 50
HALF_BITS = 31
# Doubles below this are exact as 64-bit whole numbers; their mantissas have so many bits.
WHOLE, MANTISSA_BITS = 2.0**62, 53
MASK = np.uint64((1 << HALF_BITS) - 1)


def multiply(first: UInt64Array, second: UInt64Array, prime: int) -> UInt64Array:
    """Return first * second mod prime, residues of a prime below 2^61."""
    if prime.bit_length() <= ONE_STEP_BITS:
        return _product(first, second, prime)
    high, low = second >> np.uint64(HALF_BITS), second & MASK
    shift = np.full(1, 1 << HALF_BITS, np.uint64)
    return add(
        _product(_product(first, high, prime), shift, prime), _product(first, low, prime), prime
    )


def _product(first: UInt64Array, second: UInt64Array, prime: int) -> UInt64Array:
    """Multiply where the quotient has at most ``ONE_STEP_BITS`` bits."""
    quotient = (first.astype(np.float64) * second.astype(np.float64) / prime).astype(np.uint64)
    remainder = (first * second - quotient * np.uint64(prime)).view(np.int64)
    return cast(UInt64Array, np.mod(remainder, prime).astype(np.uint64))


def add(first: UInt64Array, second: UInt64Array, prime: int) -> UInt64Array:
    """Return first + second mod prime."""
    return cast(UInt64Array, (first + second) % np.uint64(prime))


def subtract(first: UInt64Array, second: UInt64Array, prime: int) -> UInt64Array:
    """Return first - second mod prime."""
    return cast(UInt64Array, (first + (np.uint64(prime) - second)) % np.uint64(prime))


def inverse(values: UInt64Array, prime: int) -> UInt64Array:
    """Return values^(prime - 2) mod prime: the inverse of each value but zero (Fermat)."""
    result = np.ones_like(values)
    power, exponent = values, prime - 2
    while exponent:
        if exponent & 1:
            result = multiply(result, power, prime)
        power = multiply(power, power, prime)
        exponent >>= 1
    return result


def residues(numbers: Float64Array, prime: int) -> UInt64Array:
    """Return whole numbers, held by doubles of any size and sign, modulo a prime below 2^61."""
    large = np.abs(numbers) >= WHOLE
    found = np.mod(np.where(large, 0.0, numbers).astype(np.int64), prime).view(np.uint64)
    if large.any():
        # No division by a double: it holds a prime of more than 53 bits with an error.
        mantissas, exponents = np.frexp(numbers[large])
        whole = np.ldexp(mantissas, MANTISSA_BITS).astype(np.int64)
        shifts = [pow(2, int(exponent) - MANTISSA_BITS, prime) for exponent in exponents]
        shifted = multiply(np.mod(whole, prime).view(np.uint64), np.array(shifts, np.uint64), prime)
        found[large] = shifted
    return found


def uniform(count: int, prime: int, draw: Callable[[int], bytes] = os.urandom) -> UInt64Array:
    """Return residues (count,), each exactly uniform where ``draw``'s bytes are: by rejection."""
    low_bits = np.uint64((1 << prime.bit_length()) - 1)
    drawn = np.zeros(0, np.uint64)
    while len(drawn) < count:
        words = np.frombuffer(draw(8 * count), dtype="<u8") & low_bits
        drawn = np.concatenate([drawn, words[words < prime]])
    return drawn[:count].astype(np.uint64)


def total(values: UInt64Array, prime: int) -> int:
    """Return the sum of residues (n,) modulo their prime, n below 2^32."""
    half = np.uint64(32)
    high, low = int((values >> half).sum()), int((values & np.uint64(2**32 - 1)).sum())
    return ((high << 32) + low) % prime


def monomial(exponent: int, degree: int, prime: int) -> UInt64Array:
    """Return what SEAL's transform makes of X^exponent, any exponent modulo 2N: uint64 (N,)."""
    odd = 2 * bit_reversal(degree) + 1
    powers = _powers(_smallest_root(degree, prime), 2 * degree, prime)
    return cast(UInt64Array, powers[odd * exponent % (2 * degree)])


def transformed(polynomial: UInt64Array, prime: int) -> UInt64Array:
    """Return what SEAL's transform makes of coefficients (N,), residues of the prime."""
    degree = len(polynomial)
    roots = _powers(_smallest_root(degree, prime), degree, prime)[bit_reversal(degree)]
    result, groups, stretch = polynomial.copy(), 1, degree // 2
    while stretch:
        pairs = result.reshape(groups, 2, stretch)
        one = pairs[:, 0].copy()
        other = multiply(pairs[:, 1], roots[groups : 2 * groups, None], prime)
        pairs[:, 0], pairs[:, 1] = add(one, other, prime), subtract(one, other, prime)
        groups, stretch = groups * 2, stretch // 2
    return result


def coefficients(values: UInt64Array, prime: int) -> Int64Array:
    """Return the coefficients, from -prime / 2 to prime / 2, of what SEAL transformed to (N,)."""
    degree = len(values)
    roots = _inverse_roots(degree, prime)
    result, half, stretch = values.copy(), degree // 2, 1
    while half:
        pairs = result.reshape(half, 2, stretch)
        one, other = pairs[:, 0].copy(), pairs[:, 1].copy()
        pairs[:, 0] = add(one, other, prime)
        pairs[:, 1] = multiply(subtract(one, other, prime), roots[half : 2 * half, None], prime)
        half, stretch = half // 2, stretch * 2
    scaled = multiply(result, np.full(1, pow(degree, -1, prime), np.uint64), prime).view(np.int64)
    return cast(Int64Array, np.where(scaled > prime // 2, scaled - prime, scaled))


def _inverse_roots(degree: int, prime: int) -> UInt64Array:
    """Return the powers of 1 / psi in bit-reversed order, uint64 (N,)."""
    root = pow(_smallest_root(degree, prime), -1, prime)
    return _powers(root, degree, prime)[bit_reversal(degree)]


@lru_cache(maxsize=16)
def _powers(root: int, count: int, prime: int) -> UInt64Array:
    """Return root^0 .. root^(count - 1) modulo a prime."""
    powers = [1] * count
    for number in range(1, count):
        powers[number] = powers[number - 1] * root % prime
    return np.array(powers, np.uint64)


@lru_cache(maxsize=16)
def _smallest_root(degree: int, prime: int) -> int:
    """Return the smallest primitive 2N-th root of unity modulo a prime that is 1 mod 2N."""
    exponent = (prime - 1) // (2 * degree)
    candidates = (pow(base, exponent, prime) for base in range(2, 1000))
    root = next(found for found in candidates if pow(found, degree, prime) == prime - 1)
    square, smallest = root * root % prime, root
    for _ in range(degree):
        root = root * square % prime
        smallest = min(smallest, root)
    return smallest


def bit_reversal(degree: int) -> npt.NDArray[np.intp]:
    """Return the permutation of 0 .. N - 1 that reverses the bits of each number."""
    bits = degree.bit_length() - 1
    numbers = np.arange(degree)
    result = np.zeros(degree, np.intp)
    for bit in range(bits):
        result |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    return result

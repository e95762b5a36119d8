"""Ciphertexts and evaluation keys from outside, checked to the last number before SEAL loads them.

What comes in is inflated (``seal_headers``) and walked: every size field is the one that the ring
and the modulus fix, every residue is below its prime, a seed is whole, nothing is left over. SEAL
then gets the checked bytes with a header made anew. Layout: ciphertext.cpp, kswitchkeys.cpp,
publickey.h and randomgen.h of SEAL 4.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.seal_headers import (
    HEADER,
    UNCOMPRESSED,
    framed,
    inflated,
    read_seal_header,
)

# Parameter id, transformed, polynomials, ring degree, primes, scale, a factor that stays at 1.
MEMBERS = struct.Struct("<4QB3QdQ")
COUNT = struct.Struct("<Q")
# A seed in place of the second polynomial: the generator's kind (BLAKE2xb, SHAKE-256), 64 bytes.
SEED_OBJECT_BYTES = HEADER.size + 1 + 64
GENERATORS = (1, 2)
MOST_POLYNOMIALS = 3
ParameterId = tuple[int, ...]


@dataclass(frozen=True)
class RingForm:
    """What a context fixes of its objects. ``levels``: primes by parameter id, keys' left out."""

    degree: int
    levels: dict[ParameterId, tuple[int, ...]]
    key_id: ParameterId
    key_primes: tuple[int, ...]

    def ciphertext_bytes(self, primes: int, polynomials: int) -> int:
        """Return the size of a whole ciphertext's content, not compressed."""
        return MEMBERS.size + HEADER.size + COUNT.size + 8 * polynomials * primes * self.degree

    @property
    def digits(self) -> int:
        """How many ciphertexts one key for switching has: one for each prime of the data."""
        return len(self.key_primes) - 1


@lru_cache(maxsize=8)
def ring_form(context: Any) -> RingForm:
    """Read off a SEAL context what its objects must be."""
    levels, level = {}, context.first_context_data()
    while level is not None:
        levels[tuple(level.parms_id())] = _primes(level)
        level = level.next_context_data()
    key = context.key_context_data()
    degree = int(key.parms().poly_modulus_degree())
    return RingForm(degree, levels, tuple(context.key_parms_id()), _primes(key))


def _primes(level: Any) -> tuple[int, ...]:
    return tuple(int(prime.value()) for prime in level.parms().coeff_modulus())


def checked_ciphertext(context: Any, data: bytes, what: str, primes: int | None = None) -> bytes:
    """Return a ciphertext of unknown origin as SEAL may load it: whole, checked, not compressed.

    ``primes``: under how many it must be; None: any level of data. Raises MessageError.
    """
    form = ring_form(context)
    most = form.ciphertext_bytes(primes or len(form.key_primes) - 1, MOST_POLYNOMIALS)
    content = inflated(data, most, what)
    levels = {one: moduli for one, moduli in form.levels.items() if primes in (None, len(moduli))}
    end = _walk_ciphertext(content, 0, form.degree, levels, what, primes)
    if end != len(content):
        raise MessageError(f"{what}: {len(content) - end} bytes follow its numbers")
    return framed(content)


def checked_switching_keys(
    context: Any, data: bytes, what: str, elements: Collection[int] | None
) -> bytes:
    """Return evaluation keys of unknown origin as SEAL may load them.

    ``elements``: the Galois elements that keys may be for; None: relinearisation. A key that is
    missing is not told here: SEAL says which keys it has. Raises MessageError.
    """
    form = ring_form(context)
    slots = 1 if elements is None else form.degree
    allowed = {0} if elements is None else {(element - 1) >> 1 for element in elements}
    one_key = form.digits * (
        HEADER.size + SEED_OBJECT_BYTES + form.ciphertext_bytes(len(form.key_primes), 2)
    )
    most = 32 + COUNT.size * (1 + slots) + len(allowed) * one_key
    content = inflated(data, most, what)
    end = _walk_keys(content, form, slots, allowed, what)
    if end != len(content):
        raise MessageError(f"{what}: {len(content) - end} bytes follow the last key")
    return framed(content)


def checked_public_key(context: Any, data: bytes, what: str) -> bytes:
    """Return a public key of unknown origin as SEAL may load it. Raises MessageError."""
    form = ring_form(context)
    content = inflated(data, form.ciphertext_bytes(len(form.key_primes), 2), what)
    levels = {form.key_id: form.key_primes}
    end = _walk_ciphertext(content, 0, form.degree, levels, what)
    if end != len(content):
        raise MessageError(f"{what}: {len(content) - end} bytes follow its numbers")
    return framed(content)


def _walk_keys(
    content: bytes, form: RingForm, slots: int, allowed: Collection[int], what: str
) -> int:
    """Check all keys; return where they end."""
    if len(content) < 32 + COUNT.size:
        raise MessageError(f"{what}: cut short")
    if struct.unpack_from("<4Q", content) != form.key_id:
        raise MessageError(f"{what}: of another context")
    (found,) = COUNT.unpack_from(content, 32)
    if found != slots:
        raise MessageError(f"{what}: {found} places for keys, expected {slots}")
    levels = {form.key_id: form.key_primes}
    place, end = 0, 32 + COUNT.size
    while place < slots:
        if len(content) < end + COUNT.size:
            raise MessageError(f"{what}: cut short")
        (digits,) = COUNT.unpack_from(content, end)
        end += COUNT.size
        if digits not in (0, form.digits) or (digits and place not in allowed):
            raise MessageError(f"{what}: {digits} ciphertexts in place {place} are not asked for")
        for _ in range(digits):
            end = _walk_framed_ciphertext(content, end, form.degree, levels, what)
        place += 1
    return end


def _walk_framed_ciphertext(
    content: bytes, start: int, degree: int, levels: dict[ParameterId, tuple[int, ...]], what: str
) -> int:
    compression, size = read_seal_header(content, what, start)
    end = _walk_ciphertext(content, start + HEADER.size, degree, levels, what)
    if compression != UNCOMPRESSED or size != end - start:
        raise MessageError(f"{what}: a ciphertext in it is not as long as its header says")
    scale, factor = struct.unpack_from("<dQ", content, start + HEADER.size + MEMBERS.size - 16)
    if scale != 1.0 or factor != 1:
        raise MessageError(f"{what}: a key has scale {scale:.6g}")
    return end


def _walk_ciphertext(
    content: bytes,
    start: int,
    degree: int,
    levels: dict[ParameterId, tuple[int, ...]],
    what: str,
    primes: int | None = None,
) -> int:
    """Check the ciphertext at ``start``; return where it ends."""
    if len(content) - start < MEMBERS.size:
        raise MessageError(f"{what} is cut short")
    *name, form, polynomials, ring, count, scale, factor = MEMBERS.unpack_from(content, start)
    moduli = levels.get(tuple(name))
    if moduli is None:
        expected = "at a level of this context" if primes is None else f"under {primes} primes"
        raise MessageError(f"{what} is not two polynomials {expected}")
    if form != 1 or (ring, count) != (degree, len(moduli)) or factor != 1:
        raise MessageError(f"{what} is not of the form that its parameters have")
    if not 2 <= polynomials <= MOST_POLYNOMIALS:
        raise MessageError(f"{what} has {polynomials} polynomials")
    if not (math.isfinite(scale) and scale > 0):
        raise MessageError(f"{what} has scale {scale}")
    return _walk_numbers(content, start + MEMBERS.size, polynomials, moduli, degree, what)


def _walk_numbers(
    content: bytes, start: int, polynomials: int, moduli: tuple[int, ...], degree: int, what: str
) -> int:
    """Check the residues of a ciphertext, and the seed of one that has a seed; return the end."""
    compression, size = read_seal_header(content, what, start)
    start += HEADER.size
    if len(content) - start < COUNT.size:
        raise MessageError(f"{what} is cut short")
    (words,) = COUNT.unpack_from(content, start)
    start += COUNT.size
    one = len(moduli) * degree
    seeded = polynomials == 2 and words == one
    if not seeded and words != polynomials * one:
        raise MessageError(f"{what} has {words} numbers, expected {polynomials * one}")
    if compression != UNCOMPRESSED or size != HEADER.size + COUNT.size + 8 * words:
        raise MessageError(f"{what}: its array of numbers is not as long as its header says")
    end = start + 8 * words
    if len(content) < end:
        raise MessageError(f"{what} is cut short")
    # A copy, so that the numbers lie at a multiple of their size.
    numbers = np.frombuffer(content[start:end], "<u8").reshape(-1, len(moduli), degree)
    check_residues(numbers, moduli, what)
    return _walk_seed(content, end, what) if seeded else end


def check_residues(numbers: npt.NDArray[np.uint64], moduli: Collection[int], what: str) -> None:
    """Refuse residues (..., primes, N) that are not below their prime. Raises MessageError."""
    if (numbers.max(axis=-1) >= np.array(list(moduli), np.uint64)).any():
        raise MessageError(f"{what} has a residue that is not below its prime")


def _walk_seed(content: bytes, start: int, what: str) -> int:
    compression, size = read_seal_header(content, what, start)
    if compression != UNCOMPRESSED or size != SEED_OBJECT_BYTES:
        raise MessageError(f"{what}: its seed is not as long as a seed is")
    end = start + SEED_OBJECT_BYTES
    if len(content) < end or content[start + HEADER.size] not in GENERATORS:
        raise MessageError(f"{what} has no seed of a known kind")
    return end

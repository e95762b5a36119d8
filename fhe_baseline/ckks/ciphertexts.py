"""Ciphertexts from outside: what one must be before anything is computed on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.context import import_tenseal, level_with
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext

SEAL_OVERHEAD_BYTES = 1024


@dataclass(frozen=True)
class CiphertextShape:
    """What a ciphertext from outside must be: two polynomials under so many primes, at a scale."""

    context: Any
    degree: int
    primes: int
    scale: float

    def load(self, data: bytes, what: str) -> Any:
        """Parse a ciphertext.

        Raises MessageError, also on a transparent one (second polynomial zero: no encryption).
        """
        if len(data) > 2 * self.primes * self.degree * 8 + SEAL_OVERHEAD_BYTES:
            raise MessageError(f"{what} of {len(data)} bytes is longer than such a ciphertext")
        ciphertext = load_ciphertext(
            import_tenseal().sealapi.Ciphertext(), self.context, data, what, self.primes
        )
        if ciphertext.parms_id() != level_with(self.context, self.primes) or ciphertext.size() != 2:
            raise MessageError(f"{what} is not two polynomials under {self.primes} primes")
        if not math.isclose(ciphertext.scale, self.scale, rel_tol=1e-9):
            raise MessageError(
                f"{what} has scale {ciphertext.scale:.6g}, expected {self.scale:.6g}"
            )
        # The claimed scale may be off by rounding; sums of several ciphertexts want it to the bit.
        ciphertext.scale = self.scale
        if ciphertext.is_transparent():
            raise MessageError(f"{what} is transparent: its second polynomial is zero")
        return ciphertext

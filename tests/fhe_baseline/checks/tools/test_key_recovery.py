"""Decrypted CKKS results give the secret key away, and what is published less does not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from he_compare.fhe_baseline.checks.tools import defences
from he_compare.fhe_baseline.checks.tools.key_recovery import (
    RealDecode,
    key_from_complex,
    key_from_real,
    recovered_share,
    secret_coefficients,
)
from he_compare.fhe_baseline.ckks.modular import (
    bit_reversal,
    coefficients,
    inverse,
    multiply,
    subtract,
)

PRIMES = [(1 << 20) - 3, 68719230977, 1099511480321, 1152921504606830593]


@dataclass(frozen=True)
class Published:
    context: Any
    ciphertexts: list[Any]
    values: list[np.ndarray]
    slots: np.ndarray
    truth: np.ndarray

    def share(self, values: list[np.ndarray]) -> float:
        decodes = [RealDecode(c, v) for c, v in zip(self.ciphertexts, values, strict=True)]
        return recovered_share(key_from_real(self.context, decodes), self.truth)


@cache
def published(evaluated: bool = False) -> Published:
    """Two TenSEAL vectors under one key at N = 4096, decoded in full."""
    import tenseal
    from tenseal import sealapi

    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[36, 36, 37], n_threads=1
    )
    context.global_scale = 2.0**30
    random = np.random.default_rng(0)
    vectors = [tenseal.ckks_vector(context, random.normal(size=2048).tolist()) for _ in range(2)]
    if evaluated:
        vectors = [vector * random.normal(size=2048).tolist() for vector in vectors]
    inner, secret = context.seal_context().data, context.secret_key().data
    ciphertexts = [vector.ciphertext()[0] for vector in vectors]
    plaintext = sealapi.Plaintext()
    sealapi.Decryptor(inner, secret).decrypt(ciphertexts[0], plaintext)
    slots = np.array(sealapi.CKKSEncoder(inner).decode_complex(plaintext))
    values = [np.array(vector.decrypt()) for vector in vectors]
    return Published(inner, ciphertexts, values, slots, secret_coefficients(secret, inner))


def test_the_truth_is_a_ternary_key_of_all_three_values() -> None:
    values, counts = np.unique(published().truth, return_counts=True)
    assert values.tolist() == [-1, 0, 1]
    assert counts.min() > 1200


@pytest.mark.parametrize("evaluated", [False, True], ids=["fresh", "evaluated"])
def test_two_real_decodes_give_the_whole_key(evaluated: bool) -> None:
    one = published(evaluated)
    assert one.share(one.values) == 1.0


def test_one_complex_decode_gives_the_whole_key() -> None:
    one = published()
    found = key_from_complex(one.context, one.ciphertexts[0], one.slots)
    assert recovered_share(found, one.truth) == 1.0


@pytest.mark.parametrize(("decimals", "share"), [(10, 1.0), (8, 1.0), (7, 0.0), (4, 0.0)])
def test_eight_decimals_at_scale_2_30_give_the_key_and_seven_do_not(
    decimals: int, share: float
) -> None:
    one = published()
    assert one.share([defences.to_decimals(v, decimals) for v in one.values]) == share


def test_labels_and_a_few_scores_give_nothing() -> None:
    one = published()
    assert one.share([defences.label_only(v, 2) for v in one.values]) == 0.0
    assert one.share([defences.scores_only(v, 2) for v in one.values]) == 0.0


def test_weak_flooding_falls_to_replays_and_flooding_for_their_number_does_not() -> None:
    one, random = published(), np.random.default_rng(1)
    noise = 3.2 * np.sqrt(2048) / 2.0**30
    assert one.share([defences.flooded(v, noise, random) for v in one.values]) == 0.0
    averaged = [defences.averaged_over_queries(v, noise, 4096, random) for v in one.values]
    assert one.share(averaged) == 1.0
    strong = defences.flooding_deviation(noise, 64)
    flooded = [defences.averaged_over_queries(v, strong, 64, random) for v in one.values]
    assert one.share(flooded) == 0.0


def test_a_strangers_ciphertext_gives_no_key() -> None:
    one, other = published(False), published(True)
    found = key_from_complex(one.context, one.ciphertexts[1], one.slots)
    assert found is None
    assert recovered_share(found, one.truth) == 0.0
    assert (one.truth == other.truth).mean() < 0.4


def test_one_real_decode_is_not_enough_and_says_so() -> None:
    one = published()
    with pytest.raises(ValueError, match="1 real decodes"):
        key_from_real(one.context, [RealDecode(one.ciphertexts[0], one.values[0])])


@pytest.mark.parametrize("prime", PRIMES)
def test_products_and_inverses_are_those_of_python_integers(prime: int) -> None:
    random = np.random.default_rng(2)
    first, second = (random.integers(1, prime, 200, dtype=np.uint64) for _ in range(2))
    first[:2], second[:2] = prime - 1, (prime - 1, 1)
    product = [int(a) * int(b) % prime for a, b in zip(first, second, strict=True)]
    assert multiply(first, second, prime).tolist() == product
    assert subtract(first, second, prime).tolist() == [
        (int(a) - int(b)) % prime for a, b in zip(first, second, strict=True)
    ]
    if prime == PRIMES[-1]:
        assert (multiply(first, inverse(first, prime), prime) == 1).all()


def test_the_inverse_transform_finds_the_coefficients_of_a_polynomial() -> None:
    degree, prime = 16, 68719230977
    root = next(
        r
        for r in (pow(b, (prime - 1) // (2 * degree), prime) for b in range(2, 100))
        if pow(r, degree, prime) == prime - 1
    )
    smallest = min(pow(root, odd, prime) for odd in range(1, 2 * degree, 2))
    polynomial = np.random.default_rng(3).integers(-5, 6, degree)
    values = [
        sum(int(c) * pow(smallest, (2 * int(i) + 1) * k, prime) for k, c in enumerate(polynomial))
        % prime
        for i in bit_reversal(degree)
    ]
    assert coefficients(np.array(values, np.uint64), prime).tolist() == polynomial.tolist()

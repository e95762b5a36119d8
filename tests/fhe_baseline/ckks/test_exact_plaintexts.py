"""Exact plaintexts are SEAL's own: its encoder and ours agree, and large numbers keep every bit."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.context import import_tenseal, level_with, seal_context
from he_compare.fhe_baseline.ckks.exact_plaintexts import (
    coefficient,
    plaintext_of,
    primes_of,
    residues_of,
)
from he_compare.fhe_baseline.ckks.modular import (
    coefficients,
    monomial,
    residues,
    total,
    transformed,
    uniform,
)
from he_compare.fhe_baseline.ckks.parameters import parameter_set

CONTEXT = seal_context(parameter_set("n4096-106-flat"))
PRIMES = primes_of(CONTEXT, 2)
DEGREE = 4096


def test_seals_encoder_and_the_exact_form_agree() -> None:
    plaintext = import_tenseal().sealapi.Plaintext()
    encoder = import_tenseal().sealapi.CKKSEncoder(CONTEXT)
    slots = np.exp(2j * np.pi * np.random.default_rng(0).random(DEGREE // 2)).tolist()
    encoder.encode(slots, level_with(CONTEXT, 2), 2.0**30, plaintext)
    read = residues_of(plaintext, 2)
    numbers = coefficients(read[0], PRIMES[0]).astype(np.float64)
    exact = plaintext_of(
        CONTEXT, [transformed(residues(numbers, prime), prime) for prime in PRIMES], 2.0**30
    )
    np.testing.assert_allclose(encoder.decode_complex(exact), slots, atol=1e-5)


def test_a_number_near_the_modulus_keeps_every_bit() -> None:
    large = -(PRIMES[0] * PRIMES[1] // 2) + 12_345
    values = [
        (monomial(7, DEGREE, prime).astype(object) * (large % prime) % prime).astype(np.uint64)
        for prime in PRIMES
    ]
    back = residues_of(plaintext_of(CONTEXT, values, 1.0), 2)
    assert coefficient(back, 7, PRIMES) == large
    assert coefficient(back, 8, PRIMES) == 0


@pytest.mark.parametrize("prime", [PRIMES[0], (1 << 60) - 93, (1 << 61) - 1])
def test_residues_of_whole_numbers_of_any_size_are_exact(prime: int) -> None:
    numbers = [0.0, -1.0, 5e8, 2.0**58, -(2.0**61), 2.0**62, -1.7e19, 3.1e22, -(2.0**200), 1.5e300]
    expected = [int(number) % prime for number in numbers]
    assert residues(np.array(numbers), prime).tolist() == expected


def test_residues_above_their_prime_are_refused() -> None:
    values = [np.full(DEGREE, prime, np.uint64) for prime in PRIMES]
    with pytest.raises(MessageError):
        plaintext_of(CONTEXT, values, 1.0)


@pytest.mark.parametrize("prime", [PRIMES[0], 1152921504606830593])
def test_the_transform_and_its_inverse_undo_each_other(prime: int) -> None:
    numbers = np.random.default_rng(1).integers(-(2**40), 2**40, 64)
    values = transformed(residues(numbers.astype(np.float64), prime), prime)
    assert (coefficients(values, prime) == numbers).all()
    assert (transformed(residues(np.eye(64)[5], prime), prime) == monomial(5, 64, prime)).all()


def test_uniform_residues_are_even_below_their_prime() -> None:
    drawn = uniform(100_000, 5 * 2**40)
    counts = np.bincount((drawn // np.uint64(2**40)).astype(np.intp), minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 20_000).max() < 700
    assert total(drawn, 97) == sum(int(one) for one in drawn) % 97

"""Public keys from a seed: SEAL encrypts under them, and nobody chose their uniform half."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.context import import_tenseal, level_with, seal_context
from he_compare.fhe_baseline.ckks.exact_plaintexts import residues_of
from he_compare.fhe_baseline.ckks.modular import add, coefficients, multiply
from he_compare.fhe_baseline.ckks.parameters import parameter_set
from he_compare.fhe_baseline.ckks.public_keys import (
    ERROR_BITS,
    SEED_BYTES,
    binomial_errors,
    key_primes,
    load_public_key,
    make_public_key,
    uniform_half,
)

DEGREE = 4096
CONTEXT = seal_context(parameter_set("n4096-106-flat"))
PRIMES = key_primes(CONTEXT)


def key_pair() -> tuple[Any, bytes]:
    secret = import_tenseal().sealapi.KeyGenerator(CONTEXT).secret_key()
    return secret, make_public_key(CONTEXT, secret)


def test_seal_encrypts_under_it_and_the_secret_key_decrypts() -> None:
    seal = import_tenseal().sealapi
    secret, data = key_pair()
    encryptor = seal.Encryptor(CONTEXT, load_public_key(CONTEXT, data))
    encoder, plaintext, found = seal.CKKSEncoder(CONTEXT), seal.Plaintext(), seal.Plaintext()
    ciphertext = seal.Ciphertext()
    slots = np.linspace(-1, 1, DEGREE // 2).astype(complex).tolist()
    encoder.encode(slots, level_with(CONTEXT, 2), 2.0**30, plaintext)
    encryptor.encrypt(plaintext, ciphertext)
    seal.Decryptor(CONTEXT, secret).decrypt(ciphertext, found)
    np.testing.assert_allclose(encoder.decode_complex(found), slots, atol=1e-4)
    other, _ = key_pair()
    seal.Decryptor(CONTEXT, other).decrypt(ciphertext, found)
    assert np.abs(np.array(encoder.decode_complex(found)) - slots).mean() > 1


def test_it_is_an_rlwe_sample_with_seals_errors() -> None:
    secret, data = key_pair()
    halves = np.frombuffer(data[SEED_BYTES:], "<u8").reshape(len(PRIMES), DEGREE)
    drawn = uniform_half(data[:SEED_BYTES], PRIMES, DEGREE)
    errors = [
        coefficients(add(half, multiply(uniform, there, prime), prime), prime)
        for half, uniform, there, prime in zip(
            halves, drawn, residues_of(secret.data(), len(PRIMES)), PRIMES, strict=True
        )
    ]
    for one in errors[1:]:
        np.testing.assert_array_equal(one, errors[0])
    assert 8 < np.abs(errors[0]).max() <= ERROR_BITS
    assert errors[0].var() == pytest.approx(ERROR_BITS / 2, rel=0.12)
    assert abs(errors[0].mean()) < 0.3


def test_errors_are_fresh_and_binomial() -> None:
    drawn = binomial_errors(1 << 16)
    assert np.mean(drawn == 0) == pytest.approx(0.1224, abs=0.006)  # (42 over 21) / 2^42
    assert drawn.var() == pytest.approx(ERROR_BITS / 2, rel=0.03)
    assert (drawn != binomial_errors(1 << 16)).mean() > 0.8


def test_a_seed_determines_the_uniform_half_and_another_one_shares_nothing_with_it() -> None:
    first, again, other = (
        uniform_half(bytes([byte]) * SEED_BYTES, PRIMES, DEGREE) for byte in (1, 1, 2)
    )
    for place, prime in enumerate(PRIMES):
        np.testing.assert_array_equal(first[place], again[place])
        assert (first[place] == other[place]).sum() == 0
        counts = np.histogram(first[place].astype(np.float64) / prime, 16, (0, 1))[0]
        assert ((counts - DEGREE / 16) ** 2 / (DEGREE / 16)).sum() < 50
    assert (first[0] % 997 == first[1] % 997).mean() < 0.01


def test_the_halves_under_two_keys_of_one_secret_differ() -> None:
    secret, data = key_pair()
    again = make_public_key(CONTEXT, secret)
    assert data[:SEED_BYTES] != again[:SEED_BYTES]
    assert data[SEED_BYTES : SEED_BYTES + 64] != again[SEED_BYTES : SEED_BYTES + 64]


def test_bytes_that_are_no_key_are_refused() -> None:
    _, data = key_pair()
    for bad in (b"", data[:-1], data + b"\0", data[: SEED_BYTES + 8]):
        with pytest.raises(MessageError, match=f"public key of {len(bad)} bytes"):
            load_public_key(CONTEXT, bad)
    above = data[:SEED_BYTES] + PRIMES[0].to_bytes(8, "little") + data[SEED_BYTES + 8 :]
    with pytest.raises(MessageError, match="residue that is not below its prime"):
        load_public_key(CONTEXT, above)

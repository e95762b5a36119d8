"""SEAL and TenSEAL contexts, with and without the secret key, for one set of CKKS parameters.

The secret key is made here and stays in the object that made it: what leaves for the server is
serialised without it, and without the public and relinearisation keys where the computation does
not use them (TenSEAL 0.3.18 loads such a context and calls it public).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from he_compare.common.closed_memory import close_memory
from he_compare.common.errors import CellError, UnavailableError
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, require_128_bits

# TenSEAL would start one thread per core; packings are compared on one.
TENSEAL_THREADS = 1

# Uniform ternary secret; errors from a centred binomial over 2 x 21 bits, variance 21/2: SEAL's
# default build (util/rlwe.cpp), which TenSEAL ships. One width for claims, estimates and precision.
SECRET_DISTRIBUTION = "uniform ternary"
ERROR_SIGMA = math.sqrt(21 / 2)
PRNG_SEED_BITS = 512


def import_tenseal() -> Any:
    """Import TenSEAL late. Raises UnavailableError with the command that installs it."""
    try:
        import tenseal
        import tenseal.sealapi
    except ImportError as error:
        raise UnavailableError(
            f"TenSEAL cannot be imported: {error}", fix="pip install 'tenseal>=0.3.16'"
        ) from None
    return tenseal


def seal_context(parameters: CkksParameters) -> Any:
    """Return SEAL's context at its 128-bit security level. Raises UsageError below it."""
    require_128_bits(parameters)
    return _seal_context(parameters, "TC128")


def insecure_seal_context(parameters: CkksParameters) -> Any:
    """Return SEAL's context whatever its security: for study, where the record says so."""
    return _seal_context(parameters, "NONE")


@lru_cache(maxsize=2)
def _seal_context(parameters: CkksParameters, level: str) -> Any:
    """Return SEAL's context; it never changes, and a large one takes a second to make."""
    seal = import_tenseal().sealapi
    chosen = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    chosen.set_poly_modulus_degree(parameters.degree)
    chosen.set_coeff_modulus(
        seal.CoeffModulus.Create(parameters.degree, list(parameters.modulus_bits))
    )
    context = seal.SEALContext(chosen, True, getattr(seal.SEC_LEVEL_TYPE, level))
    if not context.parameters_set():
        raise CellError(f"SEAL refuses {parameters}: {context.parameters_error_message()}")
    return context


def data_primes(context: Any) -> list[int]:
    """Return the primes ciphertexts live under, the last one left first, as SEAL chose them."""
    return [modulus.value() for modulus in context.first_context_data().parms().coeff_modulus()]


def level_with(context: Any, primes: int) -> list[int]:
    """Return the parameter id of the level at which ``primes`` primes are left."""
    level = context.first_context_data()
    while level.chain_index() > primes - 1:
        level = level.next_context_data()
    parameter_id: list[int] = level.parms_id()
    return parameter_id


def galois_elements(steps: list[int], degree: int) -> list[int]:
    """Return the automorphisms X -> X^(3^step) that rotate the slots left by each step."""
    return [pow(3, step, 2 * degree) for step in steps]


def new_keys(context: Any) -> Any:
    """Return SEAL's generator with a fresh secret key, in the memory of a process that is closed
    to others first (``common.closed_memory``)."""
    close_memory()
    return import_tenseal().sealapi.KeyGenerator(context)


def tenseal_context(parameters: CkksParameters) -> Any:
    """Return a TenSEAL context with a fresh secret key and the Galois keys of every power of two.

    TenSEAL's ``dot`` and ``mm`` sum by rotations and want their full set. The memory of this
    process is closed first.
    """
    require_128_bits(parameters)
    close_memory()
    tenseal = import_tenseal()
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        parameters.degree,
        coeff_mod_bit_sizes=list(parameters.modulus_bits),
        n_threads=TENSEAL_THREADS,
    )
    context.global_scale = 2.0**parameters.scale_bits
    context.generate_galois_keys()
    return context


def tenseal_public_bytes(context: Any, *, with_public_key: bool) -> bytes:
    """Serialise what the server needs of a TenSEAL context: parameters and Galois keys.

    ``mm`` encrypts at the server and wants the public key as well; ``dot`` does not.
    """
    data: bytes = context.serialize(
        save_public_key=with_public_key,
        save_secret_key=False,
        save_galois_keys=True,
        save_relin_keys=False,
    )
    return data


def explain_seal_error(error: Exception, parameters: CkksParameters) -> CellError:
    """Turn SEAL's terse complaint while computing into one that says what to change."""
    text = str(error)
    budget = (
        f"(N = {parameters.degree}, primes of {list(parameters.modulus_bits)} bits, scale "
        f"2^{parameters.scale_bits}, {parameters.depth} multiplications)"
    )
    if "scale out of bounds" in text:
        return CellError(
            f"the product's scale exceeds the modulus that is left {budget}",
            fix="use a parameter set with one more prime or a smaller scale",
        )
    if "end of modulus switching chain" in text:
        return CellError(
            f"the depth is spent {budget}", fix="use a parameter set with one more prime"
        )
    if "scale mismatch" in text or "parameter mismatch" in text:
        return CellError(f"two ciphertexts are not at one scale and level {budget}: {text}")
    if "transparent" in text:
        return CellError(
            f"a product with zero weights hides nothing, and SEAL refuses it {budget}",
            fix="train the head on features that tell the classes apart",
        )
    if "Galois key not present" in text:
        return CellError(f"a rotation was asked for whose key was not made {budget}")
    return CellError(f"SEAL refused to compute {budget}: {text}")

"""The owner of data and secret key: encrypts both once, and refreshes the weights between rounds.

Encryption is symmetric, so that half of every upload is a seed, and at the lowest level that the
computation wants. Decrypted weights stay here; what goes back is a fresh encryption.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.types import Complex128Array, Float64Array, Message, UInt8Array
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.context import galois_elements, import_tenseal, level_with
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    Content,
    addresses,
    ahead_shape,
    pack_upload,
    shape_of,
    weights_shape,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.public_material import GALOIS_KEYS, RELINEARISATION_KEYS
from he_compare.fhe_baseline.ckks.training.scales import MOMENTUM_BITS, WEIGHT_BOUND

# Bits after the point that released weights keep.
KEPT_BITS = 10
# Copies of a weight over the slots differ by noise alone; a foreign ciphertext's do not agree.
LARGEST_SPREAD = 0.05


class CkksTrainingClient:
    """Holds the secret key of one training."""

    def __init__(self, circuit: Circuit) -> None:
        seal = import_tenseal().sealapi
        self._seal = seal
        self._circuit = circuit
        self._context = circuit.context
        self._keys = seal.KeyGenerator(self._context)
        secret = self._keys.secret_key()
        self._encoder = seal.CKKSEncoder(self._context)
        self._encryptor = seal.Encryptor(self._context, secret)
        self._decryptor = seal.Decryptor(self._context, secret)

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the evaluation keys: exactly the rotations used, conjugation, relinearisation."""
        degree = self._circuit.parameters.degree
        elements = [
            *galois_elements(self._circuit.layout.rotations(), degree),
            2 * degree - 1,
        ]
        keys = {
            GALOIS_KEYS: self._keys.create_galois_keys(elements),
            RELINEARISATION_KEYS: self._keys.create_relin_keys(),
        }
        return {name: np.frombuffer(seal_bytes(key), np.uint8) for name, key in keys.items()}

    def uploads(self, problem: Problem) -> Iterator[Message]:
        """Yield data and targets, encrypted one ciphertext at a time."""
        layout, group, block = self._circuit.layout, -1, np.zeros((0, 0), np.complex128)
        for address in addresses(self._circuit):
            if address.group != group:
                group, block = address.group, layout.group(problem.matrix, address.group)
            yield pack_upload(address, self._encrypt_data(address, block, problem))

    def _encrypt_data(self, address: Address, block: Complex128Array, problem: Problem) -> bytes:
        circuit, layout = self._circuit, self._circuit.layout
        shape = shape_of(circuit, address)
        if address.kind is Content.FORWARD:
            return self._encrypt(layout.forward_diagonal(block, address.index), shape)
        if address.kind is Content.BACKWARD:
            return self._encrypt(layout.backward_diagonal(block, address.index), shape)
        if address.kind is Content.SAMPLE_WEIGHTS:
            sign = math.copysign(1, circuit.sigmoid.leading)
            rows = sign * problem.sample_weights[address.index]
        else:
            classifier = address.index // circuit.per_round
            rows = problem.sample_weights[classifier] * (0.5 - problem.targets[classifier])
        return self._encrypt(layout.spread_rows(rows, address.group), shape)

    def _encrypt(self, slots: Complex128Array | Float64Array, shape: CiphertextShape) -> bytes:
        plaintext = self._seal.Plaintext()
        level = level_with(self._context, shape.primes)
        self._encoder.encode(slots.tolist(), level, shape.scale, plaintext)
        return seal_bytes(self._encryptor.encrypt_symmetric(plaintext))

    def encrypt_state(self, ahead: Float64Array, weights: Float64Array) -> list[Message]:
        """Encrypt V, then W, both (classifiers, columns), for the next round."""
        spread = self._circuit.layout.spread_weights
        first, kept = ahead_shape(self._circuit, 0), weights_shape(self._circuit)
        return [
            *(self._encrypt(spread(row), first) for row in ahead),
            *(self._encrypt(spread(row), kept) for row in weights),
        ]

    def decrypt_state(self, replies: Sequence[Message]) -> tuple[Float64Array, Float64Array]:
        """Decrypt the V and W a round ended with.

        Raises MessageError where a reply is no ciphertext of this training, or decrypts to what no
        weights are: of another key, tampered with, or out of range.
        """
        classifiers = self._circuit.classifiers
        if len(replies) != 2 * classifiers:
            raise MessageError(f"{len(replies)} replies for a round of {classifiers} classifiers")
        result = self._circuit.scales.result
        ahead = [self._decrypt(r, result * 2**MOMENTUM_BITS) for r in replies[:classifiers]]
        weights = [self._decrypt(r, result) for r in replies[classifiers:]]
        return np.array(ahead), np.array(weights)

    def _decrypt(self, reply: Message, scale: float) -> Float64Array:
        shape = CiphertextShape(self._context, self._circuit.parameters.degree, 1, scale)
        plaintext = self._seal.Plaintext()
        self._decryptor.decrypt(shape.load(reply, "weights"), plaintext)
        slots = np.array(self._encoder.decode_complex(plaintext))
        weights, spread = self._circuit.layout.read_weights(slots)
        largest = float(np.abs(slots).max())
        if not (largest < WEIGHT_BOUND and spread < LARGEST_SPREAD):
            raise MessageError(
                f"weights decrypt to values up to {largest:.3g} whose copies differ by {spread:.3g}"
                ": a ciphertext of another key or tampered with, or training that diverged "
                "(logits outside the sigmoid's interval)"
            )
        return weights


def rounded(weights: Float64Array) -> Float64Array:
    """Return weights as multiples of 2^-KEPT_BITS: what an owner releases."""
    unit = 2.0**-KEPT_BITS
    kept: Float64Array = np.round(weights / unit) * unit
    return kept

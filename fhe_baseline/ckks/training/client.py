"""The owner of data and secret key: encrypts both once, and decrypts the weights that come back.

Encryption is symmetric, so that half of every upload is a seed. Keys and data leave one at a time:
the client never holds all of either. Decrypted weights stay here; where a refresh sends them back,
it is as a fresh encryption.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.types import Complex128Array, Float64Array, Message
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.context import import_tenseal, level_with, new_keys
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.key_parts import RELINEARISATION, key_elements, pack_key
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
from he_compare.fhe_baseline.ckks.training.scales import LARGEST_PREDICTED_ERROR, WEIGHT_BOUND

# Bits after the point that released weights keep.
KEPT_BITS = 10
# Copies of a weight over the slots differ by noise alone; a foreign ciphertext's do not agree.
LARGEST_SPREAD = LARGEST_PREDICTED_ERROR


class CkksTrainingClient:
    """Holds the secret key of one training."""

    def __init__(self, circuit: Circuit) -> None:
        seal = import_tenseal().sealapi
        self._seal = seal
        self._circuit = circuit
        self._context = circuit.context
        self._keys = new_keys(self._context)
        secret = self._keys.secret_key()
        self._encoder = seal.CKKSEncoder(self._context)
        self._encryptor = seal.Encryptor(self._context, secret)
        self._decryptor = seal.Decryptor(self._context, secret)

    def keys(self, wanted: Container[int] | None = None) -> Iterator[Message]:
        """Make the evaluation keys one at a time: exactly the rotations used, conjugation,
        relinearisation. ``wanted``: the parts still missing at the server; None: all."""
        for element in key_elements(self._circuit):
            if wanted is not None and element not in wanted:
                continue
            yield pack_key(element, self._key_bytes(element))

    def _key_bytes(self, element: int) -> bytes:
        """Make one key and let go of it: at N = 32768 it has a quarter of a gigabyte."""
        if element == RELINEARISATION:
            return seal_bytes(self._keys.create_relin_keys())
        return seal_bytes(self._keys.create_galois_keys([element]))

    def uploads(
        self, problem: Problem, wanted: Container[Address] | None = None
    ) -> Iterator[Message]:
        """Yield the data encrypted, one ciphertext at a time; ``wanted``: as for keys."""
        layout, group, block = self._circuit.layout, -1, np.zeros((0, 0), np.complex128)
        for address in addresses(self._circuit):
            if wanted is not None and address not in wanted:
                continue
            if address.group != group:
                group, block = address.group, layout.group(problem.matrix, address.group)
            slots = self._slots(address, block, problem)
            yield pack_upload(address, self._encrypt(slots, shape_of(self._circuit, address)))

    def _slots(
        self, address: Address, block: Complex128Array, problem: Problem
    ) -> Complex128Array | Float64Array:
        """Return what the ciphertext of an address holds."""
        layout = self._circuit.layout
        if address.kind is Content.FEATURES:
            return layout.diagonal(block, address.index)
        if address.kind is Content.PENALTIES:
            return self._penalty_slots(problem, address.index)
        mine = self._circuit.classifiers_of(address.index)
        rows = problem.sample_weights[mine]
        if address.kind is Content.TARGETS:
            rows = rows * (0.5 - problem.targets[mine])
        return layout.spread_rows(rows, address.group)

    def _penalty_slots(self, problem: Problem, index: int) -> Float64Array:
        """Return half the sum, or half the difference, of the penalties that share a slot."""
        lanes = self._circuit.layout.lanes
        spread = self._circuit.layout.spread_weights(np.tile(problem.penalties, (lanes, 1)))
        first, second = spread.real, -spread.imag
        slots: Float64Array = (first - second if index else first + second) / 2
        return slots

    def _encrypt(self, slots: Complex128Array | Float64Array, shape: CiphertextShape) -> bytes:
        plaintext = self._seal.Plaintext()
        level = level_with(self._context, shape.primes)
        self._encoder.encode(slots.tolist(), level, shape.scale, plaintext)
        return seal_bytes(self._encryptor.encrypt_symmetric(plaintext))

    def encrypt_state(
        self, stretch: int, ahead: Float64Array, weights: Float64Array
    ) -> list[Message]:
        """Encrypt V (classifiers, columns) for a stretch, and W where its momentum needs it.

        Nothing for the stretch that begins from zero weights.
        """
        circuit = self._circuit
        steps = circuit.stretches[stretch]
        if steps.from_zero:
            return []
        shape, tables = ahead_shape(circuit, stretch, 0), [ahead]
        if circuit.needs_weights(steps):
            tables.append(weights)
        return [
            self._encrypt(circuit.layout.spread_weights(table[circuit.classifiers_of(n)]), shape)
            for table in tables
            for n in range(circuit.passes)
        ]

    def decrypt_state(
        self, stretch: int, replies: Sequence[Message]
    ) -> tuple[Float64Array, Float64Array | None]:
        """Decrypt the W a stretch ended with, and that of the step before where it was sent.

        Raises MessageError where a reply is no ciphertext of this training, or decrypts to what no
        weights are: of another key, tampered with, or out of range.
        """
        circuit = self._circuit
        before = circuit.returns_weights_before(circuit.stretches[stretch])
        if len(replies) != (1 + before) * circuit.passes:
            raise MessageError(
                f"{len(replies)} replies for the weights of {circuit.classifiers} classifiers, "
                f"expected {(1 + before) * circuit.passes}"
            )
        with parsed_as_hostile("trained weights"):
            last = self._decrypt_all(replies[: circuit.passes], weights_shape(circuit, stretch))
            if not before:
                return last, None
            shape = weights_shape(circuit, stretch, 1)
            return last, self._decrypt_all(replies[circuit.passes :], shape)

    def _decrypt_all(self, replies: Sequence[Message], shape: CiphertextShape) -> Float64Array:
        lanes = [self._decrypt(reply, shape) for reply in replies]
        return np.concatenate(lanes)[: self._circuit.classifiers]

    def _decrypt(self, reply: Message, shape: CiphertextShape) -> Float64Array:
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

"""Training on ciphertexts: what the server process does, with evaluation keys and nothing secret.

A round takes V and W of every classifier, freshly encrypted, and gives back both a few iterations
later. Between rounds the server keeps the data alone, so a lost server costs no iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.clock import Clock
from common.errors import CellError, MessageError
from common.types import Message, Stage, UInt8Array
from fhe_baseline.ckks.ciphertexts import CiphertextShape
from fhe_baseline.ckks.context import explain_seal_error, galois_elements, import_tenseal
from fhe_baseline.ckks.serialization import load_seal, seal_bytes
from fhe_baseline.ckks.training.circuit import Circuit
from fhe_baseline.ckks.training.client import GALOIS_KEYS, RELINEARISATION_KEYS
from fhe_baseline.ckks.training.evaluation import StepEvaluator
from fhe_baseline.ckks.training.messages import (
    Address,
    Kind,
    addresses,
    unpack_round,
    unpack_upload,
)


class TrainingServer:
    """Holds the encrypted data of one training."""

    verbs: tuple[str, ...] = ("infer", "add", "iterate")

    def __init__(self, circuit: Circuit, arrays: Mapping[str, UInt8Array]) -> None:
        self._seal = import_tenseal().sealapi
        self._circuit = circuit
        self._data: dict[Address, Any] = {}
        self._steps = StepEvaluator(
            circuit, self._load_galois_keys(arrays), self._load_relinearisation_keys(arrays)
        )

    def _load_galois_keys(self, arrays: Mapping[str, UInt8Array]) -> Any:
        keys = self._seal.GaloisKeys()
        load_seal(keys, self._circuit.context, arrays[GALOIS_KEYS].tobytes(), "Galois keys")
        degree = self._circuit.parameters.degree
        rotations = self._circuit.layout.rotations()
        for step, element in zip(rotations, galois_elements(rotations, degree), strict=True):
            if not keys.has_key(element):
                raise MessageError(f"the Galois keys lack the one for rotations by {step}")
        if not keys.has_key(2 * degree - 1):
            raise MessageError("the Galois keys lack the one for conjugation")
        return keys

    def _load_relinearisation_keys(self, arrays: Mapping[str, UInt8Array]) -> Any:
        data = arrays[RELINEARISATION_KEYS].tobytes()
        keys = load_seal(
            self._seal.RelinKeys(), self._circuit.context, data, "relinearisation keys"
        )
        if not keys.has_key(2):
            raise MessageError("the relinearisation keys lack the one for products")
        return keys

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Refuse: this server trains."""
        raise CellError("a training server holds no head to classify with")

    def add(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take encrypted data; the last upload to an address counts. Answers nothing."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            for message in messages:
                address, ciphertext = unpack_upload(message, self._circuit)
                self._data[address] = self._shape(address).load(ciphertext, str(address.kind))
        return []

    def _shape(self, address: Address) -> CiphertextShape:
        circuit, scales = self._circuit, self._circuit.scales
        top = scales.steps[0].primes
        step = address.index % circuit.per_round
        primes, scale = {
            Kind.FORWARD: (top, scales.forward),
            Kind.BACKWARD: (circuit.residual_primes(0), scales.backward),
            Kind.SAMPLE_WEIGHTS: (top - 1, scales.sample_weights),
            Kind.TARGETS: (circuit.residual_primes(step), scales.steps[step].residual),
        }[address.kind]
        return CiphertextShape(circuit.context, circuit.parameters.degree, primes, scale)

    def iterate(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Run a round: header, V and W of every classifier in; V and W out."""
        circuit = self._circuit
        missing = sum(1 for address in addresses(circuit) if address not in self._data)
        if missing:
            raise MessageError(f"{missing} ciphertexts of the data have not been uploaded")
        if len(messages) != 1 + 2 * circuit.classifiers:
            raise MessageError(f"{len(messages)} messages to a round, expected a header, V and W")
        first, count = unpack_round(messages[0], circuit)
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            ahead, weights = self._load_state(messages[1:])
        with clock.stage(Stage.EVALUATE, items=count):
            try:
                ends = [
                    self._steps.round(self._data, classifier, v, w, first, count)
                    for classifier, (v, w) in enumerate(zip(ahead, weights, strict=True))
                ]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, circuit.parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages) - 1):
            return [seal_bytes(v) for v, _ in ends] + [seal_bytes(w) for _, w in ends]

    def _load_state(self, messages: list[Message]) -> tuple[list[Any], list[Any]]:
        circuit, scales = self._circuit, self._circuit.scales
        degree, context = circuit.parameters.degree, circuit.context
        first = scales.steps[0]
        fresh = CiphertextShape(context, degree, first.primes, first.weights)
        kept = CiphertextShape(context, degree, circuit.result_primes(0), scales.result)
        return (
            [fresh.load(message, "V") for message in messages[: circuit.classifiers]],
            [kept.load(message, "W") for message in messages[circuit.classifiers :]],
        )

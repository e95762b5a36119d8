"""Training on ciphertexts: what the server process does, with evaluation keys and nothing secret.

A round takes V and W of every classifier, freshly encrypted, and gives back both a few iterations
later. Between rounds the server keeps the data alone, so a lost server costs no iteration.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, MessageError
from he_compare.common.types import Message, Stage
from he_compare.fhe_baseline.ckks.context import explain_seal_error
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.circuit import momentum
from he_compare.fhe_baseline.ckks.training.descent import Descent
from he_compare.fhe_baseline.ckks.training.gradient import GradientEvaluator
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    addresses,
    ahead_shape,
    part_shape,
    shape_of,
    unpack_round,
    unpack_upload,
    weights_shape,
)
from he_compare.fhe_baseline.ckks.training.public_material import load_keys, processes_of
from he_compare.fhe_baseline.ckks.training.shares import groups_in, wants
from he_compare.fhe_baseline.ckks.training.worker_pool import Pool


class CkksTrainingServer:
    """Holds the encrypted data of one training; has evaluation keys and nothing secret."""

    verbs: tuple[str, ...] = ("infer", "add", "iterate")

    def __init__(self, material: bytes) -> None:
        circuit, galois_keys, relinearisation_keys = load_keys(material)
        self._circuit = circuit
        self._gradients = GradientEvaluator(circuit, galois_keys, relinearisation_keys)
        self._descent = Descent(circuit, galois_keys, relinearisation_keys)
        self._pool = Pool(circuit, material, processes_of(material))
        self._received: set[Address] = set()
        self._data: dict[Address, Any] = {}

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Refuse: this server trains."""
        raise CellError("a training server holds no head to classify with")

    def add(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take encrypted data; the last upload to an address counts. Answers nothing."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            for message in messages:
                self._add(message)
        return []

    def _add(self, message: Message) -> None:
        address, data = unpack_upload(message, self._circuit)
        ciphertext = shape_of(self._circuit, address).load(data, str(address.kind))
        if wants(self._pool.share, address, self._circuit):
            self._data[address] = ciphertext
        self._pool.add(address, message)
        self._received.add(address)

    def iterate(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Run a round: header, V and W of every classifier in; V and W out."""
        circuit = self._circuit
        missing = sum(1 for address in addresses(circuit) if address not in self._received)
        if missing:
            raise MessageError(f"{missing} ciphertexts of the data have not been uploaded")
        if len(messages) != 1 + 2 * circuit.classifiers:
            raise MessageError(f"{len(messages)} messages for a round, expected a header, V and W")
        first, count = unpack_round(messages[0], circuit)
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            cut = 1 + circuit.classifiers
            ahead = [ahead_shape(circuit, 0).load(m, "V") for m in messages[1:cut]]
            weights = [weights_shape(circuit).load(m, "W") for m in messages[cut:]]
        with clock.stage(Stage.EVALUATE, items=count):
            try:
                self._run(ahead, weights, first, count)
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, circuit.parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages) - 1):
            return [seal_bytes(ciphertext) for ciphertext in (*ahead, *weights)]

    def _run(self, ahead: list[Any], weights: list[Any], first: int, count: int) -> None:
        """Replace V and W of every classifier by those ``count`` iterations later."""
        for step, eta in enumerate(momentum(first + count - 1)[first - 1 :]):
            gradients = self._gradient(ahead, step, self._circuit.batch_of(first + step))
            for classifier, gradient in enumerate(gradients):
                ahead[classifier], weights[classifier] = self._descent.advance(
                    ahead[classifier],
                    weights[classifier],
                    gradient,
                    eta,
                    step,
                    last=step + 1 == count,
                )
        weights[:] = [self._descent.ended(ciphertext) for ciphertext in weights]

    def _gradient(self, ahead: list[Any], step: int, batch: int) -> list[Any]:
        """Return every classifier's gradient over a batch, summed over all processes' shares."""
        if self._pool.size:
            self._pool.ask(step, batch, [seal_bytes(ciphertext) for ciphertext in ahead])
        parts: list[Any] = [None] * len(ahead)
        for classifier, weights in enumerate(ahead):
            groups = groups_in(self._pool.share, self._circuit, batch, classifier)
            if groups:
                parts[classifier] = self._gradients.partial_gradient(
                    self._data, classifier, groups, weights, step
                )
        for answer in self._pool.answers():
            for classifier, message in enumerate(answer):
                if message:
                    part = part_shape(self._circuit, step).load(message, "partial gradient")
                    parts[classifier] = self._gradients.summed(parts[classifier], part)
        return [self._gradients.folded(part) for part in parts]

    def close(self) -> None:
        """End the further processes."""
        self._pool.close()

"""Training on ciphertexts: what the server process does, with evaluation keys and nothing secret.

Keys and data come in parts. A stretch of steps takes V of every classifier (nothing, where it
begins from zero weights) and gives back W. Between stretches the server keeps the data alone, so a
lost server costs no step.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.types import Message, Stage
from he_compare.fhe_baseline.ckks.context import explain_seal_error
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.descent import Descent
from he_compare.fhe_baseline.ckks.training.gradient import GradientEvaluator
from he_compare.fhe_baseline.ckks.training.key_parts import KeyRing
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    Content,
    addresses,
    ahead_shape,
    gradient_shape,
    logits_shape,
    pack_missing,
    shape_of,
    unpack_header,
    unpack_upload,
)
from he_compare.fhe_baseline.ckks.training.public_material import load_circuit, processes_of
from he_compare.fhe_baseline.ckks.training.worker import NO_PART
from he_compare.fhe_baseline.ckks.training.worker_pool import Pool


class CkksTrainingServer:
    """Holds the encrypted data of one training; has evaluation keys and nothing secret."""

    verbs: tuple[str, ...] = ("infer", "key", "add", "missing", "train")

    def __init__(self, material: bytes) -> None:
        circuit = load_circuit(material)
        self._circuit = circuit
        self._keys = KeyRing(circuit)
        self._data: dict[Address, Any] = {}
        self._gradients = GradientEvaluator(circuit, self._keys, self._data)
        self._descent = Descent(circuit, self._keys, self._data)
        self._pool = Pool(circuit, material, processes_of(material))
        self._received: set[Address] = set()

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Refuse: this server trains."""
        raise CellError("a training server holds no head to classify with")

    def key(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take evaluation keys, in any order. Answers nothing."""
        with (
            clock.stage(Stage.DESERIALIZE, items=len(messages)),
            parsed_as_hostile("an evaluation key"),
        ):
            for message in messages:
                self._keys.add(message)
                self._pool.key(message)
        return []

    def add(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Take encrypted data; the last upload to an address counts. Answers nothing."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)), parsed_as_hostile("an upload"):
            for message in messages:
                self._add(message)
        return []

    def _add(self, message: Message) -> None:
        address, data = unpack_upload(message, self._circuit)
        ciphertext = shape_of(self._circuit, address).load(data, str(address.kind))
        share = self._pool.share
        if share.wants(address) or address.kind is Content.PENALTIES or share.divided:
            self._data[address] = ciphertext
        self._pool.add(address, message)
        self._received.add(address)

    def missing(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Say which keys and data have not come, so that an upload can be resumed.

        Raises CellError where a worker ended: nothing that is sent again would help.
        """
        self._pool.require_sound()
        return [pack_missing(self._keys.missing(), self._missing_data())]

    def _missing_data(self) -> list[Address]:
        return [one for one in addresses(self._circuit) if one not in self._received]

    def train(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Run a stretch of steps: header, V and where it is needed W in; W out."""
        self._keys.require_all()
        missing = self._missing_data()
        if missing:
            raise MessageError(f"{len(missing)} ciphertexts of the data have not been uploaded")
        if not messages:
            raise MessageError("a stretch of steps needs a header")
        number, stretch = unpack_header(messages[0], self._circuit)
        with clock.stage(Stage.DESERIALIZE, items=len(messages)), parsed_as_hostile("weights"):
            ahead, weights = self._state(number, messages[1:])
        with clock.stage(Stage.EVALUATE, items=stretch.count):
            try:
                results = self._run(number, ahead, weights)
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._circuit.parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(results)):
            return [seal_bytes(ciphertext) for ciphertext in results]

    def _state(self, number: int, messages: list[Message]) -> tuple[list[Any], list[Any]]:
        """Return V and W of every ciphertext, None where they are zero or not needed."""
        circuit = self._circuit
        stretch, nothing = circuit.stretches[number], [None] * circuit.passes
        kinds = 0 if stretch.from_zero else 1 + circuit.needs_weights(stretch)
        if len(messages) != kinds * circuit.passes:
            raise MessageError(
                f"{len(messages)} ciphertexts of weights for stretch {number} of the steps, "
                f"expected {kinds * circuit.passes}"
            )
        shape = ahead_shape(circuit, number, 0) if kinds else None
        loaded = [shape.load(message, "weights") for message in messages] if shape else []
        ahead = loaded[: circuit.passes] or list(nothing)
        return ahead, loaded[circuit.passes :] or list(nothing)

    def _run(self, number: int, ahead: list[Any], weights: list[Any]) -> list[Any]:
        """Return W after a stretch, then that of the step before where the client needs it."""
        circuit = self._circuit
        stretch, before = circuit.stretches[number], weights
        for step in range(stretch.count):
            gradients = self._gradient(ahead, number, step)
            before = list(weights)
            for place, gradient in enumerate(gradients):
                ahead[place], weights[place] = self._descent.advance(
                    ahead[place], weights[place], gradient, number, step
                )
        return [*weights, *(before if circuit.returns_weights_before(stretch) else [])]

    def _gradient(self, ahead: list[Any], stretch: int, step: int) -> list[Any]:
        """Return every gradient over a step's batch, summed over all processes' shares."""
        batch = self._circuit.batch_of(self._circuit.stretches[stretch].first + step)
        compute = self._divided if self._pool.share.divided else self._shared_out
        parts = compute(ahead, (stretch, step, batch))
        return [self._gradients.folded(part, stretch, step) for part in parts]

    def _shared_out(self, ahead: list[Any], where: tuple[int, int, int]) -> list[Any]:
        """Have every process compute whole units."""
        stretch, step, batch = where
        if self._pool.size:
            self._pool.ask("gradients", where, [_bytes(one) for one in ahead])
        parts: list[Any] = [None] * len(ahead)
        for number, weights in enumerate(ahead):
            groups = self._pool.share.groups(batch, number)
            if groups:
                parts[number] = self._gradients.partial_gradient(
                    number, groups, weights, stretch, step
                )
        return self._with_answers(parts, stretch, step)

    def _divided(self, ahead: list[Any], where: tuple[int, int, int]) -> list[Any]:
        """Have every process compute a part of every unit: logits first, then the gradient."""
        stretch, step, batch = where
        groups = list(self._circuit.layout.groups_of(batch))
        logits = self._logits(ahead, where, groups)
        residuals = [
            self._gradients.residual(
                number, group, logits[number * len(groups) + place], *where[:2]
            )
            for number in range(len(ahead))
            for place, group in enumerate(groups)
        ]
        self._pool.ask("backward", where, [seal_bytes(one) for one in residuals])
        parts = []
        for number in range(len(ahead)):
            mine = residuals[number * len(groups) : (number + 1) * len(groups)]
            parts.append(self._gradients.backward(groups, mine, self._pool.share.babies))
        return self._with_answers(parts, stretch, step)

    def _logits(
        self, ahead: list[Any], where: tuple[int, int, int], groups: list[int]
    ) -> list[Any]:
        """Return X V of every ciphertext and group, before the rescale; None at zero weights."""
        stretch, step, _ = where
        if ahead[0] is None:
            return [None] * (len(ahead) * len(groups))
        self._pool.ask("forward", where, [seal_bytes(one) for one in ahead])
        parts = []
        for weights in ahead:
            turned = self._gradients.turned_weights(weights)
            giants = self._pool.share.giants
            for group in groups:
                parts.append(self._gradients.forward(group, turned, giants, stretch, step))
        shape = logits_shape(self._circuit, stretch, step)
        for answer in self._pool.answers():
            for place, message in enumerate(answer):
                if message != NO_PART:
                    part = shape.load(message, "part of the logits")
                    parts[place] = self._gradients.summed(parts[place], part)
        return parts

    def _with_answers(self, parts: list[Any], stretch: int, step: int) -> list[Any]:
        """Add the workers' parts of the gradients."""
        shape = gradient_shape(self._circuit, stretch, step)
        for answer in self._pool.answers():
            for place, message in enumerate(answer):
                if message != NO_PART:
                    part = shape.load(message, "part of the gradient")
                    parts[place] = self._gradients.summed(parts[place], part)
        return parts

    def close(self) -> None:
        """End the further processes."""
        self._pool.close()


def _bytes(ciphertext: Any) -> Message:
    return NO_PART if ciphertext is None else seal_bytes(ciphertext)

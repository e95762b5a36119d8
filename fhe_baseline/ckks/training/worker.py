"""A further process of a training server: computes its share of the gradient.

``python -m he_compare.fhe_baseline.ckks.training.worker``, started by ``worker_pool`` with public
material as its first message. Frames on standard input and output are a length and the framing of
the service: no pickle. It ends when its input closes.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, BinaryIO

from he_compare.common.closed_memory import end_with_parent
from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.gradient import GradientEvaluator
from he_compare.fhe_baseline.ckks.training.key_parts import KeyRing
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    ahead_shape,
    residual_shape,
    shape_of,
    unpack_upload,
)
from he_compare.fhe_baseline.ckks.training.public_material import load_circuit
from he_compare.fhe_baseline.ckks.training.shares import ProcessShare

LENGTH = struct.Struct("<Q")
NO_PART = b""


def send(stream: BinaryIO, messages: list[Message]) -> None:
    """Write one frame."""
    body = join(messages)
    stream.write(LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def receive(stream: BinaryIO) -> list[Message] | None:
    """Read one frame; None where the stream ended. Raises MessageError on half a frame."""
    head = stream.read(LENGTH.size)
    if not head:
        return None
    body = stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
    return split(body)


class Worker:
    """Holds the data of its share and answers with parts of logits and gradients."""

    def __init__(self, material: bytes, number: int, processes: int) -> None:
        self._circuit = load_circuit(material)
        self._keys = KeyRing(self._circuit)
        self._data: dict[Address, Any] = {}
        self._gradients = GradientEvaluator(self._circuit, self._keys, self._data)
        self._share = ProcessShare(self._circuit, number, processes)

    def key(self, message: Message) -> None:
        """Take one evaluation key."""
        self._keys.add(message)

    def add(self, message: Message) -> None:
        """Take one ciphertext of the data."""
        address, ciphertext = unpack_upload(message, self._circuit)
        self._data[address] = shape_of(self._circuit, address).load(ciphertext, str(address.kind))

    def gradients(self, where: tuple[int, int, int], ahead: list[Message]) -> list[Message]:
        """Return the partial gradient for each V, empty where this share has no part in it."""
        stretch, step, batch = where
        replies = []
        for number, message in enumerate(ahead):
            groups = self._share.groups(batch, number)
            if not groups:
                replies.append(NO_PART)
                continue
            weights = self._loaded_ahead(message, stretch, step)
            part = self._gradients.partial_gradient(number, groups, weights, stretch, step)
            replies.append(seal_bytes(part))
        return replies

    def _loaded_ahead(self, message: Message, stretch: int, step: int) -> Any:
        if message == NO_PART:
            return None
        return ahead_shape(self._circuit, stretch, step).load(message, "V")

    def forward(self, where: tuple[int, int, int], ahead: list[Message]) -> list[Message]:
        """Return this share's part of the logits, for each V and group of the batch."""
        stretch, step, batch = where
        replies = []
        for message in ahead:
            turned = self._gradients.turned_weights(self._loaded_ahead(message, stretch, step))
            for group in self._circuit.layout.groups_of(batch):
                part = self._gradients.forward(group, turned, self._share.giants, stretch, step)
                replies.append(NO_PART if part is None else seal_bytes(part))
        return replies

    def backward(self, where: tuple[int, int, int], residuals: list[Message]) -> list[Message]:
        """Return this share's part of each gradient, from the residuals of every group."""
        stretch, step, batch = where
        groups = list(self._circuit.layout.groups_of(batch))
        shape = residual_shape(self._circuit, stretch, step)
        replies = []
        for number in range(self._circuit.passes):
            mine = residuals[number * len(groups) : (number + 1) * len(groups)]
            loaded = [shape.load(message, "residual") for message in mine]
            part = self._gradients.backward(groups, loaded, self._share.babies)
            replies.append(NO_PART if part is None else seal_bytes(part))
        return replies


def main() -> None:
    """Serve until standard input closes."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    first = receive(requests)
    if first is None:
        return
    material, number, processes = first
    worker = Worker(material, int(number), int(processes))
    computations = {
        b"gradients": worker.gradients,
        b"forward": worker.forward,
        b"backward": worker.backward,
    }
    while (frame := receive(requests)) is not None:
        verb, *messages = frame
        if verb == b"key":
            worker.key(messages[0])
        elif verb == b"add":
            worker.add(messages[0])
        elif verb in computations:
            stretch, step, batch = (int(message) for message in messages[:3])
            send(answers, computations[verb]((stretch, step, batch), messages[3:]))
        else:
            raise MessageError(f"unknown verb {verb!r}")


if __name__ == "__main__":
    main()

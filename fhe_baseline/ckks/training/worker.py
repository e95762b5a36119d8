"""A second process of a training server: computes its share of the gradient.

``python -m he_compare.fhe_baseline.ckks.training.worker``, started by ``worker_pool`` with public
material as its first message. Frames on standard input and output are a length and the framing of
the service: no pickle. It ends when its input closes.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, BinaryIO

from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.serialization import seal_bytes
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    ahead_shape,
    shape_of,
    unpack_upload,
)
from he_compare.fhe_baseline.ckks.training.shares import Unit, groups_in, share_of

LENGTH = struct.Struct("<Q")


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
    """Holds the data of its units and answers with partial gradients."""

    def __init__(self, material: bytes, number: int, processes: int) -> None:
        from he_compare.fhe_baseline.ckks.training.public_material import load_evaluator

        self._circuit, self._evaluator = load_evaluator(material)
        self._units: list[Unit] = share_of(self._circuit, number, processes)
        self._data: dict[Address, Any] = {}

    def add(self, message: Message) -> None:
        """Take one ciphertext of the data."""
        address, ciphertext = unpack_upload(message, self._circuit)
        self._data[address] = shape_of(self._circuit, address).load(ciphertext, str(address.kind))

    def gradients(self, step: int, batch: int, ahead: list[Message]) -> list[Message]:
        """Return the partial gradient of each classifier, empty where it has no part in it."""
        shape = ahead_shape(self._circuit, step)
        replies = []
        for classifier, message in enumerate(ahead):
            groups = groups_in(self._units, self._circuit, batch, classifier)
            if not groups:
                replies.append(b"")
                continue
            weights = shape.load(message, "V")
            partial = self._evaluator.partial_gradient(
                self._data, classifier, groups, weights, step
            )
            replies.append(seal_bytes(partial))
        return replies


def main() -> None:
    """Serve until standard input closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    first = receive(requests)
    if first is None:
        return
    material, number, processes = first
    worker = Worker(material, int(number), int(processes))
    while (frame := receive(requests)) is not None:
        verb, *messages = frame
        if verb == b"add":
            worker.add(messages[0])
        elif verb == b"gradients":
            send(answers, worker.gradients(int(messages[0]), int(messages[1]), messages[2:]))
        else:
            raise MessageError(f"unknown verb {verb!r}")


if __name__ == "__main__":
    main()

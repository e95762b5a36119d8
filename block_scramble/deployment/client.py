"""The client half: encrypts images under its key and reads the class scores the server returns.

Nothing but ciphertexts, nonces, the number of the client and (for training) labels leaves it. Two
clients with keys of their own are one object here, which deals images out between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.encryptor import Encryptor
from he_compare.block_scramble.keyed_cipher import NONCE_BYTES, CiphertextArray
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import (
    Float32Array,
    Float64Array,
    IntArray,
    Message,
    Split,
    Stage,
    UInt8Array,
)


class BlockScrambleClient:
    """Holds the keyed ciphers, one for each client.

    ``owner``: which client an image, uint8 (h, w, c), belongs to; not asked where there is one.
    """

    def __init__(
        self,
        encryptors: Sequence[Encryptor],
        classes: int,
        owner: Callable[[UInt8Array], int] = lambda image: 0,
    ) -> None:
        self._encryptors = encryptors
        self._classes = classes
        self._owner = owner

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Encrypt uint8 (n, size, size, 3): one message per image."""
        if not len(images):
            return []
        if len(self._encryptors) == 1:
            return self._protect(images, 0, clock)
        owners = np.array([self._owner(image) for image in images])
        messages: dict[int, Message] = {}
        for client in range(len(self._encryptors)):
            positions = np.flatnonzero(owners == client)
            if len(positions):
                sent = self._protect(images[positions], client, clock)
                messages |= dict(zip(positions.tolist(), sent, strict=True))
        return [messages[i] for i in range(len(images))]

    def _protect(self, images: UInt8Array, client: int, clock: Clock) -> list[Message]:
        with clock.stage(Stage.ENCRYPT, items=len(images)):
            ciphertexts, nonces = self._encryptors[client].encrypt(images)
        with clock.stage(Stage.SERIALIZE, items=len(images)):
            metadata = _metadata(nonces, len(images))
            if len(self._encryptors) > 1:
                metadata = [fields | {"client": str(client)} for fields in metadata]
            return [
                pack({"ciphertext": ciphertext}, fields)
                for ciphertext, fields in zip(ciphertexts, metadata, strict=True)
            ]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Read class scores (logits), float64 (n, classes). Raises MessageError."""
        if not replies:
            return np.zeros((0, self._classes))
        with clock.stage(Stage.DECODE, items=len(replies)):
            return np.stack([self._read(reply) for reply in replies]).astype(np.float64)

    def _read(self, reply: Message) -> Float32Array:
        arrays, _ = unpack(reply, expect={"logits": ("float32", 1)})
        logits = arrays["logits"]
        if len(logits) != self._classes or not np.isfinite(logits).all():
            raise MessageError(f"a reply has logits {logits.shape}, expected {self._classes}")
        return logits


def _metadata(nonces: Sequence[bytes], count: int) -> list[dict[str, str]]:
    return [{"nonce": nonce.hex()} for nonce in nonces] or [{} for _ in range(count)]


def labelled_message(
    split: Split, ciphertexts: CiphertextArray, nonces: Sequence[bytes], labels: IntArray
) -> Message:
    """Pack a chunk of training or validation ciphertexts, (n, h, w, 3), with their labels."""
    packed_nonces = np.frombuffer(b"".join(nonces), np.uint8).reshape(-1, NONCE_BYTES)
    arrays: dict[str, npt.NDArray[Any]] = {
        "ciphertexts": ciphertexts,
        "labels": labels,
        "nonces": packed_nonces,
    }
    return pack(arrays, {"split": split.value})

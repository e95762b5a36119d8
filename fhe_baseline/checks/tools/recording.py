"""Where decrypted results go: the bytes that cross the boundary, recorded and searched.

A recording handle sits between client and server and keeps every message in order. After the
owner has decrypted something, whatever goes to the server must be a fresh encryption: no decrypted
number in it, no reply sent back, no ciphertext twice, and encryption noise in every state.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ServerHandle
from he_compare.common.types import Float64Array, Message
from he_compare.fhe_baseline.ckks.context import import_tenseal
from he_compare.fhe_baseline.ckks.modular import Int64Array, coefficients

LEAST_DIGITS = 8


@dataclass
class Recorder:
    """Passes calls on to a server and keeps what went each way, call by call."""

    server: ServerHandle
    sent: list[list[Message]] = field(default_factory=list)
    received: list[list[Message]] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.pid = self.server.pid

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """Record both directions."""
        self.verbs.append(verb)
        self.sent.append(list(messages))
        replies = self.server.call(verb, messages, clock)
        self.received.append(list(replies))
        return replies

    def close(self) -> None:
        """Close the server."""
        self.server.close()


@dataclass(frozen=True)
class Flow:
    """What was found in the bytes that went to the server.

    ``clear_copies``: decrypted numbers found as they are. ``sent_back``: replies among what was
    sent. ``repeated``: messages sent more than once.
    """

    decrypted: int
    messages: int
    bytes: int
    clear_copies: int
    sent_back: int
    repeated: int

    @property
    def clean(self) -> bool:
        """Nothing decrypted left the owner."""
        return not (self.clear_copies or self.sent_back or self.repeated)


def trace(sent: Sequence[Message], received: Iterable[Message], decrypted: Float64Array) -> Flow:
    """Look for decrypted values (any shape) and for returned ciphertexts in what was sent.

    Headers (shorter than a ciphertext can be) may repeat; ciphertexts may not.
    """
    replies = set(received)
    ciphertexts = [message for message in sent if len(message) > 1000]
    return Flow(
        decrypted=decrypted.size,
        messages=len(sent),
        bytes=sum(map(len, sent)),
        clear_copies=clear_copies(decrypted, sent),
        sent_back=sum(message in replies for message in sent),
        repeated=len(ciphertexts) - len(set(ciphertexts)),
    )


def clear_copies(values: Float64Array, messages: Sequence[Message]) -> int:
    """Count the values that occur in messages: as doubles of either byte order, or in decimals."""
    everything = b"\x00\xff".join(messages)
    return sum(
        any(form in everything for form in _forms(float(value)))
        for value in values.ravel()
        if value not in (0.0, 1.0, -1.0)
    )


def _forms(value: float) -> list[bytes]:
    texts = [repr(value), f"{value:.10g}", f"{value:.10f}"]
    return [struct.pack("<d", value), struct.pack(">d", value)] + [
        text.encode() for text in texts if len(text) >= LEAST_DIGITS
    ]


def encryption_noise(
    context: Any, secret_key: Any, ciphertext: Any, slots: Sequence[complex] | Sequence[float]
) -> Int64Array:
    """Return what a ciphertext holds beside the encoding of ``slots``: its noise, int64 (N,).

    Needs the secret key: it is the owner's own look at what left. Zero would be a plaintext in
    disguise; SEAL's fresh noise has a deviation of 3.24.
    """
    seal = import_tenseal().sealapi
    plaintext, rest, left = seal.Plaintext(), seal.Ciphertext(), seal.Plaintext()
    seal.CKKSEncoder(context).encode(
        list(slots), ciphertext.parms_id(), ciphertext.scale, plaintext
    )
    seal.Evaluator(context).sub_plain(ciphertext, plaintext, rest)
    seal.Decryptor(context, secret_key).decrypt(rest, left)
    degree = ciphertext.poly_modulus_degree()
    values = np.fromiter((left[i] for i in range(degree)), np.uint64, degree)
    level = context.get_context_data(ciphertext.parms_id())
    return coefficients(values, int(level.parms().coeff_modulus()[0].value()))

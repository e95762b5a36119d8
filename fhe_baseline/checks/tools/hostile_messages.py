"""Messages an active adversary sends: cut, flipped, replayed, foreign, transparent.

Each goes to the running server process; the results are distinguished: refused with a reason, an
internal error, the end of the process that had to answer it, a server that is gone, or an answer,
and then what the client makes of the answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, ServerReplacedError, ServiceError
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float64Array, Message, Side
from he_compare.fhe_baseline.checks.tools.victim import Victim
from he_compare.fhe_baseline.ckks.context import import_tenseal, new_keys, seal_context
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext, seal_bytes
from he_compare.fhe_baseline.tfhe.frames import ValueFrame

FLIPS = 60
SAME = 1e-2


class Fate(StrEnum):
    """What became of a hostile message."""

    REFUSED = "refused with a reason"
    INTERNAL_ERROR = "internal error"
    REPLACED = "ended the server's process, which was replaced"
    DIED = "the server is gone"
    ANSWERED_NOTICED = "answered, and the client refuses the reply"
    ANSWERED_GARBAGE = "answered, decrypts to other scores"
    ANSWERED_SAME = "answered, decrypts to the right scores"


@dataclass(frozen=True)
class Hostile:
    """A message and what was done to it."""

    kind: str
    message: Message


@dataclass
class Bombardment:
    """How many messages of each kind met which fate, and whether the server lives."""

    fates: dict[str, Counter[Fate]]
    alive: bool = True
    largest_shift: float = 0.0

    def count(self, fate: Fate) -> int:
        """Return how many met a fate, over all kinds."""
        return sum(counter[fate] for counter in self.fates.values())


def hostile_messages(victim: Victim, random: np.random.Generator) -> Iterator[Hostile]:
    """Yield every kind of hostile message that can be made for this victim."""
    upload = victim.uploads(1)[0]
    for length in sorted({0, 1, 8, 16, 17, 100, len(upload) // 2, len(upload) - 1}):
        yield Hostile("truncated", upload[:length])
    yield Hostile("bytes appended", upload + b"tail")
    for junk in (b"\x00" * 64, b"\xff" * 5000, random.bytes(50_000)):
        yield Hostile("no ciphertext", junk)
    for number in range(FLIPS):
        reach = len(upload) if number % 2 else min(len(upload), 200)
        yield Hostile("one bit flipped", flipped(upload, reach, random))
    if victim.plan is not None:
        yield Hostile("transparent", transparent(victim.plan.parameters))
        yield Hostile("of other parameters", foreign(victim.plan.parameters))
    yield Hostile("replayed", upload)


def flipped(message: Message, reach: int, random: np.random.Generator) -> Message:
    """Return a message with one bit of its first ``reach`` bytes flipped."""
    changed = bytearray(message)
    changed[int(random.integers(reach))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def transparent(parameters: Any) -> Message:
    """Return a "ciphertext" whose polynomials are zero: it decrypts under every key."""
    seal = import_tenseal().sealapi
    context = seal_context(parameters)
    level = context.first_parms_id()
    ciphertext = seal.Ciphertext(context, level, 2)
    ciphertext.resize(context, level, 2)
    ciphertext.scale = 2.0**parameters.scale_bits
    return seal_bytes(ciphertext)


def foreign(parameters: Any) -> Message:
    """Return a whole ciphertext of another ring."""
    from he_compare.fhe_baseline.ckks.parameters import parameter_set

    other = parameter_set("n4096" if parameters.degree != 4096 else "n8192-160")
    seal = import_tenseal().sealapi
    context = seal_context(other)
    plaintext = seal.Plaintext()
    seal.CKKSEncoder(context).encode([1.0], 2.0**other.scale_bits, plaintext)
    encryptor = seal.Encryptor(context, new_keys(context).secret_key())
    return seal_bytes(encryptor.encrypt_symmetric(plaintext))


def bombard(victim: Victim, random: np.random.Generator) -> Bombardment:
    """Send every hostile message to a fresh server process; a good one after each kind."""
    result = Bombardment({})
    right = victim.reveal(_ask(server := victim.serve(), victim.uploads(1)))
    try:
        last = ""
        for hostile in hostile_messages(victim, random):
            if last and hostile.kind != last and not _answers(server, victim, right):
                result.alive = False
                break
            last = hostile.kind
            fate, shift = _fate(server, victim, hostile.message, right)
            result.fates.setdefault(hostile.kind, Counter())[fate] += 1
            result.largest_shift = max(result.largest_shift, shift)
            if fate is Fate.DIED:
                result.alive = False
                break
        result.alive = result.alive and _answers(server, victim, right)
    finally:
        server.close()
    return result


def _ask(server: ServerProcess, messages: list[Message]) -> list[Message]:
    return server.call("infer", messages, Clock(Side.CLIENT))


def _answers(server: ServerProcess, victim: Victim, right: Float64Array) -> bool:
    try:
        scores = victim.reveal(_ask(server, victim.uploads(1)))
    except (ServiceError, MessageError):
        return False
    return bool(np.abs(scores - right).max() < SAME)


def _fate(
    server: ServerProcess, victim: Victim, message: Message, right: Float64Array
) -> tuple[Fate, float]:
    try:
        replies = _ask(server, [message])
    except ServerReplacedError:
        return Fate.REPLACED, 0.0
    except ServiceError as error:
        status = re.search(r"\((\d{3})\)", str(error))
        if status is None:
            return Fate.DIED, 0.0
        return (Fate.REFUSED if status[1] in ("400", "422") else Fate.INTERNAL_ERROR), 0.0
    try:
        scores = victim.reveal(replies)
    except MessageError:
        return Fate.ANSWERED_NOTICED, 0.0
    shift = float(np.abs(scores - right).max())
    return (Fate.ANSWERED_SAME if shift < SAME else Fate.ANSWERED_GARBAGE), shift


def shifted_reply(reply: Message, parameters: Any, shift: list[float]) -> Message:
    """Return a CKKS reply with ``shift`` added to its first slots: no key is needed for it."""
    seal = import_tenseal().sealapi
    context = seal_context(parameters)
    ciphertext = load_ciphertext(seal.Ciphertext(), context, reply, "reply")
    plaintext = seal.Plaintext()
    seal.CKKSEncoder(context).encode(shift, ciphertext.parms_id(), ciphertext.scale, plaintext)
    seal.Evaluator(context).add_plain_inplace(ciphertext, plaintext)
    return seal_bytes(ciphertext)


def shifted_lwe_reply(reply: Message, frame: ValueFrame, sign: int = 1) -> Message:
    """Return a TFHE reply with an eighth of the torus added to its last body: likewise.

    Scores are encoded in a half of the torus around zero. An eighth is half of what a score may
    reach on either side: it moves every score that lies within that past zero, and wraps none
    around. ``sign``: -1 to subtract. ``frame``: where the reply's numbers lie, which the circuit
    fixes and anybody can learn.
    """
    end = len(frame.before) + frame.payload_bytes
    body = int.from_bytes(reply[end - 8 : end], "little")
    moved = (body + sign * (1 << 61)) % (1 << 64)
    return reply[: end - 8] + moved.to_bytes(8, "little") + reply[end:]

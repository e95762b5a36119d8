"""What crosses the boundary while training: addressed ciphertexts, and the header of a round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.training.circuit import Circuit

CIPHERTEXT = "ciphertext"
MAX_ITERATIONS = 1000


class Content(StrEnum):
    """What an uploaded ciphertext holds."""

    FORWARD = "forward"
    BACKWARD = "backward"
    SAMPLE_WEIGHTS = "sample weights"
    TARGETS = "targets"


@dataclass(frozen=True)
class Address:
    """Where an upload belongs.

    ``index``: the diagonal; or the classifier; or, for targets, classifier times steps per round
    plus step.
    """

    kind: Content
    group: int
    index: int


def counts(circuit: Circuit) -> dict[Content, int]:
    """Return how many ciphertexts of each kind a group has."""
    return {
        Content.FORWARD: circuit.layout.period,
        Content.BACKWARD: circuit.layout.period,
        Content.SAMPLE_WEIGHTS: circuit.classifiers,
        Content.TARGETS: circuit.classifiers * circuit.per_round,
    }


def addresses(circuit: Circuit) -> Iterator[Address]:
    """Yield the address of every ciphertext that training needs."""
    for group in range(circuit.layout.groups):
        for kind, count in counts(circuit).items():
            for index in range(count):
                yield Address(kind, group, index)


def shape_of(circuit: Circuit, address: Address) -> CiphertextShape:
    """Return what an upload to this address must be."""
    scales = circuit.scales
    top, step = scales.steps[0].primes, address.index % circuit.per_round
    primes, scale = {
        Content.FORWARD: (top, scales.forward),
        Content.BACKWARD: (circuit.residual_primes(0), scales.backward),
        Content.SAMPLE_WEIGHTS: (top - 1, scales.sample_weights),
        Content.TARGETS: (circuit.residual_primes(step), scales.steps[step].residual),
    }[address.kind]
    return CiphertextShape(circuit.context, circuit.parameters.degree, primes, scale)


def ahead_shape(circuit: Circuit, step: int) -> CiphertextShape:
    """Return what V is at the beginning of a step."""
    scales = circuit.scales.steps[step]
    degree = circuit.parameters.degree
    return CiphertextShape(circuit.context, degree, scales.primes, scales.weights)


def weights_shape(circuit: Circuit) -> CiphertextShape:
    """Return what W is at the beginning of a round."""
    degree, primes = circuit.parameters.degree, circuit.result_primes(0)
    return CiphertextShape(circuit.context, degree, primes, circuit.scales.result)


def part_shape(circuit: Circuit, step: int) -> CiphertextShape:
    """Return what a part of the gradient is, before the fold."""
    scale = circuit.scales.steps[step].residual * circuit.scales.backward
    primes = circuit.residual_primes(step)
    return CiphertextShape(circuit.context, circuit.parameters.degree, primes, scale)


def pack_upload(address: Address, ciphertext: bytes) -> Message:
    """Join a ciphertext with its address."""
    return pack(
        {CIPHERTEXT: np.frombuffer(ciphertext, dtype=np.uint8)},
        {"kind": address.kind.value, "group": str(address.group), "index": str(address.index)},
    )


def unpack_upload(message: Message, circuit: Circuit) -> tuple[Address, bytes]:
    """Take an upload apart. Raises MessageError, also on an address the circuit does not have."""
    arrays, metadata = unpack(message, expect={CIPHERTEXT: ("uint8", 1)})
    try:
        kind = Content(metadata["kind"])
        address = Address(kind, int(metadata["group"]), int(metadata["index"]))
    except (KeyError, ValueError) as error:
        raise MessageError(f"an upload has no address: {error}") from None
    if not 0 <= address.group < circuit.layout.groups:
        raise MessageError(f"there is no group {address.group}")
    if not 0 <= address.index < counts(circuit)[kind]:
        raise MessageError(f"there is no ciphertext {address.index} of {kind}")
    return address, arrays[CIPHERTEXT].tobytes()


def pack_round(first: int, count: int) -> Message:
    """Return the header of a round: number of its first iteration, from 1, and how many."""
    return json.dumps({"first": first, "count": count}).encode()


def unpack_round(message: Message, circuit: Circuit) -> tuple[int, int]:
    """Parse the header of a round. Raises MessageError."""
    try:
        fields = json.loads(message)
        first, count = fields["first"], fields["count"]
    except (ValueError, KeyError, TypeError) as error:
        raise MessageError(f"not the header of a round: {error}") from None
    if type(first) is not int or type(count) is not int:
        raise MessageError("the header of a round must hold whole numbers")
    if not (1 <= first <= MAX_ITERATIONS and 1 <= count <= circuit.per_round):
        raise MessageError(
            f"a round of {count} iterations from number {first} is not one of 1 to "
            f"{circuit.per_round} from 1 to {MAX_ITERATIONS}"
        )
    return first, count

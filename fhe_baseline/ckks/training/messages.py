"""What crosses the boundary while training: addressed ciphertexts, and the header of a stretch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile, strict_json
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.steps import Stretch

CIPHERTEXT = "ciphertext"
WHOLE = re.compile(r"-?[0-9]{1,9}")


class Content(StrEnum):
    """What an uploaded ciphertext holds."""

    FEATURES = "features"
    SAMPLE_WEIGHTS = "sample weights"
    TARGETS = "targets"
    PENALTIES = "penalties"


@dataclass(frozen=True)
class Address:
    """Where an upload belongs.

    ``index``: the diagonal; or which ciphertext of V, for what differs by classifier; or, for
    penalties, 0 for half the sum of the two columns of a slot and 1 for half their difference.
    """

    kind: Content
    group: int
    index: int


def counts(circuit: Circuit) -> dict[Content, int]:
    """Return how many ciphertexts of each kind a group has; penalties are in the first alone."""
    return {
        Content.FEATURES: circuit.layout.period,
        Content.SAMPLE_WEIGHTS: circuit.passes,
        Content.TARGETS: circuit.passes,
        Content.PENALTIES: 2,
    }


def addresses(circuit: Circuit) -> Iterator[Address]:
    """Yield the address of every ciphertext that training needs."""
    for group in range(circuit.layout.groups):
        for kind, count in counts(circuit).items():
            for index in range(count if kind is not Content.PENALTIES or group == 0 else 0):
                yield Address(kind, group, index)


def shape_of(circuit: Circuit, address: Address) -> CiphertextShape:
    """Return what an upload to this address must be."""
    scales = circuit.scales
    scale = {
        Content.FEATURES: scales.features,
        Content.SAMPLE_WEIGHTS: scales.sample_weights,
        Content.TARGETS: scales.targets,
        Content.PENALTIES: scales.penalties,
    }[address.kind]
    return _shape(circuit, scales.top, scale)


def _shape(circuit: Circuit, primes: int, scale: float) -> CiphertextShape:
    return CiphertextShape(circuit.context, circuit.parameters.degree, primes, scale)


def ahead_shape(circuit: Circuit, stretch: int, step: int) -> CiphertextShape:
    """Return what V is at the beginning of a step of a stretch."""
    scales = circuit.scales.stretches[stretch][step]
    return _shape(circuit, scales.primes, scales.ahead)


def weights_shape(
    circuit: Circuit, stretch: int, steps_before_the_last: int = 0
) -> CiphertextShape:
    """Return what W is after a stretch, or after the step before its last one."""
    scales = circuit.scales.stretches[stretch][-1 - steps_before_the_last]
    return _shape(circuit, scales.after, scales.result)


def logits_shape(circuit: Circuit, stretch: int, step: int) -> CiphertextShape:
    """Return what a part of the logits is, before the rescale."""
    scales = circuit.scales.stretches[stretch][step]
    return _shape(circuit, scales.primes, scales.ahead * circuit.scales.features)


def residual_shape(circuit: Circuit, stretch: int, step: int) -> CiphertextShape:
    """Return what the weighted residual of a group is."""
    scales = circuit.scales.stretches[stretch][step]
    return _shape(circuit, scales.after + 1, scales.residual)


def gradient_shape(circuit: Circuit, stretch: int, step: int) -> CiphertextShape:
    """Return what a part of the gradient is, before the fold."""
    scales = circuit.scales.stretches[stretch][step]
    scale = scales.residual * circuit.scales.features
    return _shape(circuit, scales.after + 1, scale)


def pack_upload(address: Address, ciphertext: bytes) -> Message:
    """Join a ciphertext with its address."""
    return pack(
        {CIPHERTEXT: np.frombuffer(ciphertext, dtype=np.uint8)},
        {"kind": address.kind.value, "group": str(address.group), "index": str(address.index)},
    )


def unpack_upload(message: Message, circuit: Circuit) -> tuple[Address, bytes]:
    """Take an upload apart. Raises MessageError, also on an address the circuit does not have."""
    arrays, metadata = unpack(message, expect={CIPHERTEXT: ("uint8", 1)})
    fields = [metadata.get(name, "") for name in ("kind", "group", "index")]
    if fields[0] not in list(Content) or not all(map(WHOLE.fullmatch, fields[1:])):
        raise MessageError(f"an upload has no address: {ascii(fields)[:80]}")
    kind, address = Content(fields[0]), Address(Content(fields[0]), int(fields[1]), int(fields[2]))
    groups = 1 if kind is Content.PENALTIES else circuit.layout.groups
    if not 0 <= address.group < groups:
        raise MessageError(f"there is no group {address.group} of {kind}")
    if not 0 <= address.index < counts(circuit)[kind]:
        raise MessageError(f"there is no ciphertext {address.index} of {kind}")
    return address, arrays[CIPHERTEXT].tobytes()


def pack_missing(keys: list[int], data: list[Address]) -> Message:
    """Return what a server says has not come yet."""
    return json.dumps(
        {"keys": keys, "data": [[one.kind.value, one.group, one.index] for one in data]}
    ).encode()


def unpack_missing(message: Message) -> tuple[set[int], set[Address]]:
    """Parse what ``pack_missing`` wrote. Raises MessageError."""
    what = "a list of missing parts"
    with parsed_as_hostile(what):
        fields = strict_json(message, what)
        data = {Address(Content(kind), int(g), int(i)) for kind, g, i in fields["data"]}
        return {int(element) for element in fields["keys"]}, data


def pack_header(stretch: int) -> Message:
    """Return the header of a stretch: its number, from 0."""
    return json.dumps({"stretch": stretch}).encode()


def unpack_header(message: Message, circuit: Circuit) -> tuple[int, Stretch]:
    """Parse the header of a stretch. Raises MessageError."""
    what = "the header of a stretch of steps"
    with parsed_as_hostile(what):
        fields = strict_json(message, what)
        number = fields["stretch"]
    if type(number) is not int or not 0 <= number < len(circuit.stretches):
        raise MessageError(
            f"there is no stretch {number!r} of steps, only 0 to {len(circuit.stretches) - 1}"
        )
    return number, circuit.stretches[number]

"""Evaluation keys in parts: one message for each, so that no message holds all of them.

A part is a rotation's Galois key, that of conjugation, or the relinearisation key. Client and
server derive from the circuit which parts there are; they may come in any order, and again after an
interrupted upload, but never with other bytes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.context import galois_elements, import_tenseal
from he_compare.fhe_baseline.ckks.serialization import (
    load_galois_keys,
    load_relinearisation_keys,
)
from he_compare.fhe_baseline.ckks.training.circuit import Circuit

KEY, ELEMENT = "evaluation_key", "element"
# In place of a Galois element, which is odd.
RELINEARISATION = 0


def key_elements(circuit: Circuit) -> list[int]:
    """Return the parts by Galois element: relinearisation, conjugation, then the rotations."""
    degree = circuit.parameters.degree
    rotations = galois_elements(circuit.layout.rotations(), degree)
    return [RELINEARISATION, 2 * degree - 1, *rotations]


def describe_key(circuit: Circuit, element: int) -> str:
    """Name a part for people."""
    degree = circuit.parameters.degree
    if element == RELINEARISATION:
        return "the relinearisation key"
    if element == 2 * degree - 1:
        return "the key for conjugation"
    rotations = circuit.layout.rotations()
    steps = dict(zip(galois_elements(rotations, degree), rotations, strict=True))
    return f"the key for rotations by {steps.get(element, element)}"


def pack_key(element: int, key: bytes) -> Message:
    """Join a key with what it is for."""
    return pack({KEY: np.frombuffer(key, dtype=np.uint8)}, {ELEMENT: str(element)})


def unpack_key(message: Message, circuit: Circuit) -> tuple[int, bytes]:
    """Take a part apart. Raises MessageError, also on a key that the circuit does not use."""
    arrays, metadata = unpack(message, expect={KEY: ("uint8", 1)})
    text = metadata.get(ELEMENT, "")
    elements = {str(element): element for element in key_elements(circuit)}
    if text not in elements:
        raise MessageError(f"{ascii(text)[:40]} is no evaluation key of this circuit")
    return elements[text], arrays[KEY].tobytes()


class KeyRing:
    """The evaluation keys that have come, as SEAL objects; nothing secret."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._keys: dict[int, Any] = {}
        self._digests: dict[int, bytes] = {}

    def add(self, message: Message) -> None:
        """Take a part. Raises MessageError on one that does not parse, is of another context, or
        came before with other bytes."""
        element, data = unpack_key(message, self._circuit)
        digest = hashlib.sha256(data).digest()
        what = describe_key(self._circuit, element)
        if self._digests.get(element, digest) != digest:
            raise MessageError(f"{what} came twice, with different bytes")
        if element in self._keys:
            return
        self._keys[element] = self._loaded(element, data, what)
        self._digests[element] = digest

    def _loaded(self, element: int, data: bytes, what: str) -> Any:
        seal = import_tenseal().sealapi
        galois = element != RELINEARISATION
        context = self._circuit.context
        if galois:
            keys = load_galois_keys(seal.GaloisKeys(), context, data, what, [element])
        else:
            keys = load_relinearisation_keys(seal.RelinKeys(), context, data, what)
        if not keys.has_key(element if galois else 2):
            raise MessageError(f"{what} is not in the message that should hold it")
        return keys

    def missing(self) -> list[int]:
        """Return the parts that have not come."""
        return [element for element in key_elements(self._circuit) if element not in self._keys]

    def require_all(self) -> None:
        """Refuse to compute with keys missing. Raises MessageError that names the first."""
        missing = self.missing()
        if missing:
            raise MessageError(
                f"{len(missing)} evaluation keys have not been uploaded, the first is "
                f"{describe_key(self._circuit, missing[0])}"
            )

    @property
    def relinearisation(self) -> Any:
        """The key for products."""
        return self._keys[RELINEARISATION]

    @property
    def conjugation(self) -> Any:
        """The key for conjugation."""
        return self._keys[2 * self._circuit.parameters.degree - 1]

    def rotation(self, step: int) -> Any:
        """Return the key for rotations by ``step`` slots to the left."""
        (element,) = galois_elements([step], self._circuit.parameters.degree)
        return self._keys[element]

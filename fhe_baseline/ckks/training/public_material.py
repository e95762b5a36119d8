"""What a training server is started with: the circuit and the evaluation keys, and their checks.

The counterpart on the other side is ``block_scramble.deployment.public_material``: all that a
server gets besides messages, and never a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.common.errors import CellError, MessageError, UsageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import UInt8Array
from he_compare.fhe_baseline.ckks.context import galois_elements, import_tenseal
from he_compare.fhe_baseline.ckks.serialization import load_seal
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.gradient import GradientEvaluator

ROLE = "train"
GALOIS_KEYS, RELINEARISATION_KEYS = "galois_keys", "relinearisation_keys"
MAX_PROCESSES = 64


def pack_material(circuit: Circuit, keys: Mapping[str, UInt8Array], processes: int = 1) -> bytes:
    """Return all a training server gets before the data."""
    metadata = {"role": ROLE, "circuit": circuit.to_json(), "processes": str(processes)}
    return pack(keys, metadata)


def processes_of(data: bytes) -> int:
    """Return how many processes the server is to use. Raises MessageError."""
    _, metadata = unpack(data)
    text = metadata.get("processes", "")
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PROCESSES:
        raise MessageError(f"{text!r} is not a number of processes")
    return int(text)


def load_keys(data: bytes) -> tuple[Circuit, Any, Any]:
    """Parse circuit, Galois and relinearisation keys of unknown origin. Raises MessageError."""
    keys = {GALOIS_KEYS: ("uint8", 1), RELINEARISATION_KEYS: ("uint8", 1)}
    arrays, metadata = unpack(data, expect=keys)
    try:
        circuit = Circuit.from_json(metadata["circuit"])
        galois_keys = _load_galois_keys(circuit, arrays[GALOIS_KEYS])
        return circuit, galois_keys, _load_relinearisation_keys(circuit, arrays)
    except KeyError as error:
        raise MessageError(f"public material lacks {error}") from None
    except (UsageError, CellError, ValueError, ArithmeticError) as error:
        raise MessageError(f"public material is invalid: {error}") from None


def load_evaluator(data: bytes) -> tuple[Circuit, GradientEvaluator]:
    """Return what a worker computes with. Raises MessageError."""
    circuit, galois_keys, relinearisation_keys = load_keys(data)
    return circuit, GradientEvaluator(circuit, galois_keys, relinearisation_keys)


def _load_galois_keys(circuit: Circuit, data: UInt8Array) -> Any:
    keys = import_tenseal().sealapi.GaloisKeys()
    load_seal(keys, circuit.context, data.tobytes(), "Galois keys")
    degree, rotations = circuit.parameters.degree, circuit.layout.rotations()
    for step, element in zip(rotations, galois_elements(rotations, degree), strict=True):
        if not keys.has_key(element):
            raise MessageError(f"the Galois keys lack the one for rotations by {step}")
    if not keys.has_key(2 * degree - 1):
        raise MessageError("the Galois keys lack the one for conjugation")
    return keys


def _load_relinearisation_keys(circuit: Circuit, arrays: Mapping[str, UInt8Array]) -> Any:
    data = arrays[RELINEARISATION_KEYS].tobytes()
    empty = import_tenseal().sealapi.RelinKeys()
    keys = load_seal(empty, circuit.context, data, "relinearisation keys")
    if not keys.has_key(2):
        raise MessageError("the relinearisation keys lack the one for products")
    return keys

"""Public material of a training server: the circuit and the evaluation keys, and their checks."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import CellError, MessageError, UsageError
from common.types import UInt8Array
from common.wire import pack, unpack
from fhe_baseline.ckks.training.circuit import Circuit
from fhe_baseline.ckks.training.client import GALOIS_KEYS, RELINEARISATION_KEYS
from fhe_baseline.ckks.training.server import TrainingServer

ROLE = "train"


def pack_material(circuit: Circuit, keys: Mapping[str, UInt8Array]) -> bytes:
    """Return all a training server gets before the data."""
    return pack(keys, {"role": ROLE, "circuit": circuit.to_json()})


def load_material(data: bytes) -> TrainingServer:
    """Build a training server from bytes of unknown origin. Raises MessageError."""
    keys = {GALOIS_KEYS: ("uint8", 1), RELINEARISATION_KEYS: ("uint8", 1)}
    arrays, metadata = unpack(data, expect=keys)
    try:
        circuit = Circuit.from_json(metadata["circuit"])
        return TrainingServer(circuit, arrays)
    except KeyError as error:
        raise MessageError(f"public material lacks {error}") from None
    except (UsageError, CellError, ValueError, ArithmeticError) as error:
        raise MessageError(f"public material does not hold: {error}") from None

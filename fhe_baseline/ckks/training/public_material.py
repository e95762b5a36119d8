"""What a training server is started with: the circuit, and how many processes to use.

The counterpart on the other side is ``block_scramble.deployment.public_material``: what a server
gets besides messages, and never a secret. Evaluation keys follow in parts.
"""

from __future__ import annotations

from he_compare.common.errors import CellError, MessageError, UsageError
from he_compare.common.service.wire import pack, unpack
from he_compare.fhe_baseline.ckks.training.circuit import Circuit

ROLE = "train"
MAX_PROCESSES = 64


def pack_material(circuit: Circuit, processes: int = 1) -> bytes:
    """Return all a training server gets before keys and data."""
    metadata = {"role": ROLE, "circuit": circuit.to_json(), "processes": str(processes)}
    return pack({}, metadata)


def processes_of(data: bytes) -> int:
    """Return how many processes the server is to use. Raises MessageError."""
    _, metadata = unpack(data)
    text = metadata.get("processes", "")
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_PROCESSES:
        raise MessageError(f"{text[:40]!r} is not a number of processes")
    return int(text)


def load_circuit(data: bytes) -> Circuit:
    """Parse a circuit of unknown origin. Raises MessageError."""
    _, metadata = unpack(data, expect={})
    try:
        circuit = Circuit.from_json(metadata["circuit"])
        _ = circuit.scales, circuit.layout  # what follows from it must exist
        return circuit
    except KeyError as error:
        raise MessageError(f"public material lacks {error}") from None
    except (UsageError, CellError, ValueError, ArithmeticError, RecursionError) as error:
        raise MessageError(f"public material is invalid: {error}") from None

"""What a training server is started with: the circuit, and how many processes to use.

The counterpart on the other side is ``block_scramble.deployment.public_material``: what a server
gets besides messages, and never a secret. Evaluation keys follow in parts.
"""

from __future__ import annotations

import os

from he_compare.common.errors import CompareError, MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.fhe_baseline.ckks.training.circuit import Circuit

ROLE = "train"
MAX_PROCESSES = 64
# A machine of few cores may be asked for so many processes.
SMALL_MACHINE = 8
# A list of them all is made and sent when a client asks what is missing.
MAX_UPLOADS = 1 << 18


def pack_material(circuit: Circuit, processes: int = 1) -> bytes:
    """Return all a training server gets before keys and data."""
    metadata = {"role": ROLE, "circuit": circuit.to_json(), "processes": str(processes)}
    return pack({}, metadata)


def processes_of(data: bytes) -> int:
    """Return how many processes the server is to use. Raises MessageError."""
    _, metadata = unpack(data)
    text = metadata.get("processes", "")
    if text not in map(str, range(1, MAX_PROCESSES + 1)):
        raise MessageError(f"{ascii(text)[:40]} is not a number of processes, 1 to {MAX_PROCESSES}")
    most = max(SMALL_MACHINE, 2 * (os.cpu_count() or 1))
    if int(text) > most:
        raise MessageError(f"{text} processes are too many for this machine: at most {most}")
    return int(text)


def load_circuit(data: bytes) -> Circuit:
    """Parse a circuit of unknown origin. Raises MessageError."""
    _, metadata = unpack(data, expect={})
    if "circuit" not in metadata:
        raise MessageError("public material lacks 'circuit'")
    with parsed_as_hostile("public material"):
        try:
            circuit = Circuit.from_json(metadata["circuit"])
            _require_few_uploads(circuit)
            _ = circuit.scales  # what follows from it must exist
            return circuit
        except (CompareError, ValueError, ArithmeticError) as error:
            raise MessageError(f"public material is invalid: {error}") from None


def _require_few_uploads(circuit: Circuit) -> None:
    """Refuse a circuit that waits for more ciphertexts than anybody uploads."""
    layout = circuit.layout
    uploads = layout.groups * (layout.period + 2 * circuit.passes)
    if uploads > MAX_UPLOADS:
        raise MessageError(f"{uploads} ciphertexts of data are more than {MAX_UPLOADS}")

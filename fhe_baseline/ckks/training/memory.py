"""Whether a training server fits into the memory of this machine."""

from __future__ import annotations

import psutil

from he_compare.common.errors import CellError
from he_compare.fhe_baseline.ckks.training.circuit import Circuit

# A Python process with SEAL loaded, at the server, before any ciphertext.
PROCESS_BYTES = 150_000_000


def available_bytes() -> int:
    """Return the memory the operating system could hand out without swapping."""
    return int(psutil.virtual_memory().available)


def require_memory(circuit: Circuit) -> None:
    """Refuse a training whose server would not fit. Raises CellError with both figures."""
    needed, available = circuit.server_bytes() + PROCESS_BYTES, available_bytes()
    if needed <= available:
        return
    raise CellError(
        f"training on {circuit.rows} x {circuit.columns} with N = {circuit.parameters.degree} "
        f"holds {needed / 1e9:.2f} GB at the server, {available / 1e9:.2f} GB are available",
        fix="whiten to fewer features, take fewer images or a smaller ring",
    )

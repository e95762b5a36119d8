"""Server state: no piece of the secret key in the server process, its files or its command line."""

from __future__ import annotations

import numpy as np

from common.adversary import Budget, Detail, Finding, Inspected, Metric
from common.clock import Clock
from common.types import Knowledge, Side
from fhe_baseline.adversary.server_state import (
    Searched,
    concrete_pieces,
    occurrences,
    seal_pieces,
    search_process,
)
from fhe_baseline.adversary.victim import (
    CKKS,
    TFHE,
    Victim,
    pipeline_obstacle,
    secret_key_of,
    victim_of,
)
from fhe_baseline.ckks.serialization import seal_bytes

MARKER_BYTES = 64
HEADER_BYTES, SAVED_BYTES, SAVED_PIECES = 256, 32, 8


class ServerState:
    """Searches the running server process while it classifies; Linux only."""

    name = "server_state"
    title = "Secret key at the server"
    rung = Knowledge.CIPHERTEXT_ONLY
    metric = Metric("pieces of the secret key found", best=24.0)
    source = "proc(5); the trust boundary of common/contracts.py"

    def applies(self, inspected: Inspected) -> str:
        """Every pipeline with a secret key."""
        return pipeline_obstacle(inspected, CKKS + TFHE)

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Serve one image, then search the process and all the bytes it was sent."""
        victim = victim_of(inspected)
        pieces = key_pieces(victim)
        (upload,) = victim.uploads(1)
        middle = len(upload) // 2
        with victim.serve() as server:
            server.call("infer", [upload], Clock(Side.CLIENT))
            searched = search_process(server.pid, pieces, upload[middle : middle + MARKER_BYTES])
        sent = occurrences(pieces, victim.public_material + upload)
        return judged(searched, sent, len(pieces))


def key_pieces(victim: Victim) -> list[bytes]:
    """Return stretches of the victim's secret key, as its library keeps it and as it saves it."""
    if victim.pipeline in TFHE:
        return concrete_pieces(victim.client._client.client)
    secret = secret_key_of(victim.client)
    saved = seal_bytes(secret)
    starts = np.linspace(HEADER_BYTES, len(saved) - SAVED_BYTES, SAVED_PIECES).astype(int)
    return seal_pieces(secret) + [saved[start : start + SAVED_BYTES] for start in starts]


def judged(searched: Searched, sent: int, pieces: int) -> Finding:
    """Turn a search into a finding; one that does not see the memory is unreliable."""
    found = searched.found + sent
    unreliable = [] if searched.marker_found else ["the search does not find what must be there"]
    verdict = "broken" if found else "unreliable" if unreliable else "resists within budget"
    return Finding(
        verdict=verdict,  # type: ignore[arg-type]
        headline=f"{found} of {pieces} pieces of the secret key in "
        f"{searched.bytes_read / 1e6:.0f} MB of the server's memory, its files, command line, "
        "environment and the bytes it was sent; an upload's bytes are found",
        value=float(found),
        details=[
            Detail("memory searched", float(searched.bytes_read), "bytes"),
            Detail("pieces in memory", float(searched.in_memory)),
            Detail("pieces in open files", float(searched.in_files)),
            Detail("pieces in command line and environment", float(searched.in_words)),
            Detail("pieces in public material and upload", float(sent)),
        ],
        reason=unreliable[0] if unreliable else "",
        unreliable=unreliable,
        limits=[
            "the key is looked for in the form its library computes with; an encoded or encrypted "
            "copy would not be found",
            "one moment of one process, the one that classifies; the one that trains is searched "
            "in the same way by tests/security/test_fhe_training_boundary.py",
        ],
        spent={"images": 1},
    )


ATTACK = ServerState()

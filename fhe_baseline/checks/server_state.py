"""Server state: no piece of the secret key in the server process, its files or its command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.errors import UnavailableError
from he_compare.common.types import Aim, Knowledge, Side
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.victim import (
    Victim,
    secret_key_of,
    victim_of,
)
from he_compare.fhe_baseline.ckks.serialization import seal_bytes

CHUNK = 1 << 24
SEAL_WORDS, CONCRETE_WORDS = 4, 64
PIECES = 16


@dataclass(frozen=True)
class Searched:
    """What a search of one process found. ``marker_found``: the search sees its memory."""

    bytes_read: int
    in_memory: int
    in_files: int
    in_words: int
    files: int
    marker_found: bool

    @property
    def found(self) -> int:
        """Pieces of the key found anywhere."""
        return self.in_memory + self.in_files + self.in_words


def seal_pieces(secret_key: Any) -> list[bytes]:
    """Return stretches of a SEAL secret key as they lie in memory, evenly spread over it."""
    key = secret_key.data()
    starts = np.linspace(0, key.coeff_count() - SEAL_WORDS, PIECES).astype(int)
    return [
        np.array([key[int(start) + i] for i in range(SEAL_WORDS)], "<u8").tobytes()
        for start in starts
    ]


def concrete_pieces(client: Any) -> list[bytes]:
    """Return stretches of a Concrete client's binary keys, out of their serialised form."""
    data = client.keys.serialize()
    words = np.frombuffer(data[: len(data) // 8 * 8], "<u8")
    runs = np.lib.stride_tricks.sliding_window_view(words <= 1, CONCRETE_WORDS)
    sums = np.lib.stride_tricks.sliding_window_view(words, CONCRETE_WORDS).sum(axis=1)
    # A stretch of the key is ones and zeros in some balance; padding is zeros alone.
    starts = np.flatnonzero(runs.all(axis=1) & (sums > 16) & (sums < 48))
    if not len(starts):
        raise UnavailableError("no binary key in Concrete's serialised keys", fix="report this")
    chosen = starts[np.linspace(0, len(starts) - 1, PIECES).astype(int)]
    return [words[start : start + CONCRETE_WORDS].tobytes() for start in chosen]


def occurrences(pieces: Iterable[bytes], data: bytes) -> int:
    """Count the pieces that occur in some bytes."""
    return sum(piece in data for piece in pieces)


def search_process(pid: int, pieces: list[bytes], marker: bytes) -> Searched:
    """Look for pieces of a key in a process of this user.

    Raises UnavailableError where its memory cannot be read: other systems than Linux, or a kernel
    that forbids it.
    """
    if sys.platform != "linux":
        raise UnavailableError(
            f"the memory of another process cannot be read on {sys.platform}", fix="use Linux"
        )
    read, seen, marked = 0, set[bytes](), False
    try:
        for mapping in _readable_memory(pid):
            read += len(mapping)
            seen |= {piece for piece in pieces if piece in mapping}
            marked = marked or marker in mapping
    except PermissionError:
        raise UnavailableError(
            f"this system does not let one process read another's memory ({pid})",
            fix="allow ptrace of own processes (kernel.yama.ptrace_scope = 0)",
        ) from None
    process = psutil.Process(pid)
    words = "\0".join([*process.cmdline(), *process.environ().values()]).encode()
    paths = [Path(file.path) for file in process.open_files()]
    contents = [_content(path) for path in paths]
    return Searched(
        bytes_read=read,
        in_memory=len(seen),
        in_files=sum(occurrences(pieces, content) for content in contents),
        in_words=sum(piece in words or piece.hex().encode() in words for piece in pieces),
        files=len(paths),
        marker_found=marked,
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _readable_memory(pid: int) -> Iterator[bytes]:
    """Yield what a process has in memory or swap, in overlapping pieces: no page it never touched.

    /proc/PID/pagemap holds 64 bits a page, bit 63 for present and 62 for swapped (proc(5)).
    """
    overlap = 8 * CONCRETE_WORDS
    folder = Path(f"/proc/{pid}")
    with (
        (folder / "mem").open("rb", buffering=0) as memory,
        (folder / "pagemap").open("rb", buffering=0) as pagemap,
    ):
        for line in (folder / "maps").read_text().splitlines():
            span, access, *_ = line.split()
            if "r" not in access or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            for first, last in _touched(pagemap, start, end):
                for position in range(first, last, CHUNK):
                    try:
                        memory.seek(position)
                        yield memory.read(min(CHUNK + overlap, last - position))
                    except (OSError, ValueError, OverflowError):
                        break


def _touched(pagemap: IO[bytes], start: int, end: int) -> list[tuple[int, int]]:
    """Return the stretches of addresses whose pages are in memory or swap."""
    page = os.sysconf("SC_PAGE_SIZE")
    pagemap.seek(start // page * 8)
    entries = np.frombuffer(pagemap.read((end - start) // page * 8), "<u8")
    present = np.concatenate([[False], (entries >> np.uint64(62)) != 0, [False]])
    edges = np.flatnonzero(present[1:] != present[:-1]) * page + start
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


MARKER_BYTES = 64
HEADER_BYTES, SAVED_BYTES, SAVED_PIECES = 256, 32, 8


class ServerState(EncryptionCheck):
    """Searches the running server process while it classifies; Linux only.

    The process is started as in a run, but leaves its memory open to its own user, which one of a
    run does not.
    """

    name = "server_state"
    title = "Secret key at the server"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.KEY
    metric = AttackMetric("pieces of the secret key found", best=24.0)
    source = "proc(5); the trust boundary of common/contracts.py"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Serve one image, then search the process and all the bytes it was sent."""
        victim = victim_of(inspected)
        pieces = key_pieces(victim)
        (upload,) = victim.uploads(1)
        middle = len(upload) // 2
        with victim.serve(searchable=True) as server:
            server.call("infer", [upload], Clock(Side.CLIENT))
            searched = search_process(server.pid, pieces, upload[middle : middle + MARKER_BYTES])
        sent = occurrences(pieces, victim.public_material + upload)
        return judged(searched, sent, len(pieces))


def key_pieces(victim: Victim) -> list[bytes]:
    """Return stretches of the victim's secret key, as its library keeps it and as it saves it."""
    if victim.plan is None:
        return concrete_pieces(victim.client._client.client)
    secret = secret_key_of(victim.client)
    saved = seal_bytes(secret)
    starts = np.linspace(HEADER_BYTES, len(saved) - SAVED_BYTES, SAVED_PIECES).astype(int)
    return seal_pieces(secret) + [saved[start : start + SAVED_BYTES] for start in starts]


def judged(searched: Searched, sent: int, pieces: int) -> CheckFinding:
    """Turn a search into a finding; one that does not see the memory is unreliable."""
    found = searched.found + sent
    unreliable = [] if searched.marker_found else ["the search does not find what must be there"]
    verdict = "broken" if found else "unreliable" if unreliable else "resists within budget"
    return CheckFinding(
        verdict=verdict,  # type: ignore[arg-type]
        headline=f"{found} of {pieces} pieces of the secret key in "
        f"{searched.bytes_read / 1e6:.0f} MB of the server's memory, its files, command line, "
        "environment and the bytes it was sent; the search "
        + ("finds" if searched.marker_found else "does not find")
        + " an upload's bytes there",
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
            "the key is searched for in the form its library computes with; an encoded or "
            "encrypted copy would not be found",
            "one moment of one process, the one that classifies; the one that trains is searched "
            "in the same way by tests/fhe_baseline/ckks/training/test_boundary.py",
            "of the front, which passes bytes on to that process, the bytes are searched that it "
            "is sent, not its memory",
        ],
        spent={"images": 1},
    )


CHECK = ServerState()

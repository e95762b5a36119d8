"""What a training holds in memory at client and server: stated before it begins, and measured."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from he_compare.common.environment import high_water, reset_peak_memory
from he_compare.common.errors import CellError
from he_compare.common.memory_limits import free_memory
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.diagonals import DiagonalLayout
from he_compare.fhe_baseline.ckks.training.key_parts import key_elements
from he_compare.fhe_baseline.ckks.training.messages import addresses
from he_compare.fhe_baseline.ckks.training.shares import useful_processes

# A Python process with SEAL and this project loaded, before any ciphertext.
PROCESS_BYTES = 300_000_000
# Room for freed ciphertexts of other levels, over that of one level, as measured.
OF_ALL_LEVELS = 4
# Uploads are sent in bodies of about this size, and a body exists twice while it is sent.
BODY_BYTES = 1 << 24


def two_polynomials(degree: int, primes: int) -> int:
    """Return the size of a ciphertext: two polynomials of 8-byte residues under so many primes."""
    return 2 * 8 * degree * primes


def key_bytes(degree: int, primes: int) -> int:
    """Return the size of one evaluation key: a ciphertext per prime of the data, under one more."""
    return primes * two_polynomials(degree, primes + 1)


def context_bytes(degree: int, primes: int) -> int:
    """Return the size of SEAL's tables at every level: 64 bytes per residue, as measured."""
    return 64 * degree * (primes + 1) * (primes + 2) // 2


@dataclass(frozen=True)
class Holding:
    """What a server holds: ``uploads`` ciphertexts under ``top`` primes, ``keys`` for a chain of
    ``primes``, and ``turned`` ciphertexts while it computes."""

    degree: int
    primes: int
    top: int
    uploads: int
    keys: int
    turned: int

    def data(self) -> int:
        """Return the bytes of the uploads."""
        return self.uploads * two_polynomials(self.degree, self.top)

    def process(self) -> int:
        """Return the bytes that every process has beside its data."""
        return (
            self.keys * key_bytes(self.degree, self.primes)
            + context_bytes(self.degree, self.primes)
            + self.turned * two_polynomials(self.degree, self.top)
            + PROCESS_BYTES
        )


def turned_ciphertexts(layout: DiagonalLayout) -> int:
    """Return how many ciphertexts' room a gradient takes.

    SEAL keeps what it has freed for blocks of the same size, so every level adds its own.
    """
    return OF_ALL_LEVELS * (2 * (layout.baby + layout.giants) + 8)


def server_bytes(circuit: Circuit, processes: int = 1) -> int:
    """Return what all processes of a server hold at most: data, keys, tables and what they compute.

    Every process has all keys; features are shared out unless they are too few for that.
    """
    count = useful_processes(circuit, processes)
    holding = Holding(
        circuit.parameters.degree,
        circuit.levels + 1,
        circuit.scales.top,
        sum(1 for _ in addresses(circuit)),
        len(key_elements(circuit)),
        turned_ciphertexts(circuit.layout),
    )
    copies = count if circuit.layout.groups * circuit.passes < count else 1
    return holding.data() * copies + count * holding.process()


def client_bytes(circuit: Circuit) -> int:
    """Return what the client holds beside its features: one key, one body, tables and rows.

    A key exists as SEAL's object and, before it is sent, as bytes in a few copies.
    """
    rows = 5 * 16 * circuit.layout.group_rows * circuit.layout.period
    degree, primes = circuit.parameters.degree, circuit.levels + 1
    tables = context_bytes(degree, primes)
    return 2 * key_bytes(degree, primes) + 10 * BODY_BYTES + tables + rows


def available_bytes() -> int:
    """Return the memory that the system, or a limit on it, still gives without swapping."""
    return free_memory().bytes


def require_memory(circuit: Circuit, processes: int = 1) -> None:
    """Refuse a training that would not fit into this machine. Raises CellError with the figures."""
    there, here = server_bytes(circuit, processes), client_bytes(circuit)
    available = available_bytes()
    if there + here <= available:
        return
    raise CellError(
        f"training on {circuit.rows} x {circuit.columns} with N = {circuit.parameters.degree} "
        f"holds {there / 1e9:.2f} GB at the server and {here / 1e9:.2f} GB at the client, "
        f"{available / 1e9:.2f} GB are available",
        fix="keep fewer components, take fewer images, fewer steps or processes, or a smaller ring",
    )


class GrowthOfThisProcess:
    """How far this process's memory has grown at most since this object was made; Linux only."""

    def __init__(self) -> None:
        self._before = psutil.Process().memory_info().rss
        # A peak from before that is not forgotten must not be taken for this object's.
        self._earlier = 0 if reset_peak_memory() else high_water(os.getpid()) or 0

    def bytes(self) -> int | None:
        """Return the growth; None where the system does not tell."""
        peak = high_water(os.getpid())
        return None if peak is None or peak <= self._earlier else max(0, peak - self._before)

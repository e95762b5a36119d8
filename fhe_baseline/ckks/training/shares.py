"""How the gradient is divided between the processes of a server: by group of rows and classifier.

The parts of a gradient are added up, and addition of ciphertexts is exact: the result depends on
how many processes there are (their relinearisations round apart), never on which one is faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhe_baseline.ckks.training.circuit import Circuit
from fhe_baseline.ckks.training.messages import Address, Kind


@dataclass(frozen=True)
class Unit:
    """The gradient of one classifier over one group of rows."""

    group: int
    classifier: int


def units(circuit: Circuit) -> list[Unit]:
    """Return all units, the classifiers of a group together, since they share its data."""
    return [
        Unit(group, classifier)
        for group in range(circuit.layout.groups)
        for classifier in range(circuit.classifiers)
    ]


def share_of(circuit: Circuit, number: int, processes: int) -> list[Unit]:
    """Return the units of process ``number``, from 0: a stretch of all of them."""
    everything = units(circuit)
    start = number * len(everything) // processes
    return everything[start : (number + 1) * len(everything) // processes]


def wants(share: list[Unit], address: Address, circuit: Circuit) -> bool:
    """Say whether a share needs the ciphertext of this address."""
    if address.kind in (Kind.FORWARD, Kind.BACKWARD):
        return any(unit.group == address.group for unit in share)
    classifier = address.index
    if address.kind is Kind.TARGETS:
        classifier //= circuit.per_round
    return Unit(address.group, classifier) in share

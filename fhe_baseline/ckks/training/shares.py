"""How the processes of a training server divide the gradient: by groups of rows and classifiers."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import Address, Content


@dataclass(frozen=True)
class Unit:
    """The gradient of one classifier over one group of rows."""

    group: int
    classifier: int


def units(circuit: Circuit, batch: int) -> list[Unit]:
    """Return a batch's units, the classifiers of a group together, since they share its data."""
    return [
        Unit(group, classifier)
        for group in circuit.layout.groups_of(batch)
        for classifier in range(circuit.classifiers)
    ]


def share_of(circuit: Circuit, number: int, processes: int) -> list[Unit]:
    """Return the units of process ``number``, from 0: a stretch of those of every batch."""
    share: list[Unit] = []
    for batch in range(circuit.batches):
        everything = units(circuit, batch)
        start = number * len(everything) // processes
        share += everything[start : (number + 1) * len(everything) // processes]
    return share


def groups_in(share: list[Unit], circuit: Circuit, batch: int, classifier: int) -> list[int]:
    """Return the groups of a batch that a share computes for a classifier."""
    groups = circuit.layout.groups_of(batch)
    return [u.group for u in share if u.classifier == classifier and u.group in groups]


def wants(share: list[Unit], address: Address, circuit: Circuit) -> bool:
    """Say whether a share needs the ciphertext of this address."""
    if address.kind in (Content.FORWARD, Content.BACKWARD):
        return any(unit.group == address.group for unit in share)
    classifier = address.index
    if address.kind is Content.TARGETS:
        classifier //= circuit.per_round
    return Unit(address.group, classifier) in share

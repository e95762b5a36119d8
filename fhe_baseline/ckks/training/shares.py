"""How the processes of a training server divide the gradient.

With at least as many units (a group of rows and a ciphertext of V) as processes, each process
computes whole units. With fewer, every process has a part in every unit: some of the giant steps
forward, some of the baby steps backward.
"""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import Address, Content


@dataclass(frozen=True)
class Unit:
    """The gradient of one ciphertext of V, ``number``, over one group of rows."""

    group: int
    number: int


def units(circuit: Circuit, batch: int) -> list[Unit]:
    """Return a batch's units, those of a group together, since they share its data."""
    return [
        Unit(group, number)
        for group in circuit.layout.groups_of(batch)
        for number in range(circuit.passes)
    ]


@dataclass(frozen=True)
class ProcessShare:
    """What process ``number``, from 0, of ``processes`` computes."""

    circuit: Circuit
    number: int
    processes: int

    @property
    def divided(self) -> bool:
        """Whether the processes divide units, rather than share them out."""
        return self.processes > 1 and len(units(self.circuit, 0)) < self.processes

    def units(self, batch: int) -> list[Unit]:
        """Return the units of a batch that this process computes alone."""
        everything = units(self.circuit, batch)
        return everything[_part(len(everything), self.number, self.processes)]

    def groups(self, batch: int, number: int) -> list[int]:
        """Return the groups of a batch that this process computes for a ciphertext of V."""
        return [unit.group for unit in self.units(batch) if unit.number == number]

    @property
    def giants(self) -> range:
        """The giant steps of this process, where units are divided."""
        whole = range(self.circuit.layout.giants)
        return whole[_part(len(whole), self.number, self.processes)]

    @property
    def babies(self) -> range:
        """The baby steps of this process, where units are divided."""
        whole = range(self.circuit.layout.baby)
        return whole[_part(len(whole), self.number, self.processes)]

    def wants(self, address: Address) -> bool:
        """Say whether this process needs the ciphertext of an address."""
        if address.kind is Content.PENALTIES:
            return False
        if self.divided:
            return address.kind is Content.FEATURES
        batch = address.group // self.circuit.layout.groups_per_batch
        mine = [unit for unit in self.units(batch) if unit.group == address.group]
        if address.kind is Content.FEATURES:
            return bool(mine)
        return any(unit.number == address.index for unit in mine)


def useful_processes(circuit: Circuit, wanted: int) -> int:
    """Return how many processes have something to do."""
    layout = circuit.layout
    return max(1, min(wanted, max(len(units(circuit, 0)), layout.giants, layout.baby)))


def _part(count: int, number: int, processes: int) -> slice:
    return slice(number * count // processes, (number + 1) * count // processes)

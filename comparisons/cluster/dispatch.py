"""Which worker gets which cell: a pipeline stays where its servers run and its keys were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from he_compare.common.types import Phase
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.measuring.plan import PlannedCell


def pipeline_of(cell: PlannedCell) -> tuple[str, int]:
    """Return what cells share that have one fitted pipeline."""
    return cell.planned.label, cell.seed


@dataclass
class Homes:
    """The worker that has each pipeline ready, by address, and who deployed those of the run.

    Only who deployed one has its key and its messages in memory: a pipeline that was opened again,
    for latency or robustness, has another key.
    """

    _of: dict[tuple[str, int], str] = field(default_factory=dict)
    _deployed: dict[str, str] = field(default_factory=dict)

    def of(self, cell: PlannedCell) -> str | None:
        """Return the address of the worker that has the pipeline of a cell; None for none."""
        return self._of.get(pipeline_of(cell))

    def settle(self, cell: PlannedCell, hand: Hand) -> None:
        """Remember who has the pipeline of a cell from now on."""
        self._of[pipeline_of(cell)] = hand.address

    def note_deployed(self, cell: PlannedCell, hand: Hand) -> None:
        """Take note of who ran a cell, where it is the one whose deployment is attacked."""
        if cell.phase is Phase.ACCURACY and not cell.again:
            self._deployed[cell.planned.label] = hand.address

    def deployed_by(self, hand: Hand) -> frozenset[str]:
        """Return the pipelines that a worker deployed for the first seed, by label."""
        return frozenset(name for name, one in self._deployed.items() if one == hand.address)

    def lose(self, hand: Hand) -> None:
        """Forget a worker that is gone."""
        self._of = {name: one for name, one in self._of.items() if one != hand.address}
        self._deployed = {k: one for k, one in self._deployed.items() if one != hand.address}

    def count(self, hand: Hand) -> int:
        """Return how many pipelines a worker has."""
        return Counter(self._of.values())[hand.address]


@dataclass
class SharedWork:
    """What several pipelines of a run need and one of them makes, as features or a network.

    ``names``: by label of a pipeline, what it shares, and whether every seed makes its own.
    """

    names: Mapping[str, Collection[tuple[str, bool]]] = field(default_factory=dict)
    _made: set[tuple[str, int]] = field(default_factory=set)

    def of(self, cell: PlannedCell) -> set[tuple[str, int]]:
        """Return what the pipeline of a cell shares, with the seed where each makes its own."""
        names = self.names.get(cell.planned.label, ())
        return {(name, cell.seed if of_seed else 0) for name, of_seed in names}

    def note_made(self, cell: PlannedCell) -> None:
        """Take note that a cell ended well: what it shares is there."""
        self._made |= self.of(cell)

    def is_being_made(self, cell: PlannedCell, under_way: Iterable[PlannedCell]) -> bool:
        """Say whether a cell would wait for what others are just making."""
        wanted = self.of(cell) - self._made
        return any(wanted & self.of(one) for one in under_way)


def next_beside(
    hand: Hand,
    waiting: Sequence[PlannedCell],
    under_way: Collection[PlannedCell],
    homes: Homes,
    shared: SharedWork | None = None,
) -> PlannedCell | None:
    """Choose a cell for a worker that is free, where others are busy beside it.

    First what it has ready; then the first pipeline that nobody has, rather one that does not wait
    for what others are just making. None: the rest is for others.
    """
    for cell in waiting:
        if homes.of(cell) == hand.address:
            return cell
    busy = {pipeline_of(cell) for cell in under_way}
    free = [one for one in waiting if homes.of(one) is None and pipeline_of(one) not in busy]
    known = shared or SharedWork()
    ready = (one for one in free if not known.is_being_made(one, under_way))
    return next(ready, free[0] if free else None)


def latency_machine(hands: Collection[Hand], waiting: Sequence[PlannedCell], homes: Homes) -> int:
    """Choose the one machine on which latency is measured: where most pipelines are ready."""
    ready: Counter[int] = Counter()
    by_address = {hand.address: hand for hand in hands}
    for name in {pipeline_of(cell): cell for cell in waiting}.values():
        home = by_address.get(homes.of(name) or "")
        if home is not None:
            ready[home.machine] += 1
    machines = sorted({hand.machine for hand in hands})
    return max(machines, key=lambda machine: (ready[machine], -machine))


def next_alone(cell: PlannedCell, hands: Collection[Hand], machine: int, homes: Homes) -> Hand:
    """Choose the worker of the latency machine for a cell: who has it ready, or has least."""
    there = sorted((one for one in hands if one.machine == machine), key=lambda one: one.number)
    for hand in there:
        if homes.of(cell) == hand.address:
            return hand
    return min(there, key=homes.count)


def by_phase(cells: Sequence[PlannedCell]) -> tuple[list[PlannedCell], list[PlannedCell]]:
    """Return the cells that may run beside each other, and those that are alone on a machine."""
    beside = [cell for cell in cells if cell.phase is not Phase.LATENCY]
    return beside, [cell for cell in cells if cell.phase is Phase.LATENCY]

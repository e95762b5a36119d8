"""What a plan would change in a run that is there: kept, done again, new, no longer asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Status
from he_compare.comparisons.measuring.measurer import describe_cell
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of
from he_compare.comparisons.measuring.resuming import kept_cells, plan_difference

MOST_NAMED = 6
OTHER_CODE = "the others are of other source code, packages or another client key"
Spot = tuple[str, str, int, int]


@dataclass(frozen=True)
class RowChanges:
    """What becomes of the cells of one run, by name of the cell.

    ``kept``: how many results stay. ``stale``: identities of records that go. ``why``: what
    differs between the two plans; '' where they are the same one.
    """

    name: str
    kept: int = 0
    again: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    stale: frozenset[str] = frozenset()
    why: str = ""
    gone: bool = False

    def lines(self) -> Iterator[str]:
        """Say what would be done, a line for each kind."""
        if self.gone:
            yield f"{self.name}: no longer asked for; its run goes to earlier/"
            return
        why = f" ({self.why})" if self.why else ""
        yield f"{self.name}: {_cells(self.kept)} kept{why}"
        for what, cells in (
            ("would be done again", self.again),
            ("new", self.new),
            ("no longer asked for", self.dropped),
        ):
            if cells:
                yield f"{self.name}: {_cells(len(cells))} {what}: {_named(cells)}"


def _cells(count: int) -> str:
    return f"{count} cell{'s' * (count != 1)}"


def _named(cells: Collection[str]) -> str:
    shown = list(dict.fromkeys(cells))
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return "; ".join(shown[:MOST_NAMED]) + more


def row_changes(name: str, folder: RunFolder, plan: RunPlan) -> RowChanges | None:
    """Say what a plan changes in a run; None where it changes nothing, or there is no run.

    Seeds that are added change a run as well here: they are what is asked for now. So does other
    source code, where a result was made by code that is no longer there. Raises IntegrityError
    where a line of the records does not hold.
    """
    if not folder.exists():
        return None
    manifest = folder.manifest()
    seeds = manifest.seeds or [manifest.seed]
    other = manifest.plan != plan.plan_key()
    reseeded = seeds != list(plan.config.all_seeds)
    records = folder.records()
    done = kept_cells(folder).done
    asked = plan.cells()
    identities, spots = {one.identity for one in asked}, {_spot(one) for one in asked}
    known = {_spot_of(one) for one in records if one.status is Status.OK}
    missing = [one for one in asked if one.identity not in done]
    stale = [one for one in records if one.identity not in identities]
    unmade = {_spot(one) for one in missing}
    by_other_code = any(one.status is Status.OK and _spot_of(one) in unmade for one in stale)
    if not other and not reseeded and not by_other_code:
        return None
    reasons = [plan_difference(manifest, manifest_of(plan))] if other else []
    reasons += ["the seeds are others"] if reseeded and not other else []
    reasons += [OTHER_CODE] if by_other_code and not other else []
    return RowChanges(
        name=name,
        kept=sum(one.identity in done for one in asked),
        again=tuple(describe_cell(one) for one in missing if _spot(one) in known),
        new=tuple(describe_cell(one) for one in missing if _spot(one) not in known),
        dropped=tuple(
            _told(one) for one in stale if one.status is Status.OK and _spot_of(one) not in spots
        ),
        stale=frozenset(one.identity for one in stale),
        why="; ".join(reasons),
    )


def _spot(cell: PlannedCell) -> Spot:
    return cell.planned.label, cell.phase.value, cell.round, cell.seed


def _spot_of(record: RunRecord) -> Spot:
    cell = record.cell
    return cell.label, cell.phase.value, cell.round, cell.seed


def _told(record: RunRecord) -> str:
    cell = record.cell
    number = f", round {cell.round}" if cell.round else ""
    return f"{cell.label}, {cell.phase.value}{number}, seed {cell.seed}"

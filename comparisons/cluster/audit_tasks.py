"""Attacks cells of an audit on a worker: what is asked as text, what came out as named bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from he_compare.common.errors import CompareError, UsageError
from he_compare.common.files import write_atomic
from he_compare.common.kept import Kept
from he_compare.common.numeric_threads import use_threads
from he_compare.common.run.store import inside
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.audit import setup_of_run
from he_compare.comparisons.auditing.audit_cells import AuditCell, identity_of
from he_compare.comparisons.auditing.cell_attack import CellAttacker
from he_compare.comparisons.auditing.deployments import RunDeployments
from he_compare.comparisons.auditing.targets import Target
from he_compare.comparisons.cluster.audit_order import (
    PROBLEM,
    AttackOrder,
    pack_outcomes,
    read_attack_order,
)
from he_compare.comparisons.cluster.lent_artefacts import ArtefactElsewhere
from he_compare.comparisons.cluster.reply import WANTS, Reply
from he_compare.comparisons.cluster.run_order import SAME_EVERYWHERE
from he_compare.comparisons.cluster.worker_tasks import Bench, alone_at_bench
from he_compare.comparisons.progress import ProgressReporter

TAPES_HERE = "run"


@dataclass
class Siege:
    """What a worker keeps of the audit of one run: results that cells share, targets opened.

    It lies on the bench of the run and ends with it: fits, keys and images are in it.
    """

    attacker: CellAttacker
    targets: dict[tuple[str, str], Target] = field(default_factory=dict)


def attack_cell(
    order_text: str,
    key_file: str,
    attack_text: str,
    held: list[str],
    given: dict[str, Any],
    tapes: dict[str, bytes],
) -> Reply:
    """Attack one cell. ``held``, ``given``: artefacts, as for ``measure_cell``.

    ``tapes``: files of the run folder with the messages that crossed, for a worker that does not
    see it.
    """
    try:
        with alone_at_bench(order_text, key_file) as bench:
            order = read_attack_order(attack_text)
            bench.artefacts.begin(held, {k: Kept(data, s) for k, (data, s) in given.items()})
            # Latency had others; this process shares the machine again.
            use_threads(bench.plan.settings.threads)
            siege = _siege_of(bench, order)
            cell = _cell(bench, siege, order, _folder(bench, tapes))
            return pack_outcomes(list(siege.attacker.attack(cell, order.late, order.controls)))
    except ArtefactElsewhere as elsewhere:
        return {WANTS: elsewhere.name.encode()}
    except CompareError as error:
        return {PROBLEM: str(error).encode()}


def _siege_of(bench: Bench, order: AttackOrder) -> Siege:
    """Return what is kept of the audit. Servers of the cells that were measured are not needed any
    more."""
    siege = bench.kept.get(order.budget)
    if not isinstance(siege, Siege):
        bench.measurer.close()
        quiet = ProgressReporter(quiet=True)
        siege = bench.kept[order.budget] = Siege(CellAttacker(setup_of_run(bench.plan), quiet))
    return siege


def _folder(bench: Bench, tapes: dict[str, bytes]) -> Path:
    """Return the folder where tapes lie: that of the run, or one of this worker."""
    if bench.order.sees_files():
        return Path(bench.order.run_folder)
    folder = bench.scratch.path / TAPES_HERE
    for name, content in tapes.items():
        write_atomic(inside(folder, name), content)
    return folder


def _cell(bench: Bench, siege: Siege, order: AttackOrder, folder: Path) -> AuditCell:
    """Make the cell that is meant. Raises UsageError where it is another one here."""
    setup = siege.attacker.setup
    attack = suite.load(order.attack)
    target = _target(bench, siege, order, folder)
    references = setup.given()
    public = references[order.turn] if order.needs_public else None
    identity = identity_of(setup, attack, target, public)
    if identity != order.identity:
        raise UsageError(
            f"{order.attack} on {order.target} is another attack on this worker: its source or "
            "its public images are others",
            fix=SAME_EVERYWHERE,
        )
    return AuditCell(order.place, attack, target, order.turn, public, identity)


def _target(bench: Bench, siege: Siege, order: AttackOrder, folder: Path) -> Target:
    record = order.record
    name = (order.target, record.identity if record else "")
    if name not in siege.targets:
        records = {order.target: record} if record else {}
        deployments = RunDeployments(bench.plan, records, folder, bench.measurer)
        planned = next((p for p in bench.plan.pipelines if p.label == order.target), None)
        if planned is None:
            raise UsageError(f"{order.target!r} is no pipeline here", fix=SAME_EVERYWHERE)
        siege.targets[name] = deployments.target(planned)
    return siege.targets[name]

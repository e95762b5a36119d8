"""Attacks cells of an audit without a run, on a worker of this machine.

A worker opens the request as the driver did and keeps what it opened from one cell to the next: a
pipeline is deployed once, in the worker that has all its cells, and its key never leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import CompareError, UsageError
from he_compare.common.numeric_threads import use_threads
from he_compare.common.software import Software
from he_compare.common.temporary_folders import TemporaryFolder
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.audit_cells import AuditCell, identity_of
from he_compare.comparisons.auditing.audit_request import AuditRequest
from he_compare.comparisons.auditing.cell_attack import CellAttacker
from he_compare.comparisons.auditing.standalone import open_audit
from he_compare.comparisons.auditing.targets import Target
from he_compare.comparisons.cluster.audit_order import (
    PROBLEM,
    AttackOrder,
    pack_outcomes,
    read_attack_order,
)
from he_compare.comparisons.cluster.lent_artefacts import LentArtefacts
from he_compare.comparisons.cluster.reply import Reply, pack_artefacts
from he_compare.comparisons.cluster.run_order import SAME_EVERYWHERE
from he_compare.comparisons.progress import ProgressReporter


class StandaloneOrder(BaseModel):
    """One audit of a driver. ``token``: of this process of it; ``files``: its temporary folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str = Field(min_length=32)
    software: Software
    request: AuditRequest
    threads: int = Field(ge=1)
    files: str
    audit_folder: str


@dataclass
class StandaloneBench:
    """What a worker keeps of an audit. ``scratch``: its own folder, where the client's key lies."""

    attacker: CellAttacker
    targets: dict[str, Target]
    artefacts: LentArtefacts
    scratch: TemporaryFolder

    def cell(self, order: AttackOrder) -> AuditCell:
        """Make the cell that is meant. Raises UsageError where it is another one here."""
        attack, target = suite.load(order.attack), self.targets.get(order.target)
        references = self.attacker.setup.given()
        if target is None or not order.turn < len(references):
            raise UsageError(f"{order.target!r} is no target here", fix=SAME_EVERYWHERE)
        public = references[order.turn] if order.needs_public else None
        identity = identity_of(self.attacker.setup, attack, target, public)
        if identity != order.identity:
            raise UsageError(
                f"{order.attack} on {order.target} is another attack on this worker: its source or "
                "its images are others",
                fix="run the same command again",
            )
        return AuditCell(order.place, attack, target, order.turn, public, identity)


_KEPT: dict[str, StandaloneBench] = {}


def attack_alone(order_text: str, attack_text: str, held: list[str]) -> Reply:
    """Attack one cell. ``held``: names of the artefacts that the audit's folder has."""
    try:
        order = _read_order(order_text)
        use_threads(order.threads)
        bench = _bench_of(order)
        attack = read_attack_order(attack_text)
        bench.artefacts.begin(held, {})
        finished = list(bench.attacker.attack(bench.cell(attack), attack.late, attack.controls))
        return pack_outcomes(finished) | pack_artefacts(bench.artefacts.to_hand_over())
    except CompareError as error:
        return {PROBLEM: str(error).encode()}


def _read_order(text: str) -> StandaloneOrder:
    try:
        return StandaloneOrder.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(
            f"the order of the audit is not valid here: {error.errors()[0]['msg']}",
            fix=SAME_EVERYWHERE,
        ) from None


def _bench_of(order: StandaloneOrder) -> StandaloneBench:
    if order.token not in _KEPT:
        quiet, files = ProgressReporter(quiet=True), Path(order.files)
        audit = open_audit(order.request, quiet)
        artefacts = LentArtefacts(files / "artefacts", Path(order.audit_folder) / "artefacts")
        scratch = TemporaryFolder("worker", files)
        targets = audit.targets(artefacts, scratch.path, quiet, order.threads)
        _KEPT[order.token] = StandaloneBench(
            CellAttacker(audit.setup, quiet),
            {one.label: one for one in targets},
            artefacts,
            scratch,
        )
    return _KEPT[order.token]

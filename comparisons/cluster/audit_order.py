"""One attack on one pipeline, as it is asked of a worker and answered, in JSON and named bytes.

``outcomes``: the outcomes as JSON, the target's first. ``file NAME``: a file of the run folder. The
driver reads an answer as hostile: it has to be about the cell that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import CellError, MessageError
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.scheme import CONTROLS
from he_compare.comparisons.auditing.audit_cells import AuditCell
from he_compare.comparisons.auditing.cell_attack import Finished

OUTCOMES, PROBLEM, LEFT = "outcomes", "problem", "file "


class AttackOrder(BaseModel):
    """A cell of an audit. ``record``: of the cell that deployed the target, None where none did.

    ``turn``: number of the public images, where it ``needs_public`` ones. ``late``: why it is not
    begun. ``controls``: whether the controls beside it are wanted. ``identity``: what the worker
    has to find as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: str
    place: int = Field(ge=1)
    attack: str
    target: str
    needs_public: bool = False
    turn: int = Field(ge=0)
    identity: str
    late: str = ""
    controls: bool = True
    record: RunRecord | None = None


def order_of(
    cell: AuditCell, budget: str, late: str, controls: bool, record: RunRecord | None
) -> AttackOrder:
    """Return the order for a cell."""
    return AttackOrder(
        budget=budget,
        place=cell.place,
        attack=cell.attack.name,
        target=cell.target.label,
        needs_public=cell.public is not None,
        turn=cell.turn,
        identity=cell.identity,
        late=late,
        controls=controls,
        record=record,
    )


def read_attack_order(text: str) -> AttackOrder:
    """Parse an order. Raises MessageError."""
    try:
        return AttackOrder.model_validate_json(text)
    except ValidationError as error:
        raise MessageError(f"no order of an attack: {error.errors()[0]['msg']}") from None


def pack_outcomes(finished: Sequence[Finished]) -> dict[str, bytes]:
    """Return what a cell gave as named bytes."""
    lines = ",".join(one.outcome.model_dump_json() for one in finished)
    answer = {OUTCOMES: f"[{lines}]".encode()}
    for one in finished:
        answer |= {f"{LEFT}{name}": content for name, content in one.files.items()}
    return answer


def read_outcomes(answer: object, cell: AuditCell, controls: Mapping[str, str]) -> list[Finished]:
    """Read the answer for a cell. ``controls``: identities of the controls beside it, by name.

    Raises CellError with the problem that a worker reports, MessageError where it is no answer.
    """
    if not isinstance(answer, dict) or not all(
        isinstance(name, str) and isinstance(content, bytes) for name, content in answer.items()
    ):
        raise MessageError("a worker did not answer an attack with named bytes")
    if PROBLEM in answer:
        raise CellError(answer[PROBLEM].decode(errors="replace"))
    try:
        values = json.loads(answer.get(OUTCOMES, b""))
        outcomes = [AttackOutcome.model_validate_json(json.dumps(value)) for value in values]
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(f"a worker sent no outcomes: {str(error).splitlines()[0]}") from None
    _require_of(outcomes, cell, controls)
    left = {k.removeprefix(LEFT): v for k, v in answer.items() if k.startswith(LEFT)}
    return [Finished(one, _files_of(one, left)) for one in outcomes]


def _require_of(
    outcomes: Sequence[AttackOutcome], cell: AuditCell, controls: Mapping[str, str]
) -> None:
    expected = {(cell.identity, cell.target.label, "")}
    expected |= {(controls[name], name, cell.target.label) for name in CONTROLS}
    found = [(one.identity, one.target, one.beside) for one in outcomes]
    wrong = [one for one in outcomes if (one.row, one.place) != (cell.row, cell.place)]
    if wrong or not found or found[0] != (cell.identity, cell.target.label, ""):
        raise MessageError("a worker sent the outcome of another attack")
    if not set(found) <= expected or len(found) != len(set(found)):
        raise MessageError("a worker sent outcomes that its attack does not have")


def _files_of(outcome: AttackOutcome, left: Mapping[str, bytes]) -> dict[str, bytes]:
    named = {*outcome.artefacts, *(picture.file for picture in outcome.pictures)}
    if missing := sorted(named - set(left)):
        raise MessageError(f"a worker sent an outcome without its file {missing[0][:80]!r}")
    return {name: left[name] for name in sorted(named)}

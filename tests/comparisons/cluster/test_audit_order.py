"""An attack asked of a worker and answered: nothing but what its cell can give is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from he_compare.common.errors import CellError, CompareError, MessageError
from he_compare.common.scheme import CONTROLS
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.audit_cells import (
    AuditCell,
    Setup,
    cells_of,
    control_identities,
)
from he_compare.comparisons.auditing.cell_attack import CellAttacker, Finished
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.cluster.audit_order import (
    LEFT,
    OUTCOMES,
    PROBLEM,
    order_of,
    pack_outcomes,
    read_attack_order,
    read_outcomes,
)
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool
from tests.support.oneattack import SMALL


@pytest.fixture(scope="module")
def asked() -> tuple[AuditCell, dict[str, str], list[Finished]]:
    """A cell, the identities of its controls, and what attacking it gives."""
    setup = Setup(InventedPool(), SMALL, 0, "compare audit run", control_keys=1)
    target = cipher_target("vit_block[patch=8]", 32)
    cell = cells_of(setup, [target], [suite.load("unaltered"), suite.load("known_plaintext")])[1]
    given = list(CellAttacker(setup, ProgressReporter(quiet=True)).attack(cell))
    return cell, control_identities(setup, cell), given


def test_an_order_comes_back_as_it_was_written(asked: Any) -> None:
    cell, _, _ = asked
    order = order_of(cell, "small", "too late", False, None)
    assert read_attack_order(order.model_dump_json()) == order
    assert (order.attack, order.target, order.place) == (cell.attack.name, cell.target.label, 2)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"place": 0}', '{"attack": "jigsaw", "x": 1}'])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(MessageError, match="no order of an attack"):
        read_attack_order(text)


def test_outcomes_and_files_come_back_as_they_were(asked: Any) -> None:
    cell, controls, given = asked
    assert [one.outcome.target for one in given] == [cell.target.label, *CONTROLS]
    read = read_outcomes(pack_outcomes(given), cell, controls)
    assert [one.outcome for one in read] == [one.outcome for one in given]
    assert [dict(one.files) for one in read] == [dict(one.files) for one in given]
    assert any(one.files for one in read)


def test_a_problem_of_a_worker_is_told(asked: Any) -> None:
    cell, controls, _ = asked
    with pytest.raises(CellError, match="its source is another"):
        read_outcomes({PROBLEM: b"its source is another"}, cell, controls)


def changed(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[dict[str, bytes]], Any]:
    def applied(answer: dict[str, bytes]) -> dict[str, bytes]:
        outcomes = json.loads(answer[OUTCOMES])
        change(outcomes)
        return answer | {OUTCOMES: json.dumps(outcomes).encode()}

    return applied


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: None,
        lambda answer: [b"x"],
        lambda answer: {},
        lambda answer: answer | {OUTCOMES: "text"},
        lambda answer: answer | {OUTCOMES: b"\xff"},
        lambda answer: answer | {OUTCOMES: b"[]"},
        lambda answer: answer | {OUTCOMES: b"7"},
        lambda answer: answer | {OUTCOMES: b"[" * 100_000},
        lambda answer: {k: v for k, v in answer.items() if not k.startswith(LEFT)},
        changed(lambda outcomes: outcomes[0].update(identity="0" * 16)),
        changed(lambda outcomes: outcomes[0].update(target="np")),
        changed(lambda outcomes: outcomes[0].update(attack="jigsaw")),
        changed(lambda outcomes: outcomes[0].update(place=1)),
        changed(lambda outcomes: outcomes[0].update(verdict="fine")),
        changed(lambda outcomes: outcomes[1].update(beside="")),
        changed(lambda outcomes: outcomes[2].update(identity=outcomes[1]["identity"])),
        changed(lambda outcomes: outcomes.append(outcomes[1])),
        changed(lambda outcomes: outcomes.reverse()),
        changed(lambda outcomes: outcomes[0]["artefacts"].append("records.jsonl")),
    ],
)
def test_an_answer_about_anything_else_is_refused(asked: Any, spoil: Any) -> None:
    cell, controls, given = asked
    with pytest.raises(CompareError) as caught:
        read_outcomes(spoil(pack_outcomes(given)), cell, controls)
    assert isinstance(caught.value, MessageError)

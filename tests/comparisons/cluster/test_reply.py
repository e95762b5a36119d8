"""What a worker answers is read as hostile: only what belongs to its cell is taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import MessageError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import Artefact
from he_compare.common.types import Phase, Status
from he_compare.comparisons.cluster.reply import (
    ARTEFACT,
    FILE,
    RECORD,
    VIEW,
    WANTS,
    Reply,
    pack_reply,
    read_reply,
    wanted_artefact,
)
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell
from tests.support.samplerun import three_pipelines

NOTHING: Any = SimpleNamespace(label="plaintext")
RECORDED: RunRecord = next(r for r in three_pipelines().records if r.predictions)
CELL = PlannedCell(NOTHING, Phase.ACCURACY, 0, RECORDED.identity, 0)
PREDICTIONS = f"predictions/{RECORDED.identity}.npz"


def measured() -> MeasuredCell:
    record = RECORDED.model_copy(update={"predictions": PREDICTIONS})
    view = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    return MeasuredCell(record, {PREDICTIONS: b"scores"}, view, "where it came from")


def reply(**changed: bytes) -> Reply:
    packed = pack_reply(measured(), {"head-12ab": Artefact(b"weights", 1.25)})
    return packed | {name.replace("__", " ", 1): value for name, value in changed.items()}


def test_a_cell_comes_back_as_it_was_measured() -> None:
    answer = read_reply(reply(), CELL)
    assert answer.measured.record == measured().record
    assert answer.measured.files == {PREDICTIONS: b"scores"}
    assert answer.measured.view is not None
    np.testing.assert_array_equal(answer.measured.view, measured().view)
    assert answer.measured.trace == "where it came from"
    assert answer.artefacts["head-12ab"].data == b"weights"
    assert answer.artefacts["head-12ab"].seconds == 1.25


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (RECORD, b"{}", "no valid record"),
        (RECORD, b"\xff\xfe", "no valid record"),
        (f"{FILE}manifest.json", b"", "which its cell does not have"),
        (f"{FILE}../../outside", b"", "which its cell does not have"),
        (f"{FILE}predictions/0000000000000000.npz", b"", "which its cell does not have"),
        (f"{FILE}tape/{'g' * 32}.public", b"", "which its cell does not have"),
        (f"{ARTEFACT}../key", b"", "an artefact with the name"),
        (f"{ARTEFACT}head.sha256", b"", "an artefact with the name"),
        (VIEW, b"no npz", "pictures that do not read"),
    ],
)
def test_what_does_not_belong_to_the_cell_is_refused(name: str, value: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        read_reply(reply() | {name: value}, CELL)


def test_the_record_of_another_cell_is_refused() -> None:
    other = RECORDED.model_copy(update={"identity": "0" * 16})
    started = RECORDED.model_copy(update={"status": Status.STARTED})
    for record in (other, started):
        packed = pack_reply(MeasuredCell(record), {})
        with pytest.raises(MessageError, match="of another cell"):
            read_reply(packed, CELL)


def test_predictions_that_are_named_have_to_come() -> None:
    without = {k: v for k, v in reply().items() if k != f"{FILE}{PREDICTIONS}"}
    with pytest.raises(MessageError, match="without its predictions"):
        read_reply(without, CELL)


@pytest.mark.parametrize("given", [None, [], "text", {"record": "text"}, {1: b""}])
def test_anything_but_named_bytes_is_refused(given: object) -> None:
    with pytest.raises(MessageError, match="named bytes"):
        read_reply(given, CELL)


def test_only_the_name_of_an_artefact_is_asked_for() -> None:
    assert wanted_artefact({WANTS: b"head-12ab"}) == "head-12ab"
    assert wanted_artefact({WANTS: b"../client.key"}) == ""
    assert wanted_artefact(reply()) == ""
    assert wanted_artefact(None) == ""

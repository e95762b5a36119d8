"""What a worker answers is read as hostile: only what belongs to its cell is taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import MessageError
from he_compare.common.identity import array_digest
from he_compare.common.kept import Kept
from he_compare.common.run.records import RunRecord
from he_compare.common.run.stored_arrays import npz_bytes
from he_compare.common.run.tape import Tape, tape_files
from he_compare.common.types import ImageBatch, Phase, Status
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
RUN = three_pipelines()
RECORDED: RunRecord = next(r for r in RUN.records if r.predictions)
CELL = PlannedCell(NOTHING, Phase.ACCURACY, 0, RECORDED.identity, 0)
PREDICTIONS = f"predictions/{RECORDED.identity}.npz"
ARRAYS = RUN.predictions[RECORDED.identity]
STORED = npz_bytes(ARRAYS)
COUNT = len(ARRAYS["labels"])
BATCH = ImageBatch(
    tuple(map(str, ARRAYS["ids"])),
    np.zeros((COUNT, 4, 4, 3), np.uint8),
    ARRAYS["labels"],
    tuple(map(str, ARRAYS["groups"])),
)
PLAN: Any = SimpleNamespace(
    cell_record=lambda cell: RECORDED.cell,
    test=BATCH,
    data=SimpleNamespace(classes=range(ARRAYS["probabilities"].shape[1])),
    config=SimpleNamespace(pictures=1),
)
TAPE = Tape(np.arange(2), [b"one", b"two"], b"public")
TAPE_FACTS, TAPE_FILES = tape_files(RECORDED.identity, TAPE)


def measured(**changed: object) -> MeasuredCell:
    record = RECORDED.model_copy(update={"tape": TAPE_FACTS, **changed})
    view = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    files = {PREDICTIONS: STORED, **TAPE_FILES}
    return MeasuredCell(record, files, view, "where it came from")


def reply(**changed: object) -> Reply:
    return pack_reply(measured(**changed), {"head-12ab": Kept(b"weights", 1.25)})


def test_a_cell_comes_back_as_it_was_measured() -> None:
    answer = read_reply(reply(), CELL, PLAN)
    assert answer.measured.record == measured().record
    assert answer.measured.files == measured().files
    view, sent = answer.measured.view, measured().view
    assert view is not None and sent is not None
    np.testing.assert_array_equal(view, sent)
    assert answer.measured.trace == "where it came from"
    assert answer.artefacts["head-12ab"].data == b"weights"
    assert answer.artefacts["head-12ab"].seconds == 1.25


def changed_arrays(**changed: Any) -> bytes:
    return npz_bytes({**ARRAYS, **changed})


def claimed_zeros(size: int) -> bytes:
    """An npz of one array of ``size`` bytes that takes a thousandth of it."""
    return npz_bytes({VIEW: np.zeros((1, size, 1, 3), np.uint8)})


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
        (f"{ARTEFACT}.head", b"", "an artefact with the name"),
        (VIEW, b"no npz", "pictures that do not read"),
        (VIEW, b"PK\x03\x04garbage", "pictures that do not read"),
        (VIEW, b"\x93NUMPY\x01\x00v\x00", "pictures that do not read"),
        (VIEW, claimed_zeros(1 << 27), "more than 268,435,456"),
        (VIEW, npz_bytes({VIEW: np.zeros((1, 4, 4), np.uint8)}), "as pictures view uint8"),
        (VIEW, npz_bytes({VIEW: np.zeros((2, 4, 4, 3), np.uint8)}), "as pictures view uint8"),
        (VIEW, npz_bytes({VIEW: np.zeros((1, 4, 4, 3))}), "as pictures view float64"),
        (f"{FILE}{PREDICTIONS}", b"PK\x03\x04garbage", "does not hold"),
        (f"{FILE}{PREDICTIONS}", changed_arrays(scores=ARRAYS["scores"] + 1), "does not match"),
        (f"{FILE}{PREDICTIONS}", changed_arrays(probabilities=np.zeros(3)), "expected float64"),
        (f"{FILE}{TAPE_FACTS.file}", TAPE_FILES[TAPE_FACTS.file][:-1], "does not hold"),
        (f"{FILE}{TAPE_FACTS.public_file}", b"another", "which its cell does not have"),
        (f"{FILE}tape/{'0' * 32}.public", b"public", "which its cell does not have"),
    ],
)
def test_what_does_not_belong_to_the_cell_is_refused(name: str, value: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        read_reply(reply() | {name: value}, CELL, PLAN)


def test_the_record_of_another_cell_is_refused() -> None:
    other = RECORDED.model_copy(update={"identity": "0" * 16})
    started = RECORDED.model_copy(update={"status": Status.STARTED})
    for record in (other, started):
        packed = pack_reply(MeasuredCell(record), {})
        with pytest.raises(MessageError, match="of another cell"):
            read_reply(packed, CELL, PLAN)


@pytest.mark.parametrize(
    "changed", [{"label": "other"}, {"seed": -1}, {"round": 1}, {"phase": Phase.LATENCY}]
)
def test_a_record_that_says_another_cell_is_refused(changed: dict[str, Any]) -> None:
    """Scoring goes by what a record says of its cell, not by its identity."""
    other = RECORDED.cell.model_copy(update=changed)
    with pytest.raises(MessageError, match="another cell than was asked"):
        read_reply(reply(cell=other), CELL, PLAN)


def test_predictions_of_other_images_are_refused_though_their_hash_holds() -> None:
    arrays = {**ARRAYS, "ids": ARRAYS["ids"][::-1].copy()}
    digest = array_digest(*(arrays[name] for name in sorted(arrays)))
    packed = reply(predictions_sha256=digest) | {f"{FILE}{PREDICTIONS}": npz_bytes(arrays)}
    with pytest.raises(MessageError, match="its ids are not those of the test images"):
        read_reply(packed, CELL, PLAN)


def test_a_finished_test_has_predictions() -> None:
    packed = pack_reply(MeasuredCell(RECORDED.model_copy(update={"predictions": ""})), {})
    with pytest.raises(MessageError, match="without predictions"):
        read_reply(packed, CELL, PLAN)


def test_predictions_that_are_named_have_to_come() -> None:
    without = {k: v for k, v in reply().items() if k != f"{FILE}{PREDICTIONS}"}
    with pytest.raises(MessageError, match="without its file"):
        read_reply(without, CELL, PLAN)


@pytest.mark.parametrize("given", [None, [], "text", {"record": "text"}, {1: b""}])
def test_anything_but_named_bytes_is_refused(given: object) -> None:
    with pytest.raises(MessageError, match="named bytes"):
        read_reply(given, CELL, PLAN)


def test_only_the_name_of_an_artefact_is_asked_for() -> None:
    assert wanted_artefact({WANTS: b"head-12ab"}) == "head-12ab"
    assert wanted_artefact({WANTS: b"../client.key"}) == ""
    assert wanted_artefact(reply()) == ""
    assert wanted_artefact(None) == ""

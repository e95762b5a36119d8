"""What a worker answers for one cell, as named bytes, and how the driver reads it: as hostile.

``record``: the record as JSON. ``view``: an npz of what the server sees of the sample pictures.
``trace``: text. ``file NAME``: a file of the run folder. ``artefact NAME`` and ``seconds NAME``.
``wants``: the name of an artefact that the worker needs, alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import ValidationError

from he_compare.common.errors import IntegrityError, MessageError
from he_compare.common.kept import Kept
from he_compare.common.run.records import RunRecord
from he_compare.common.run.stored_arrays import MOST_PICTURE_BYTES, npz_bytes, parse_arrays
from he_compare.common.types import Status, UInt8Array
from he_compare.comparisons.cluster.reply_files import check_files
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.sample_pictures import sample_positions

RECORD, VIEW, TRACEBACK, WANTS = "record", "view", "trace", "wants"
FILE, ARTEFACT, SECONDS = "file ", "artefact ", "seconds "
_ARTEFACT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
Reply = dict[str, bytes]


@dataclass(frozen=True)
class CellReply:
    """What came back. ``artefacts``: what the run folder does not have yet."""

    measured: MeasuredCell
    artefacts: Mapping[str, Kept] = field(default_factory=dict)


def pack_reply(measured: MeasuredCell, artefacts: Mapping[str, Kept]) -> Reply:
    """Return a measured cell as named bytes."""
    reply = {RECORD: measured.record.model_dump_json().encode(), TRACEBACK: measured.trace.encode()}
    if measured.view is not None:
        reply[VIEW] = npz_bytes({VIEW: measured.view})
    reply |= {f"{FILE}{name}": content for name, content in measured.files.items()}
    return reply | pack_artefacts(artefacts)


def pack_artefacts(artefacts: Mapping[str, Kept]) -> Reply:
    """Return artefacts that a worker hands over as named bytes."""
    packed = {}
    for name, artefact in artefacts.items():
        packed[f"{ARTEFACT}{name}"] = artefact.data
        if artefact.seconds is not None:
            packed[f"{SECONDS}{name}"] = repr(artefact.seconds).encode()
    return packed


def read_reply(reply: object, cell: PlannedCell, plan: RunPlan) -> CellReply:
    """Read the answer for a cell of a plan. Raises MessageError where it is none."""
    if not isinstance(reply, dict) or not all(
        isinstance(k, str) and isinstance(v, bytes) for k, v in reply.items()
    ):
        raise MessageError("a worker did not answer with named bytes")
    try:
        record = RunRecord.model_validate_json(reply.get(RECORD, b""))
    except ValidationError as error:
        raise MessageError(f"a worker sent no valid record: {error.errors()[0]['msg']}") from None
    if record.identity != cell.identity or record.status is Status.STARTED:
        raise MessageError("a worker sent the record of another cell")
    # As JSON, for a record that crossed has lists where the plan may have tuples.
    if record.cell.model_dump_json() != plan.cell_record(cell).model_dump_json():
        raise MessageError("a worker sent a record that says another cell than was asked")
    files = {k.removeprefix(FILE): v for k, v in reply.items() if k.startswith(FILE)}
    check_files(record, files, plan)
    trace = reply.get(TRACEBACK, b"").decode(errors="replace")
    measured = MeasuredCell(record, files, _view(reply.get(VIEW), plan), trace)
    return CellReply(measured, artefacts_in(reply))


def wanted_artefact(reply: object) -> str:
    """Return the name of the artefact that a worker asks for instead of an answer; '' for none."""
    wanted = reply.get(WANTS, b"") if isinstance(reply, dict) else b""
    name = wanted.decode(errors="replace") if isinstance(wanted, bytes) else ""
    return name if _ARTEFACT_NAME.fullmatch(name) else ""


def _view(data: bytes | None, plan: RunPlan) -> UInt8Array | None:
    if data is None:
        return None
    try:
        arrays = parse_arrays(data, "pictures", most=MOST_PICTURE_BYTES)
    except IntegrityError as error:
        raise MessageError(f"a worker sent pictures that do not read: {error.problem}") from None
    view: Any = arrays.get(VIEW)
    size = tuple(plan.test.images.shape[1:])
    wanted = (len(sample_positions(plan.test.labels, plan.config.pictures)), *size)
    if set(arrays) != {VIEW} or view.dtype != np.uint8 or view.shape != wanted:
        found = ", ".join(f"{name[:20]} {one.dtype} {one.shape}" for name, one in arrays.items())
        raise MessageError(f"a worker sent as pictures {found}; wanted are {VIEW} uint8 {wanted}")
    return np.asarray(view, np.uint8)


def artefacts_in(reply: Reply) -> dict[str, Kept]:
    """Return the artefacts among named bytes. Raises MessageError on a name that is none."""
    found = {}
    for key, data in reply.items():
        if not key.startswith(ARTEFACT):
            continue
        name = key.removeprefix(ARTEFACT)
        if not _ARTEFACT_NAME.fullmatch(name):
            raise MessageError(f"a worker sent an artefact with the name {name[:80]!r}")
        try:
            seconds = float(reply[f"{SECONDS}{name}"]) if f"{SECONDS}{name}" in reply else None
        except ValueError:
            seconds = None
        if seconds is not None and not math.isfinite(seconds):
            seconds = None
        found[name] = Kept(data, seconds)
    return found

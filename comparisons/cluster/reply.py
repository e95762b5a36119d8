"""What a worker answers for one cell, as named bytes, and how the driver reads it: as hostile.

``record``: the record as JSON. ``view``: an npz of what the server sees of the sample pictures.
``trace``: text. ``file NAME``: a file of the run folder. ``artefact NAME`` and ``seconds NAME``.
``wants``: the name of an artefact that the worker needs, alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from he_compare.common.errors import MessageError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import SUM_SUFFIX, Artefact, npz_bytes
from he_compare.common.run.tape import PUBLIC_SUFFIX, TAPE_FOLDER
from he_compare.common.types import Status, UInt8Array
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell

RECORD, VIEW, TRACEBACK, WANTS = "record", "view", "trace", "wants"
FILE, ARTEFACT, SECONDS = "file ", "artefact ", "seconds "
_ARTEFACT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_PUBLIC_FILE = re.compile(rf"{TAPE_FOLDER}/[0-9a-f]{{32}}{re.escape(PUBLIC_SUFFIX)}")
Reply = dict[str, bytes]


@dataclass(frozen=True)
class CellReply:
    """What came back. ``artefacts``: what the run folder does not have yet."""

    measured: MeasuredCell
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)


def pack_reply(measured: MeasuredCell, artefacts: Mapping[str, Artefact]) -> Reply:
    """Return a measured cell as named bytes."""
    reply = {RECORD: measured.record.model_dump_json().encode(), TRACEBACK: measured.trace.encode()}
    if measured.view is not None:
        reply[VIEW] = npz_bytes({VIEW: measured.view})
    reply |= {f"{FILE}{name}": content for name, content in measured.files.items()}
    for name, artefact in artefacts.items():
        reply[f"{ARTEFACT}{name}"] = artefact.data
        if artefact.seconds is not None:
            reply[f"{SECONDS}{name}"] = repr(artefact.seconds).encode()
    return reply


def read_reply(reply: object, cell: PlannedCell) -> CellReply:
    """Read the answer for a cell. Raises MessageError where it is none."""
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
    files = {k.removeprefix(FILE): v for k, v in reply.items() if k.startswith(FILE)}
    for name in files:
        if not _is_of(name, cell):
            raise MessageError(f"a worker sent a file {name[:80]!r}, which its cell does not have")
    if record.predictions and record.predictions not in files:
        raise MessageError("a worker sent a record without its predictions")
    trace = reply.get(TRACEBACK, b"").decode(errors="replace")
    measured = MeasuredCell(record, files, _view(reply.get(VIEW)), trace)
    return CellReply(measured, _artefacts(reply))


def wanted_artefact(reply: object) -> str:
    """Return the name of the artefact that a worker asks for instead of an answer; '' for none."""
    wanted = reply.get(WANTS, b"") if isinstance(reply, dict) else b""
    name = wanted.decode(errors="replace") if isinstance(wanted, bytes) else ""
    return name if _ARTEFACT_NAME.fullmatch(name) else ""


def _is_of(name: str, cell: PlannedCell) -> bool:
    own = (f"predictions/{cell.identity}.npz", f"{TAPE_FOLDER}/{cell.identity}.tape")
    return name in own or _PUBLIC_FILE.fullmatch(name) is not None


def _view(data: bytes | None) -> UInt8Array | None:
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            view: UInt8Array = arrays[VIEW]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise MessageError(f"a worker sent pictures that do not read: {error}") from None
    if view.dtype != np.uint8:
        raise MessageError(f"a worker sent pictures of type {view.dtype}")
    return view


def _artefacts(reply: Reply) -> dict[str, Artefact]:
    found = {}
    for key, data in reply.items():
        if not key.startswith(ARTEFACT):
            continue
        name = key.removeprefix(ARTEFACT)
        if not _ARTEFACT_NAME.fullmatch(name) or name.endswith(SUM_SUFFIX):
            raise MessageError(f"a worker sent an artefact with the name {name[:80]!r}")
        try:
            seconds = float(reply[f"{SECONDS}{name}"]) if f"{SECONDS}{name}" in reply else None
        except ValueError:
            seconds = None
        found[name] = Artefact(data, seconds)
    return found

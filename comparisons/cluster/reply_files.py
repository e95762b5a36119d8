"""The files that a worker sends with a record: what it names, all of it, with the hashes it names.

What is found here would otherwise be found when the run is scored, after its cell is kept as done.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from he_compare.common.errors import IntegrityError, MessageError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.stored_arrays import parse_arrays
from he_compare.common.run.tape import TAPE_FOLDER, parse_tape, public_name
from he_compare.common.types import Phase, Status
from he_compare.comparisons.judging.scoring import checked_predictions
from he_compare.comparisons.measuring.plan import RunPlan


def check_files(record: RunRecord, files: Mapping[str, bytes], plan: RunPlan) -> None:
    """Raise MessageError unless the files are those of the record, and the record's of its cell."""
    tape = record.tape if record.tape and (record.tape.file or record.tape.public_file) else None
    wanted = {f"predictions/{record.identity}.npz"} if record.predictions else set[str]()
    named = {record.predictions} if record.predictions else set[str]()
    if tape is not None:
        wanted.add(f"{TAPE_FOLDER}/{record.identity}.tape")
        named.add(tape.file)
        sent = files.get(tape.public_file)
        # Named after its content: a false one would be taken for that of other cells.
        wanted.add(public_name(sent) if sent is not None else tape.public_file)
        named.add(tape.public_file)
    for name in sorted(set(files) | named):
        if name not in wanted or name not in named:
            raise MessageError(f"a worker sent a file {name[:80]!r}, which its cell does not have")
        if name not in files:
            raise MessageError(f"a worker sent a record without its file {name[:80]!r}")
    if record.status is Status.OK and record.cell.phase is Phase.ACCURACY and not named:
        raise MessageError("a worker sent a record of a test without predictions")
    try:
        if record.predictions:
            _check_predictions(record, files[record.predictions], plan)
        if tape is not None:
            parse_tape(tape, files[tape.file], files[tape.public_file])
    except IntegrityError as error:
        raise MessageError(f"a worker sent a file that does not hold: {error.problem}") from None


def _check_predictions(record: RunRecord, content: bytes, plan: RunPlan) -> None:
    """Raise unless predictions are those of the record, and of the test images in their order."""
    arrays = parse_arrays(content, record.predictions)
    chances = arrays.get("probabilities", np.empty(0))
    wanted = (len(plan.test), len(plan.data.classes))
    if chances.shape != wanted or chances.dtype != np.float64:
        raise IntegrityError(
            f"its probabilities are {chances.dtype} {chances.shape}, expected float64 {wanted}"
        )
    checked_predictions(record, arrays)
    scores, test = arrays["scores"], plan.test
    if scores.shape != wanted or scores.dtype != np.float64:
        raise IntegrityError(f"its scores are {scores.dtype} {scores.shape}, not float64 {wanted}")
    for name, known in (("ids", test.ids), ("groups", test.groups), ("labels", test.labels)):
        if not np.array_equal(arrays[name], np.array(known)):
            raise IntegrityError(f"its {name} are not those of the test images")

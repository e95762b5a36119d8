"""`compare verify`: checks that a run folder is what was written, down to its metrics.

Hashes, then schemas, then invariants (same images and labels in all cells, valid probabilities,
executed predictions equal to the clear model's, verdicts that their advantages give), then scores
computed again from stored predictions, then an acceptance policy. Each problem is one line that
names the file or record.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.errors import CompareError, UsageError
from he_compare.common.run.copies_table import LEFT_OUT, read_copies_table
from he_compare.common.run.folder_claim import owner_of
from he_compare.common.run.positive import positive_scored, without_undefined
from he_compare.common.run.records import Manifest, RunRecord
from he_compare.common.run.store import COPIES_TABLE, SCORES, RunFolder
from he_compare.common.run.sums import SUMS
from he_compare.common.run.tape import tape_problem
from he_compare.common.run.view import RunView, answered, answered_again, read_run
from he_compare.common.run.work_places import latency_notes, timed_records
from he_compare.common.types import FheMode, Phase, Stage, Status
from he_compare.comparisons.judging.limits import Policy, violations
from he_compare.comparisons.judging.mean_scores import StoredPredictions
from he_compare.comparisons.judging.older_scores import in_the_way_of
from he_compare.comparisons.judging.scoring import compute_scores, read_predictions
from he_compare.comparisons.judging.verdict_checks import verdict_problems

# Scores computed by other versions of the same libraries may differ by rounding.
TOLERANCE = 1e-9
MOST_LINES = 20


@dataclass(frozen=True)
class Verification:
    """``problems``: a line each; none where everything holds. ``notes``: what was not checked."""

    problems: list[str]
    notes: list[str]


def verify_run(folder: RunFolder, policy: Policy | None = None) -> list[str]:
    """Return the problems of ``verification``."""
    return verification(folder, policy).problems


def verification(folder: RunFolder, policy: Policy | None = None) -> Verification:
    """Check a run folder.

    Raises UsageError where there is no run, a process is writing it, or the policy names what it
    does not have.
    """
    owner = owner_of(folder.path)
    if owner.lives:
        raise UsageError(
            f"{folder.path} is being written by {owner.words}", fix="verify it when that has ended"
        )
    if not folder.exists() and not folder.sums.exist():
        folder.manifest()
    sums = folder.check_sums()
    notes = list(sums.notes)
    problems = [f"{SUMS}: {line}" for line in sums.problems]
    unreadable = list(_unreadable(folder))
    if unreadable:
        return Verification(problems + unreadable, notes)
    try:
        view = read_run(folder)
        problems += _content_problems(folder, view, policy)
        notes += latency_notes(timed_records(view))
    except UsageError:
        raise
    except Exception as error:  # what is damaged may fail anywhere: it does not hold
        problems.append(f"the run cannot be checked: {type(error).__name__}: {error}")
    return Verification(problems, notes)


def _content_problems(folder: RunFolder, view: RunView, policy: Policy | None) -> Iterator[str]:
    """Say what does not hold in files that parse: invariants, metrics, limits."""
    yield from _copies_problems(folder, view.manifest)
    yield from _record_problems(folder, view)
    yield from verdict_problems(view.outcomes)
    predictions, broken = _predictions(folder, view)
    yield from broken
    yield from _prediction_problems(view.manifest, predictions)
    if not broken:
        yield from _score_problems(folder)
    if policy is not None:
        yield from (f"policy: {line}" for line in violations(policy, view))


def _unreadable(folder: RunFolder) -> Iterator[str]:
    """Say which files do not parse as their schema."""
    readers: tuple[Callable[[], Any], ...]
    readers = (folder.manifest, folder.records, folder.outcomes, folder.pictures)
    if (folder.path / SCORES).is_file():
        readers = (*readers, folder.scores)
    else:
        yield (
            f"{SCORES} is missing: repeat the command that made this run, or run `compare score` "
            "where all its cells are done"
        )
    for read in readers:
        try:
            read()
        except CompareError as error:
            yield error.problem
        except Exception as error:  # damage may fail anywhere
            yield f"{folder.path} cannot be read: {type(error).__name__}: {error}"


def _copies_problems(folder: RunFolder, manifest: Manifest) -> Iterator[str]:
    """Compare the table of what was left out with the counts of the manifest, where it has any."""
    facts = manifest.dataset.copies
    if facts is None or facts.policy != "drop":
        return
    try:
        lines = read_copies_table(folder.path)
    except CompareError as error:
        yield error.problem
        return
    named = {(line.split, line.label, line.id) for line in lines if line.done == LEFT_OUT}
    left_out = Counter((split, label) for split, label, _ in named)
    told = {
        (split, label): count
        for split, labels in facts.copies.items()
        for label, count in labels.items()
    }
    for split, label in sorted(told.keys() | left_out.keys()):
        found, count = left_out[split, label], told.get((split, label), 0)
        if found != count:
            yield (
                f"{COPIES_TABLE}: {found} {split} images of class {label!r} were left out, the "
                f"manifest says {count}"
            )


def _record_problems(folder: RunFolder, view: RunView) -> Iterator[str]:
    for label, pipeline in sorted(view.by_label.items()):
        if pipeline.accuracy is None:
            yield f"records.jsonl: no accuracy cell of {label}"
    for record in view.records:
        name = f"record {record.identity[:8]} ({record.cell.label})"
        if record.cell.label not in view.by_label:
            yield f"{name}: it is not in the plan of the manifest"
        if record.status is not Status.OK:
            continue
        problem = tape_problem(folder.path, record.tape) if record.tape else ""
        if problem:
            yield f"{name}: {problem}"
        if record.server_pid_separate is False:
            yield f"{name}: the server half ran in the client's process"
        yield from (f"{name}: {problem}" for problem in _sent_without_a_server(record))
        yield from (f"{name}: {problem}" for problem in _server_place_problems(record))
        if record.cell.phase is Phase.ACCURACY and not record.predictions:
            yield f"{name}: ok, but without predictions"
        found = record.agreement
        if found is not None and not found.holds:
            yield f"{name}: {found.agree} of {found.compared} executed predictions agree"
        if found is not None and record.fhe_mode is FheMode.EXECUTE and found.executed == 0:
            yield f"{name}: it claims execution, but no image was executed"


def _sent_without_a_server(record: RunRecord) -> Iterator[str]:
    """Say what a record holds that cannot be where there is no server."""
    if not record.no_server:
        return
    sent = record.traffic
    counts = sent.model_dump(exclude={"n_images", "jpeg_bytes"}).values() if sent else ()
    if any(counts) or record.tape is not None:
        yield "it says that there is no server, and holds bytes that were sent"
    facts = (record.server_pid_separate, record.server_peak_bytes, record.servers_replaced)
    if any(one is not None for one in facts):
        yield "it says that there is no server, and holds facts of its process"
    if record.server_on or record.server_host is not None:
        yield "it says that there is no server, and where it ran"


def _server_place_problems(record: RunRecord) -> Iterator[str]:
    """Say where what a record holds of its server's machine contradicts itself."""
    host = record.server_host
    if record.server_on == "another machine" and host is None:
        yield "its server ran on another machine, and it does not say on which"
    measured = any(one.stage is Stage.NETWORK for one in record.measurements)
    if host is None and measured:
        yield "it holds measured network time, and no host that was reached over a network"
    if host is None:
        return
    numbers = (
        host.clock_offset_seconds,
        host.clock_uncertainty_seconds,
        *host.round_trip_seconds,
    )
    if not all(map(math.isfinite, numbers)) or min(numbers[1:]) < 0:
        yield "round trips or the clock of its host are no durations"


def _predictions(
    folder: RunFolder, view: RunView
) -> tuple[dict[str, StoredPredictions], list[str]]:
    """Read all stored predictions by label; with them, one line per file that does not hold.

    Those of a further seed are named by it.
    """
    found: dict[str, StoredPredictions] = {}
    problems = []
    first, again = (get(view.records, view.manifest) for get in (answered, answered_again))
    for record in (*first, *again):
        seed = "" if record.cell.seed == view.manifest.seed else f", seed {record.cell.seed}"
        try:
            found[f"{record.cell.label}{seed}"] = read_predictions(folder, record)
        except CompareError as error:
            problems.append(error.problem)
    return found, problems


def _prediction_problems(
    manifest: Manifest, predictions: dict[str, StoredPredictions]
) -> Iterator[str]:
    """Compare every cell with the first: same images, labels and groups in the same order."""
    test = manifest.dataset.splits.get("test")
    first: tuple[str, StoredPredictions] | None = None
    for label, arrays in predictions.items():
        first = first or (label, arrays)
        for name in ("ids", "labels", "groups"):
            if not np.array_equal(arrays[name], first[1][name]):
                yield f"predictions of {label}: {name} differ from those of {first[0]}"
        if test is not None and len(arrays["ids"]) != test.n:
            yield f"predictions of {label}: {len(arrays['ids'])} images, the manifest says {test.n}"
        yield from _chance_problems(label, arrays, len(manifest.dataset.card.classes))
    yield from _validation_problems(manifest, predictions)


def _chance_problems(label: str, arrays: StoredPredictions, classes: int) -> Iterator[str]:
    """Say which probabilities of a cell are none."""
    for name in sorted({"probabilities", "validation_probabilities"} & set(arrays)):
        chances = arrays[name]
        if chances.shape[1:] != (classes,) or not np.isfinite(chances).all():
            yield f"predictions of {label}: {name} are not finite (n, {classes})"
        elif np.abs(chances.sum(axis=1) - 1).max(initial=0) > 1e-6 or chances.min(initial=0) < 0:
            yield f"predictions of {label}: {name} do not sum to 1"


def _validation_problems(
    manifest: Manifest, predictions: dict[str, StoredPredictions]
) -> Iterator[str]:
    """Compare the validation labels of all cells with those of the first and with the plan."""
    held = {
        label: arrays["validation_labels"]
        for label, arrays in predictions.items()
        if "validation_labels" in arrays
    }
    split = manifest.dataset.splits.get("val")
    for label, labels in held.items():
        first = next(iter(held))
        if not np.array_equal(labels, held[first]):
            yield f"predictions of {label}: validation labels differ from those of {first}"
        if split is not None and len(labels) != split.n:
            says = f"the manifest says {split.n}"
            yield f"predictions of {label}: {len(labels)} validation images, {says}"


def _score_problems(folder: RunFolder) -> list[str]:
    """Compute the scores again, in the way of their version, and say where scores.json differs."""
    known = without_undefined(folder.scores())
    try:
        again = compute_scores(folder, positive_scored(folder.manifest().dataset.card, known))
    except CompareError as error:
        return [error.problem]
    again = in_the_way_of(known, without_undefined(again))
    stored = known.model_dump(mode="json")
    lines = list(_differences(stored, again.model_dump(mode="json"), ""))
    rest = len(lines) - MOST_LINES
    more = [f"{SCORES}: {rest} more differences"] if rest > 0 else []
    return [f"{SCORES}: {line}" for line in lines[:MOST_LINES]] + more


def _differences(stored: Any, again: Any, where: str) -> Iterator[str]:
    """Compare two JSON values; yield a line per leaf that differs."""
    if isinstance(stored, dict) and isinstance(again, dict):
        for name in sorted(stored.keys() | again.keys()):
            yield from _differences(
                stored.get(name), again.get(name), f"{where}.{name}".lstrip(".")
            )
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for index, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from _differences(one, other, f"{where}[{_named(one, index)}]")
    elif not _same(stored, again):
        yield f"{where} is {_short(stored)}, predictions give {_short(again)}"


def _named(item: Any, index: int) -> str:
    """Name an element by its label or name where it has one."""
    if isinstance(item, dict):
        for key in ("label", "pipeline", "name"):
            if isinstance(item.get(key), str):
                return str(item[key])
    return str(index)


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and not isinstance(one, bool) and not isinstance(other, bool):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."

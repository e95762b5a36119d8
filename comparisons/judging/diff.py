"""`compare diff`: two runs side by side, paired if both classified the same images.

Timings of different machines or versions do not belong in one table, so runs of different
environments are refused unless that is asked for, and then the differences come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from he_compare.common.errors import UsageError
from he_compare.common.run.records import MeanDifference, PairedDifference
from he_compare.common.run.repeated_trainings import TrainingSpread, spread_of
from he_compare.common.run.server_places import SAME_MACHINE
from he_compare.common.run.spelling import fixed, probability, significant
from he_compare.common.run.store import RunFolder
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView, read_run
from he_compare.common.run.work_places import latency_notes, timed_on, timed_records
from he_compare.common.statistics.paired import COMPARED, paired_differences
from he_compare.common.types import Status
from he_compare.comparisons.judging.leak_worth import lines_of, worth_by_part
from he_compare.comparisons.judging.mean_scores import (
    SAME_IMAGES,
    THRESHOLD,
    MeansOfRun,
    StoredPredictions,
)
from he_compare.comparisons.judging.scoring import EXPECTED, read_predictions
from he_compare.comparisons.terminal import fold_text, unbroken

METRIC_NAMES = {"accuracy": "accuracy", "auc": "AUC"}
COST_NAMES = {"p50_ms": "one image, ms (p50)", "bytes_per_image": "bytes per image"}
SETTINGS = ("python", "platform", "cpu", "logical_cores", "threads", "source_commit")


def diff_runs(
    first: RunFolder, second: RunFolder, *, allow_other_environment: bool
) -> dict[str, Any]:
    """Return the differences of run B from run A as JSON values.

    ``same``: "run" where both folders hold one run, "results" where all its pipelines gave the same
    scores for the same images, else "".

    Raises UsageError where a run has no scores, or where their environments differ and that was
    not allowed.
    """
    a, b = _scored_view(first), _scored_view(second)
    environment = _environment_differences(a, b)
    if environment and not allow_other_environment:
        raise UsageError(
            "the runs come from different environments: " + "; ".join(environment[:6]),
            fix="pass --allow-other-environment to compare them anyway",
        )
    ours, theirs = a.by_label, b.by_label
    return {
        "same": _same(a, b),
        "a": _summary(a),
        "b": _summary(b),
        "environment": environment,
        "settings": _setting_differences(a, b),
        "latency_machines": _latency_machines(a, b),
        "only_in_a": [label for label in ours if label not in theirs],
        "only_in_b": [label for label in theirs if label not in ours],
        "pipelines": [_pipeline(label, a, b) for label in ours if label in theirs],
    }


def _same(a: RunView, b: RunView) -> str:
    if a.manifest == b.manifest and a.records == b.records and a.scores == b.scores:
        return "run"
    if not a.by_label or a.by_label.keys() != b.by_label.keys():
        return ""
    return "results" if all(_same_answers(label, a, b) for label in a.by_label) else ""


def _same_answers(label: str, a: RunView, b: RunView) -> bool:
    """Say whether a pipeline was measured in both runs and gave each image the same scores."""
    sides = _same_images(label, a, b)
    if sides is None:
        return False
    ours, theirs = sides
    return np.array_equal(ours["probabilities"], theirs["probabilities"])


def _scored_view(folder: RunFolder) -> RunView:
    folder.scores()
    return read_run(folder)


def _summary(run: RunView) -> dict[str, Any]:
    manifest = run.manifest
    return {
        "plan": manifest.plan,
        "created_at": manifest.created_at,
        "dataset": manifest.dataset.card.name,
        "fingerprint": manifest.dataset.fingerprint,
        "backbone": f"{manifest.backbone.name} {manifest.backbone.weights_sha256[:12]}",
    }


def _environments(run: RunView) -> dict[str, set[str]]:
    """Return every recorded value of each setting that timings depend on."""
    found: dict[str, set[str]] = {}
    for record in run.records:
        one = record.environment
        if one is None:
            continue
        for name in SETTINGS:
            found.setdefault(name, set()).add(str(getattr(one, name)))
        for package, version in one.packages.items():
            found.setdefault(f"package {package}", set()).add(version)
        if not record.no_server and record.status is Status.OK:
            host = record.server_host
            place = f"host {host.machine[:8]}" if host else record.server_on or SAME_MACHINE
            found.setdefault("servers on", set()).add(place)
    return found


def _environment_differences(a: RunView, b: RunView) -> list[str]:
    ours, theirs = _environments(a), _environments(b)
    return [
        f"{name} {_met(ours.get(name))} and {_met(theirs.get(name))}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _latency_machines(a: RunView, b: RunView) -> list[str]:
    """Say where times of one image, in a run or between the two, are of different machines."""
    ours, theirs = timed_records(a), timed_records(b)
    lines = [
        f"{side}: {one}" for side, of in (("A", ours), ("B", theirs)) for one in latency_notes(of)
    ]
    kinds = timed_on(ours), timed_on(theirs)
    if ours and theirs and kinds[0] != kinds[1]:
        lines.append(
            "B / A of one image compares different machines: "
            f"{' and '.join(kinds[0])} in A, {' and '.join(kinds[1])} in B"
        )
    return lines


def _met(values: set[str] | None) -> str:
    return " or ".join(sorted(values)) if values else "not recorded"


def _setting_differences(a: RunView, b: RunView) -> list[str]:
    ours, theirs = a.manifest, b.manifest
    found = [
        f"{name}: {ours.settings.get(name)} and {theirs.settings.get(name)}"
        for name in sorted(ours.settings.keys() | theirs.settings.keys())
        if ours.settings.get(name) != theirs.settings.get(name)
    ]
    if ours.dataset.fingerprint != theirs.dataset.fingerprint:
        found.append(
            f"dataset: {ours.dataset.fingerprint[:12]} and {theirs.dataset.fingerprint[:12]}"
        )
    if ours.backbone.weights_sha256 != theirs.backbone.weights_sha256:
        found.append(
            f"weights: {ours.backbone.weights_sha256[:12]} and "
            f"{theirs.backbone.weights_sha256[:12]}"
        )
    return found


def _pipeline(label: str, a: RunView, b: RunView) -> dict[str, Any]:
    ours, theirs = a.by_label[label], b.by_label[label]
    found: dict[str, Any] = {"label": label}
    means = _mean_pairs(label, a, b)
    for name in COMPARED:
        both = ours, theirs
        metrics = [one.metric(name) if means else one.first_metric(name) for one in both]
        values = [one.value if one else None for one in metrics]
        found[name] = {"a": values[0], "b": values[1], "difference": _minus(*values)}
    found["p50_ms"] = _pair(_p50_ms(ours), _p50_ms(theirs))
    found["bytes_per_image"] = _pair(_bytes(ours), _bytes(theirs))
    sides = _same_images(label, a, b)
    pairs: Sequence[PairedDifference] | None = means or None
    if not means and sides:
        pairs = _paired(label, a, sides)
    found["paired"] = pairs is not None
    found["parts"] = worth_by_part(label, a, b, *sides) if sides else []
    for one in pairs or []:
        found[one.metric] |= {
            "difference": one.difference,
            "interval": [one.interval.low, one.interval.high] if one.interval else None,
            "p_value": one.p_value,
            "p_method": one.p_method,
            "n": one.n,
        }
        if spread := spread_of(one):
            found[one.metric] |= {"trainings": list(spread.values)}
    return found


def _mean_pairs(label: str, a: RunView, b: RunView) -> list[MeanDifference]:
    """Return B minus A as means over the seeds of both; [] with one training in common.

    What is shown of A and of B is then the mean over the same seeds.
    """
    ours, theirs = a.by_label[label].means, b.by_label[label].means
    if ours is None or theirs is None or ours.seeds != theirs.seeds:
        return []
    trained = {name: _in_order_by_seed(label, run) for name, run in (("a", a), ("b", b))}
    first = trained["a"][ours.seeds[0]]
    every = [one for side in trained.values() for one in side.values()]
    if not all(np.array_equal(one[name], first[name]) for one in every for name in SAME_IMAGES):
        return []
    means = MeansOfRun(trained, a.manifest.dataset.card, a.manifest.seed)
    renamed = {"pipeline": label, "reference": label}
    return [one.model_copy(update=renamed) for one in means.minus("b", "a", COMPARED)]


def _in_order_by_seed(label: str, run: RunView) -> dict[int, StoredPredictions]:
    pipeline = run.by_label[label]
    records = [pipeline.measured, *(one.record for one in pipeline.repeats)]
    return {
        one.cell.seed: _in_order(read_predictions(RunFolder(run.path), one))
        for one in records
        if one is not None and one.predictions
    }


def _p50_ms(pipeline: PipelineView) -> float | None:
    latency = latency_of(pipeline)
    return 1e3 * latency.total.p50 if latency else None


def _bytes(pipeline: PipelineView) -> float | None:
    moved = pipeline.bytes_per_image
    return sum(moved) if moved else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def _pair(a: float | None, b: float | None) -> dict[str, float | None]:
    ratio = None if not a or b is None else b / a
    return {"a": a, "b": b, "ratio": ratio}


def _same_images(
    label: str, a: RunView, b: RunView
) -> tuple[StoredPredictions, StoredPredictions] | None:
    """Return the predictions of A and of B in one order; None if they classified other images."""
    sides = []
    for run in (a, b):
        record = run.by_label[label].measured
        if record is None or not record.predictions:
            return None
        sides.append(_in_order(read_predictions(RunFolder(run.path), record)))
    ours, theirs = sides
    same = all(np.array_equal(ours[name], theirs[name]) for name in ("ids", "labels", "groups"))
    if not same or a.manifest.dataset.card.classes != b.manifest.dataset.card.classes:
        return None
    return ours, theirs


def _paired(
    label: str, a: RunView, sides: tuple[StoredPredictions, StoredPredictions]
) -> list[PairedDifference]:
    """Return B minus A image by image."""
    ours, theirs = sides
    return paired_differences(
        label,
        label,
        theirs,
        ours,
        a.manifest.dataset.card,
        seed=a.manifest.seed,
        threshold=THRESHOLD,
    )


def _in_order(arrays: StoredPredictions) -> StoredPredictions:
    """Return what is compared, in the order of the ids: arrays of one entry per image."""
    order = np.argsort(arrays["ids"], kind="stable")
    return {name: array[order] for name, array in arrays.items() if name in EXPECTED}


def render(found: dict[str, Any], columns: int | None = None) -> str:
    """Lay the differences out in lines of at most ``columns``; None: no limit."""
    return "\n".join(line for text in _lines(found) for line in fold_text(text, columns, "    "))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if found["same"] == "run":
        yield f"A and B are the same run: {_run_line(found['a'])}"
        return
    yield f"A: {_run_line(found['a'])}"
    yield f"B: {_run_line(found['b'])}"
    yield from (f"environment: {line}" for line in found["environment"])
    yield from (f"settings: {line}" for line in found["settings"])
    yield from (f"latency: {line}" for line in found["latency_machines"])
    for side in ("a", "b"):
        if found[f"only_in_{side}"]:
            yield f"only in {side.upper()}: " + ", ".join(found[f"only_in_{side}"])
    if found["same"] == "results":
        yield (
            "No difference in results: every pipeline gave every image the same scores. "
            "What it cost may differ:"
        )
    for one in found["pipelines"]:
        yield ""
        yield one["label"] + ("" if one["paired"] else " (different images: not paired)")
        if found["same"] != "results":
            yield from (f"  {METRIC_NAMES[name]}: {_metric_line(one[name])}" for name in COMPARED)
        yield from (f"  {words}: {_cost_line(one[name])}" for name, words in COST_NAMES.items())
        yield from lines_of(one["parts"])


def _run_line(run: dict[str, Any]) -> str:
    return f"{run['dataset']} {run['fingerprint'][:12]}, {run['backbone']}, {run['created_at']}"


def _metric_line(one: dict[str, Any]) -> str:
    line = f"{_number(one['a'])} -> {_number(one['b'])}"
    line += f", B - A {_number(one['difference'], signed=True)}"
    if one.get("interval"):
        line += f" {_ends(one['interval'])}"
    if values := one.get("trainings"):
        line += f" ({TrainingSpread(tuple(values)).words(signed=True)})"
    if one.get("p_value") is not None:
        line += f", p {probability(one['p_value'])} ({one['p_method']})"
    return line + (f", n {one['n']}" if "n" in one else "")


def _ends(interval: list[float]) -> str:
    return unbroken("[{}, {}]".format(*(fixed(end, signed=True) for end in interval)))


def _number(value: float | None, *, signed: bool = False) -> str:
    return "-" if value is None else fixed(value, signed=signed)


def _cost_line(one: dict[str, Any]) -> str:
    sides = ["-" if one[side] is None else significant(one[side]) for side in ("a", "b")]
    line = " -> ".join(sides)
    return line if one["ratio"] is None else f"{line}, B / A {significant(one['ratio'])}"

"""A run as the measurement files of the HomomorphicEncryption.org FHE benchmarking suite.

Its harness writes one JSON file per measurement with ``model_name``, ``dataset_name``, ``Timing``,
``Bandwidth``, ``Quality`` and ``Server Reported``: seconds as "0.0728s", sizes in units of 1,024 as
"31.8G". The names of the steps are those of its workload ml-inference. What this project does not
measure as the suite does is left out, and ``Notes`` says so. Source: the suite's repository
fhe-benchmarking/ml-inference, harness/utils.py and measurements/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.records import CellScores
from he_compare.common.run.timing import cold_steps, latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import FheMode, Side, Stage

ONCE = (
    ("Key Generation", Side.CLIENT, (Stage.KEYGEN,)),
    ("Encrypted model preprocessing", Side.SERVER, (Stage.SERVER_LOAD,)),
)
PER_IMAGE = (
    ("Input preprocessing", Side.CLIENT, (Stage.PREPROCESS, Stage.FEATURES)),
    ("Input encryption", Side.CLIENT, (Stage.ENCODE, Stage.ENCRYPT, Stage.SERIALIZE)),
    ("Encrypted computation", Side.SERVER, (Stage.DESERIALIZE, Stage.EVALUATE, Stage.SERIALIZE)),
    ("Result decryption", Side.CLIENT, (Stage.DESERIALIZE, Stage.DECRYPT, Stage.DECODE)),
)
UNMEASURED = (
    "Left out, not measured as steps of their own: Test dataset generation, Input generation, "
    "Result postprocessing.",
    "Left out, no steps of the suite: fitting and compiling the model, and the transport.",
)
SINGLE = (
    "Times are medians of single images in a closed loop; Total is the sum of the steps above, "
    "as in the suite's harness."
)


def executed(pipelines: Iterable[PipelineView]) -> list[PipelineView]:
    """Return the pipelines that computed on ciphertexts: never simulated ones."""
    return [one for one in pipelines if one.measured and one.measured.fhe_mode is FheMode.EXECUTE]


def bench_file(view: RunView, pipeline: PipelineView) -> dict[str, Any]:
    """Return the measurement file of one pipeline as JSON values."""
    timing = _once(pipeline) | _per_image(pipeline)
    missing = [name for name, *_ in (*ONCE, *PER_IMAGE) if name not in timing]
    timing["Total"] = sum(timing.values())
    notes = [SINGLE, *UNMEASURED]
    if missing:
        notes.append("Left out, not measured in this run: " + ", ".join(missing) + ".")
    return {
        "model_name": pipeline.label,
        "dataset_name": view.manifest.dataset.card.name,
        "Timing": {name: _seconds(value) for name, value in timing.items()},
        "Bandwidth": _bandwidth(pipeline),
        "Quality": _quality(view, pipeline),
        "Server Reported": _server_reported(pipeline),
        "Notes": notes,
    }


def write_bench_files(view: RunView, pipelines: Sequence[PipelineView], out: Path) -> list[Path]:
    """Write one file per executed pipeline into the folder ``out``, or one file ``out``.json.

    Raises UsageError where none was executed, or where one file is asked for several.
    """
    found = executed(pipelines)
    if not found:
        raise UsageError(
            "no pipeline of this run computed on ciphertexts",
            fix="export a run with an fhe- pipeline whose cell ended ok",
        )
    if out.suffix == ".json":
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} pipelines do not go into one file",
                fix="pass a folder as --out, or name one with --pipeline",
            )
        paths = [out]
    else:
        paths = [out / f"{name}.json" for name in _file_names(found)]
    for path, pipeline in zip(paths, found, strict=True):
        text = json.dumps(bench_file(view, pipeline), indent=2, ensure_ascii=False)
        _write(path, text + "\n")
    return paths


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", fix="name another place with --out"
        ) from None


def _file_names(pipelines: Sequence[PipelineView]) -> list[str]:
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", one.label).strip("-.")[:80] for one in pipelines]
    return [
        name if name and names.count(name) == 1 else f"{name or 'pipeline'}-{one.number}"
        for name, one in zip(names, pipelines, strict=True)
    ]


def _once(pipeline: PipelineView) -> dict[str, float]:
    """Return the mean seconds of each one-time step that was measured."""
    found: dict[str, float] = {}
    for name, side, stages in ONCE:
        parts = [
            one.seconds
            for one in cold_steps(pipeline)
            if one.side is side and one.stage in stages and one.seconds is not None
        ]
        if parts:
            found[name] = sum(parts)
    return found


def _per_image(pipeline: PipelineView) -> dict[str, float]:
    """Return the median seconds per image of each step that was measured."""
    latency = latency_of(pipeline)
    found: dict[str, float] = {}
    for name, side, stages in PER_IMAGE:
        parts = [
            one.spread.p50
            for one in (latency.stages if latency else ())
            if one.side is side and one.stage in stages
        ]
        if parts:
            found[name] = sum(parts)
    return found


def _server_reported(pipeline: PipelineView) -> dict[str, str]:
    """Return the median seconds per image of each stage by the server's own clock."""
    latency = latency_of(pipeline)
    return {
        one.stage.value: _seconds(one.spread.p50)
        for one in (latency.stages if latency else ())
        if one.side is Side.SERVER
    }


def _bandwidth(pipeline: PipelineView) -> dict[str, str]:
    traffic = pipeline.measured.traffic if pipeline.measured else None
    if traffic is None:
        return {}
    found = {"Public and evaluation keys": _size(traffic.public_material_bytes)}
    if traffic.n_images:
        found["Encrypted input"] = _size(traffic.payload_upload_bytes / traffic.n_images)
        found["Encrypted results"] = _size(traffic.payload_download_bytes / traffic.n_images)
    return found


def _quality(view: RunView, pipeline: PipelineView) -> dict[str, dict[str, float]]:
    """Return right answers and images of the pipeline, and of its twin as the harness model."""
    twin = view.twin_of(pipeline)
    found = {"Encrypted model quality": pipeline.scores}
    if twin is not None:
        found["Harness model quality"] = twin.scores
    return {name: _counts(scores) for name, scores in found.items() if scores is not None}


def _counts(scores: CellScores) -> dict[str, float]:
    total = sum(map(sum, scores.confusion))
    right = sum(row[place] for place, row in enumerate(scores.confusion))
    return {
        "correct_predictions": right,
        "total_samples": total,
        "accuracy": right / total if total else 0,
    }


def _seconds(value: float) -> str:
    return f"{value:.6f}s"


def _size(count: float) -> str:
    """Spell a size as the suite's harness does: one decimal, units of 1,024."""
    for unit in "BKMGT":
        if count < 1024:
            return f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}P"

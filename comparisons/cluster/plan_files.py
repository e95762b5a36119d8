"""A plan as files of one machine: what the driver has found and read is not read once more.

Images lie there as they are: the folder is private, and goes when the run ends. A worker on another
machine opens the dataset itself (``he_compare.comparisons.cluster.run_order``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.datasets.stored.picture_file import PictureFile, StoredPictures
from he_compare.common.errors import IntegrityError
from he_compare.common.files import write_atomic
from he_compare.common.run.records import BackboneSummary, DatasetSummary
from he_compare.common.run.stored_arrays import load_arrays, save_arrays
from he_compare.common.types import (
    HeldPictures,
    ImageBatch,
    IntArray,
    Pictures,
    Split,
    in_portions,
)
from he_compare.comparisons.measuring.config import RunConfig
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planning import put_together, resolve_pipelines
from he_compare.comparisons.measuring.threads import ThreadShare

FACTS = "plan.json"


def write_plan(plan: RunPlan, folder: Path) -> None:
    """Write what a worker of this machine needs to have the same plan."""
    batches = {Split.TRAIN: plan.data.train, Split.VAL: plan.data.val, Split.TEST: plan.test}
    stored: dict[str, str] = {}
    for split, batch in batches.items():
        save_arrays(
            folder / f"{split.value}.npz",
            {
                "ids": np.array(batch.ids),
                "groups": np.array(batch.groups),
                "labels": batch.labels,
                "rows": np.empty(0, np.int64),
            }
            | _rows_of(batch),
        )
        stored[split.value] = _place_of(batch)
        if not stored[split.value]:
            _write_images(folder / f"{split.value}.npy", batch)
    facts = {
        "stored": stored,
        "digests": {split.value: batch.images.digest() for split, batch in batches.items()},
        "summary": plan.summary.model_dump(mode="json"),
        "backbone": plan.backbone.model_dump(mode="json"),
        "not_run": dict(plan.not_run),
        "dataset_spec": plan.dataset_spec,
    }
    write_atomic(folder / FACTS, json.dumps(facts).encode(), mode=0o600)


def read_plan(folder: Path, config: RunConfig, key_file: Path, threads: ThreadShare) -> RunPlan:
    """Return the plan that was written; its images stay on the disk until they are used."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_bytes())
    summary = DatasetSummary.model_validate(facts["summary"])
    batches = {split: _read_batch(folder, split, facts) for split in Split}
    return put_together(
        config,
        facts["dataset_spec"],
        summary,
        BackboneSummary.model_validate(facts["backbone"]),
        resolve_pipelines(config),
        batches,
        key_file,
        threads,
        not_run=facts["not_run"],
    )


def _write_images(path: Path, batch: ImageBatch) -> None:
    """Write images as npy, a portion at a time."""
    header = {"descr": "|u1", "fortran_order": False, "shape": batch.images.shape}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
        for portion in in_portions(batch.images):
            stream.write(np.ascontiguousarray(portion).tobytes())


def _rows_of(batch: ImageBatch) -> dict[str, IntArray]:
    images = batch.images
    return {"rows": images.rows} if isinstance(images, StoredPictures) and images.has_name else {}


def _place_of(batch: ImageBatch) -> str:
    """Return the file in which images already lie; '' for none."""
    images = batch.images
    if isinstance(images, StoredPictures) and images.has_name:
        return str(images.path.resolve())
    return ""


def _read_batch(folder: Path, split: Split, facts: dict[str, Any]) -> ImageBatch:
    """Leave images where they lie and read the rest. Raises IntegrityError on other images.

    Of mapped images, pages that are written to are copies of this process.
    """
    arrays = load_arrays(folder / f"{split.value}.npz")
    images: Pictures
    if place := facts["stored"][split.value]:
        images = StoredPictures(PictureFile(Path(place)), arrays["rows"])
    else:
        path = folder / f"{split.value}.npy"
        images = HeldPictures(np.load(path, mmap_mode="c", allow_pickle=False))
    if images.digest() != facts["digests"][split.value]:
        raise IntegrityError(
            f"the {split.value} images changed after the run was planned",
            fix="run the same command again",
        )
    return ImageBatch(
        ids=tuple(str(one) for one in arrays["ids"]),
        images=images,
        labels=arrays["labels"],
        groups=tuple(str(one) for one in arrays["groups"]),
    )

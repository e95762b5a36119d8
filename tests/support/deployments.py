"""Pipelines that are really fitted and deployed, on a few invented images."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common import plugins
from he_compare.common.attack import Inspected
from he_compare.common.contracts import Deployed, Parameters, RunSettings, TrainingData
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.types import HeldPictures, ImageBatch, UInt8Array
from he_compare.comparisons.measuring.fitting import Ground, fit_and_deploy

SIZE = 32
CLASSES = ("a", "b")


@cache
def images() -> UInt8Array:
    """Return 30 images of noise, every other one darker in its upper half."""
    random = np.random.default_rng(0)
    made = random.integers(0, 256, (30, SIZE, SIZE, 3), dtype=np.uint8)
    made[1::2, : SIZE // 2] //= 2
    return made


def batch() -> ImageBatch:
    """Return the images with their labels, each a group of its own."""
    ids = tuple(str(i) for i in range(len(images())))
    return ImageBatch(ids=ids, images=images(), labels=np.arange(len(ids)) % 2, groups=ids)


def ground(folder: Path, backbone: str = "deit_tiny_distilled_patch16_224") -> Ground:
    """Return what a pipeline is fitted on: untrained weights, one epoch, one thread."""
    return Ground(
        data=TrainingData(batch(), batch(), CLASSES, "invented"),
        settings=RunSettings(
            image_size=SIZE,
            backbone=backbone,
            weights="untrained",
            epochs=1,
            batch_size=8,
            learning_rate=1e-4,
            threads=1,
            infer_batch=8,
        ),
        seed=0,
        call_seconds=120.0,
        key_file=folder / "client.key",
        artefacts=ArtefactFolder(folder / "artefacts"),
        cache_dir=folder / "cache",
        progress=lambda what, done, total: None,
    )


_kept: dict[tuple[str, str], Deployed] = {}


def deployed(name: str, parameters: Parameters | None = None) -> Deployed:
    """Fit and deploy a pipeline, once per process for the same parameters."""
    pipeline = plugins.load("pipelines", name)
    chosen = parameters or pipeline.parameters()
    key = name, chosen.model_dump_json()
    if key not in _kept:
        with tempfile.TemporaryDirectory() as folder:
            _kept[key] = fit_and_deploy(pipeline, chosen, ground(Path(folder))).deployed
    return _kept[key]


def inspected(name: str, parameters: Parameters | None = None) -> Inspected:
    """Return what a check looks at: a deployed pipeline, or a cipher where ``name`` is ''."""
    from he_compare.comparisons.auditing.targets import scheme_of_cipher

    one = deployed(name, parameters) if name else None
    scheme: Any = scheme_of_cipher("np", {}, SIZE) if one is None else one.scheme((SIZE, SIZE, 3))
    return Inspected(
        label=name or "np",
        pipeline=name,
        deployed=one,
        scheme=scheme,
        images=HeldPictures(images()),
        labels=batch().labels,
        classes=CLASSES,
    )

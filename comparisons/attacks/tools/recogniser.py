"""A recogniser of plain images: how useful a reconstruction still is, beside its SSIM.

Logistic regression on small thumbnails, fitted on plain auxiliary images with their labels. It
belongs to the sealed side: it scores pictures, the adversary does not have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from he_compare.common.adversary import Truth
from he_compare.common.attack_score import Detail
from he_compare.common.types import Float64Array, ImageBatch, IntArray, UInt8Array, in_portions
from he_compare.comparisons.attacks.tools.descriptors import blocks_of

Recogniser: TypeAlias = Callable[[UInt8Array], IntArray]
SIDE = 14
MOST_IMAGES = 400


def fit_recogniser(batch: ImageBatch) -> Recogniser | None:
    """Fit on plain images; None where they are all of one class."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    some = batch.take(slice(0, MOST_IMAGES))
    if len(np.unique(some.labels)) < 2:
        return None
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight="balanced")
    )
    small = [_thumbnails(part) for part in in_portions(some.images)]
    model.fit(np.concatenate(small), some.labels)

    def recognise(images: UInt8Array) -> IntArray:
        return model.predict(_thumbnails(images))

    return recognise


def recognised(
    reconstructions: UInt8Array, originals: UInt8Array, labels: IntArray, truth: Truth
) -> list[Detail]:
    """Say how often a recogniser of plain images is right on reconstructions, and on originals."""
    if truth.recognise is None:
        return []
    after = float((truth.recognise(reconstructions) == labels).mean())
    before = float((truth.recognise(originals) == labels).mean())
    return [
        Detail("recogniser right on the reconstruction", after),
        Detail("recogniser right on the original", before),
    ]


def _thumbnails(images: UInt8Array) -> Float64Array:
    shape = images.shape[1:]
    side = max(1, min(shape[0], shape[1]) // SIDE)
    rows = images.reshape(len(images), -1).astype(np.float64)
    return blocks_of(rows, (shape[0], shape[1], shape[2]), side).mean(axis=2)

"""A cheap stand-in for the DeiT that computes features: random projections of the pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from he_compare.common.backbones import features
from he_compare.common.identity import array_digest
from he_compare.common.types import Float32Array, UInt8Array


class FakeExtractor:
    """``width`` random projections of the pixels; counts how many images it has seen."""

    def __init__(
        self,
        name: str,
        image_size: int,
        weights: str,
        seed: int,
        threads: int | None = None,
        device: str = "cpu",
        *,
        width: int,
    ) -> None:
        generator = np.random.default_rng(seed)
        self.name, self.width = name, width
        self._projection = generator.normal(size=(image_size**2 * 3, width)) / image_size
        self.weights_sha256 = array_digest(self._projection)
        self.seen = 0
        self.limit = None

    @contextlib.contextmanager
    def on(self, device: str) -> Iterator[None]:
        yield

    def __call__(self, images: UInt8Array) -> Float32Array:
        self.seen += len(images)
        flat = images.reshape(len(images), -1) / 255.0
        return (flat @ self._projection).astype(np.float32)


def replace_backbone(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Let every pipeline take its features from a FakeExtractor of this width."""
    monkeypatch.setattr(features, "FeatureExtractor", partial(FakeExtractor, width=width))

"""Feature vectors of images, and their cache on disk keyed by images, weights and preprocessing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.backbones.deit import (
    build_vit,
    pixel_statistics,
    predict_logits,
    state_bytes,
    state_digest,
)
from he_compare.common.backbones.device import (
    CPU,
    batch_limit,
    device_identity,
    memory_warning,
    moved,
)
from he_compare.common.contracts import RunContext
from he_compare.common.errors import IntegrityError
from he_compare.common.exclusive import one_at_a_time
from he_compare.common.files import close_to_others
from he_compare.common.identity import key_of, source_digest
from he_compare.common.kept import FEATURES_FOLDER, Kept, KeptResults
from he_compare.common.run.stored_arrays import npz_bytes, parse_arrays
from he_compare.common.seeds import seed_for
from he_compare.common.sources import sources_of
from he_compare.common.types import Float32Array, ImageBatch, UInt8Array

# Images are handed to the network in pieces of this size, so that progress can be shown.
PIECE = 64
FEATURES = "features"


class FeatureExtractor:
    """A frozen DeiT: uint8 (n, h, w, 3) to float32 (n, width), on ``device``."""

    def __init__(
        self,
        name: str,
        image_size: int,
        weights: str,
        seed: int,
        threads: int | None = None,
        device: str = CPU,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.name = name
        self.image_size = image_size
        self.width = find_backbone(name).width
        self._model = build_vit(
            name, image_size=image_size, classes=0, weights=weights, seed=backbone_seed(seed)
        )
        self._mean, self._std = pixel_statistics(name)
        self.weights_sha256 = state_digest(self._model)
        self._device = device
        moved(self._model, device)

    def __call__(self, images: UInt8Array) -> Float32Array:
        """Return features, float32 (n, width)."""
        return predict_logits(self._model, images, self._mean, self._std, PIECE).astype("float32")

    @contextlib.contextmanager
    def on(self, device: str) -> Iterator[None]:
        """Have the network on another device for a while."""
        moved(self._model, device)
        try:
            yield
        finally:
            moved(self._model, self._device)

    @property
    def limit(self) -> int | None:
        """How many images it takes at once since memory ran out; None: it never did."""
        return batch_limit(self._model)

    def state_bytes(self) -> bytes:
        """Serialise the network's weights as safetensors."""
        return state_bytes(self._model)


def backbone_seed(seed: int) -> int:
    """Return the seed of the random weights, equal for every pipeline of a run."""
    return seed_for(seed, "backbone")


def run_extractor(context: RunContext) -> FeatureExtractor:
    """Return the extractor that every pipeline of a run shares: backbone, weights, size, threads.

    It is on the device that the run measures on; features for fitting are made on the device that
    trains (``cached_features``).

    Raises DataError where the weights cannot be had.
    """
    settings = context.settings
    return FeatureExtractor(
        settings.backbone,
        settings.image_size,
        settings.weights,
        context.seed,
        settings.threads,
        context.measured_on,
    )


def cached_features(
    batch: ImageBatch, context: RunContext, extractor: FeatureExtractor
) -> Float32Array:
    """Return features of a batch, float32 (n, width), from the disk if computed before.

    For fitting only: what is measured always runs the network. A cache file whose digest does not
    hold is computed again; a cache that cannot be written is said, and nothing is kept in it. While
    another process of this machine computes the same ones they are waited for.
    """
    key = key_of(
        images=batch.images.digest(),
        weights=extractor.weights_sha256,
        backbone=extractor.name,
        device=device_identity(context.settings.device),
        threads=context.settings.threads,
        source=source_digest(*sources_of(__name__)),
        torch=torch.__version__,
    )
    cache = KeptResults(Path(context.cache_dir) / FEATURES_FOLDER, private=True)
    name = f"{FEATURES}-{key}"
    shape = len(batch), extractor.width
    if (stored := _stored(cache, name, shape, context)) is not None:
        with contextlib.suppress(OSError):  # of a process that was killed when it had kept them
            _lock_of(cache, name).unlink()
        return stored
    with _one_makes(cache, name) as waited:
        context.artefacts.note_waited(waited)
        if (stored := _stored(cache, name, shape, context)) is not None:
            return stored
        start = time.perf_counter()
        with extractor.on(context.settings.device):
            features = _extract(batch, context, extractor)
        if extractor.limit is not None:
            context.warnings.append(memory_warning("features", extractor.limit, PIECE))
        cache.keep(name, Kept(npz_bytes({FEATURES: features}), time.perf_counter() - start))
    return features


@contextlib.contextmanager
def _one_makes(cache: KeptResults, name: str) -> Iterator[float]:
    """Wait until no other process makes a result; yield the seconds waited.

    Whoever waited has to look whether it is kept now: the file of the lock goes with the lock.
    Where there can be no such file nothing can be kept either, and nobody is waited for.
    """
    lock = _lock_of(cache, name)
    with contextlib.ExitStack() as held:
        waited = 0.0
        with contextlib.suppress(OSError):
            close_to_others(cache.folder)
            waited = held.enter_context(one_at_a_time(lock, "extracts the same features"))
        try:
            yield waited
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def _lock_of(cache: KeptResults, name: str) -> Path:
    return cache.folder / f".{name}.lock"


def _stored(
    cache: KeptResults, name: str, shape: tuple[int, int], context: RunContext
) -> Float32Array | None:
    """Return features that are kept; None where there are none of this shape."""
    kept = cache.find(name)
    stored = None if kept is None else _parsed(kept, shape)
    if kept is not None and stored is not None:
        context.artefacts.note_reused(name, kept.seconds)
    return stored


def _parsed(kept: Kept, shape: tuple[int, int]) -> Float32Array | None:
    """Return the features of a cache file, None where they are of another shape."""
    try:
        found = parse_arrays(kept.data, FEATURES).get(FEATURES)
    except IntegrityError:
        return None
    if found is None or found.shape != shape or found.dtype != np.float32:
        return None
    return np.asarray(found, np.float32)


def _extract(batch: ImageBatch, context: RunContext, extractor: FeatureExtractor) -> Float32Array:
    parts = []
    for start in range(0, len(batch), PIECE):
        parts.append(extractor(batch.images[start : start + PIECE]))
        context.progress("features", min(start + PIECE, len(batch)), len(batch))
    return np.concatenate(parts)

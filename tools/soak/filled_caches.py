"""Caches as a run fills them, with a few invented images: features, stored images, artefacts.

Each is filled below a folder by what ``ask`` returns: the bytes of what is in it, and whether they
were made now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tools.soak.invented import invented_images

SIZE, IMAGES = 32, 4
Ask: TypeAlias = Callable[[], tuple[bytes, bool]]


def _features(folder: Path) -> tuple[Path, Ask]:
    """Fill the cache of features of a small transformer with random weights."""
    from he_compare.common.backbones.features import FeatureExtractor, cached_features
    from he_compare.common.clock import Clock
    from he_compare.common.contracts import RunContext, RunSettings
    from he_compare.common.run.kept_artefacts import ArtefactFolder
    from he_compare.common.types import ImageBatch, Side

    name = "deit_tiny_patch16_224"
    artefacts = ArtefactFolder(folder / "artefacts")
    settings = RunSettings(SIZE, name, "untrained", 1, 8, 1e-3, 1, 8)
    context = RunContext(
        seed=0,
        settings=settings,
        clock=Clock(Side.CLIENT),
        artefacts=artefacts,
        cache_dir=folder,
        key_file=folder / "client.key",
        start_server=_no_server,
        progress=lambda what, done, total: None,
    )
    extractor = FeatureExtractor(name, SIZE, "untrained", 0, threads=1)
    ids = tuple(map(str, range(IMAGES)))
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    batch = ImageBatch(ids=ids, images=images, labels=np.arange(IMAGES) % 2, groups=ids)

    def ask() -> tuple[bytes, bool]:
        found = cached_features(batch, context, extractor)
        context.warnings.clear()
        return found.tobytes(), not artefacts.drain_reused()

    return folder / "features", ask


def _no_server(pipeline: str, public_material: bytes) -> Any:
    raise AssertionError(f"{pipeline} started a server")


def _images(folder: Path) -> tuple[Path, Ask]:
    """Fill the store of decoded images with a folder of pictures in two classes."""
    from he_compare.common.datasets.folder import DATASET
    from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
    from he_compare.common.types import Split

    invented_images(folder / "films", a_class=10)
    dataset = DATASET.open(str(folder / "films"), None, "", 0)
    chosen = {split: np.arange(len(dataset.index(split).ids)) for split in Split}

    def ask() -> tuple[bytes, bool]:
        found = decoded_images(dataset, chosen, StoreWish(folder / "cache", SIZE), looks=True)
        parts = [found.pictures(dataset, split, chosen[split])[:].tobytes() for split in Split]
        parts += [found.looks(split, chosen[split]).tobytes() for split in Split]
        return b"".join(parts), not found.reused

    return folder / "cache", ask


def _artefacts(folder: Path) -> tuple[Path, Ask]:
    """Fill a folder of artefacts."""
    from he_compare.common.run.kept_artefacts import ArtefactFolder

    store = ArtefactFolder(folder / "artefacts")
    data = np.random.default_rng(2).bytes(5000)

    def ask() -> tuple[bytes, bool]:
        found = store.get_or_make("weights", {"a": 1}, lambda: data)
        return found, not store.drain_reused()

    return folder / "artefacts", ask


FILLED: Mapping[str, Callable[[Path], tuple[Path, Ask]]] = {
    "features": _features,
    "images": _images,
    "artefacts": _artefacts,
}

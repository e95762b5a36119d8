"""Plain images an audit works with: those that are attacked, and those an adversary may know.

The test split is attacked. Images of the training split show other people of the same collection:
they judge pictures, and an adversary has them only as a reference that is called in-domain. Grey
images have three equal channels, which the outcomes say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.errors import UsageError
from he_compare.common.references.held_images import TRAIN, Held, TrainingSplit
from he_compare.common.references.reference import Domain, Public
from he_compare.common.types import ImageBatch, IntArray, Pictures, Split, in_portions

GREY_LIMIT = "grey images only; results on colour images may differ"


class PlainPool(Protocol):
    """Where an audit takes its images from. ``fingerprint`` names them."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def attacked(self, size: int) -> ImageBatch:
        """Return the images that are encrypted and attacked, ``size`` pixels square."""
        ...

    def auxiliary(self, size: int) -> ImageBatch:
        """Return images of other people of the same collection."""
        ...


@dataclass(frozen=True)
class RunPool:
    """The images of a run, at the size of the run. Raises UsageError for another size."""

    fingerprint: str
    classes: tuple[str, ...]
    test: ImageBatch
    train: ImageBatch

    def attacked(self, size: int) -> ImageBatch:
        """Return the test images."""
        return _of_size(self.test, size)

    def auxiliary(self, size: int) -> ImageBatch:
        """Return the training images."""
        return _of_size(self.train, size)


def _of_size(batch: ImageBatch, size: int) -> ImageBatch:
    side = batch.images.shape[1]
    if side != size:
        raise UsageError(f"the images of the run have {side} pixels, the target wants {size}")
    return batch


@dataclass
class DatasetPool:
    """Images read from a dataset when they are asked for, each size once.

    ``most``: most test and training images that are read, chosen by ``seed``.
    """

    dataset: OpenDataset
    fingerprint: str
    most: tuple[int, int]
    seed: int
    _read: dict[tuple[Split, int], ImageBatch] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in label order."""
        return tuple(self.dataset.card.classes)

    def attacked(self, size: int) -> ImageBatch:
        """Return test images, ``size`` pixels square."""
        return self._batch(Split.TEST, self.most[0], size)

    def auxiliary(self, size: int) -> ImageBatch:
        """Return training images."""
        return self._batch(Split.TRAIN, self.most[1], size)

    def _batch(self, split: Split, most: int, size: int) -> ImageBatch:
        from he_compare.common.datasets.opened import choice

        if (split, size) not in self._read:
            positions = choice.limit(self.dataset.index(split), most, self.seed, split)
            self._read[split, size] = choice.load_batch(self.dataset, split, positions, size)
        return self._read[split, size]


def training_images(pool: PlainPool) -> Public:
    """Return the pool's training images as a public reference, in-domain by definition."""

    def held(size: int) -> Held:
        batch = pool.auxiliary(size)
        return Held(batch.ids, batch.images)

    return Public(TrainingSplit(pool.fingerprint, held), Domain.IN_DOMAIN, TRAIN)


def is_grey(images: Pictures) -> bool:
    """Say whether all channels of all images (n, h, w, c) are equal."""
    if not len(images):
        return False
    return all(bool((part == part[..., :1]).all()) for part in in_portions(images))


def stratified(labels: IntArray, order: IntArray) -> IntArray:
    """Reorder positions so that classes take turns, each in the given order: int64 (n,)."""
    queues = [[i for i in order if labels[i] == label] for label in np.unique(labels[order])]
    longest = max(map(len, queues), default=0)
    return np.array(
        [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)],
        dtype=np.int64,
    )

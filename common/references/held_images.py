"""Images that are held as they are: a training split, another dataset, or a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from he_compare.common.references.reference import (
    GREY_CHANNELS,
    Channels,
    Domain,
    PublicReference,
    grey_of,
)
from he_compare.common.run.records import DatasetCard
from he_compare.common.seeds import generator_for
from he_compare.common.types import Pictures, UInt8Array

TRAIN = "train"


@dataclass(frozen=True)
class Held:
    """``names``: of the images, by which one of them is refused; uint8 (n, size, size, 3)."""

    names: tuple[str, ...]
    images: Pictures


class HeldImages(PublicReference):
    """Images of a dataset or a folder. ``read``: returns all that are held at a size in pixels."""

    def __init__(
        self,
        name: str,
        provenance: str,
        digest: str,
        made_of: frozenset[str],
        read: Callable[[int], Held],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.provenance = provenance
        self.digest = digest
        self.made_of = made_of
        self.notes = notes
        self._read = read
        self._known: dict[int, Held] = {}

    def held(self, size: int) -> Held:
        """Return all images at a size, each size read once. Raises DataError naming an image."""
        if size not in self._known:
            self._known[size] = self._read(size)
        return self._known[size]

    def images(self, count: int, size: int, channels: Channels, seed: int) -> UInt8Array:
        """Return up to ``count`` of the images, chosen by the seed. Raises DataError."""
        images = self.held(size).images
        chosen = generator_for(seed, "public images").permutation(len(images))[:count]
        found = np.ascontiguousarray(images[chosen])
        return grey_of(found) if channels == GREY_CHANNELS else found


class TrainingSplit(HeldImages):
    """The training split of the collection under test: other people, the same hospital."""

    def __init__(self, fingerprint: str, read: Callable[[int], Held]) -> None:
        provenance = "training split of the collection under test"
        super().__init__(TRAIN, provenance, fingerprint, frozenset(), read)

    def domain_of(self, card: DatasetCard) -> Domain:
        """Return in-domain, whatever the collection declares."""
        return Domain.IN_DOMAIN

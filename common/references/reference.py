"""What a public reference is: images anybody may have, and how near they are to what is attacked.

What an attack reads with public images depends on how near these are to the images attacked. So a
reference declares the collections it was made of, and whether it is of the collection under test
follows from that by rule (``PublicReference.domain_of``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from he_compare.common.run.records import DatasetCard, ReferenceFacts
from he_compare.common.types import UInt8Array

# As little as any use of public images can do with.
LEAST_PUBLIC = 16
Channels = Literal[1, 3]
GREY_CHANNELS: Channels = 1
COLOUR_CHANNELS: Channels = 3


class Domain(StrEnum):
    """Whether a reference is of the collection under test."""

    IN_DOMAIN = "in-domain"
    FOREIGN = "foreign"
    UNKNOWN = "domain not known"


class PublicReference(ABC):
    """Public images. ``name``: as on the command line, without a path of this machine.

    ``provenance``: one line. ``digest``: SHA-256 of what the images are drawn from. ``made_of``:
    collections it was made of (``DatasetCard.collections``), empty where they are not known.
    ``ships``: whether it comes with the package. ``notes``: what was done to its images.
    """

    name: str
    provenance: str
    digest: str
    made_of: frozenset[str] = frozenset()
    ships: bool = False
    notes: tuple[str, ...] = ()

    def domain_of(self, card: DatasetCard) -> Domain:
        """Say how the reference relates to a dataset: by the collections that both declare."""
        theirs = frozenset(card.collections)
        if not theirs or not self.made_of:
            return Domain.UNKNOWN
        return Domain.IN_DOMAIN if theirs & self.made_of else Domain.FOREIGN

    @abstractmethod
    def images(self, count: int, size: int, channels: Channels, seed: int) -> UInt8Array:
        """Return up to ``count`` images, uint8 (n, size, size, 3), the same for the same arguments.

        ``channels``: 1 for grey, given in three equal channels as datasets give it; 3 for colour.
        Fewer where it holds fewer. Raises DataError on a damaged file.
        """


@dataclass(frozen=True)
class Public:
    """A reference as it was chosen for one dataset, with its domain there.

    ``argument``: what names it on the command line, without a path of this machine.
    """

    reference: PublicReference
    domain: Domain
    argument: str

    @property
    def title(self) -> str:
        """Return name and domain, as a row of the matrix shows them."""
        return f"{self.reference.name} ({self.domain})"

    def facts(self, images: int | None = None) -> ReferenceFacts:
        """Return what a record says of it. ``images``: how many were given."""
        return ReferenceFacts(
            name=self.reference.name,
            domain=self.domain.value,
            digest=self.reference.digest,
            provenance=self.reference.provenance,
            images=images,
            notes=list(self.reference.notes),
        )


def grey_of(images: UInt8Array) -> UInt8Array:
    """Turn uint8 (n, h, w, 3) into grey with three equal channels, by the weights of Rec. 601."""
    import numpy as np

    if bool((images == images[..., :1]).all()):
        return images
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = np.rint(images.astype(np.float32) @ weights).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)

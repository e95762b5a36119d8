"""Natural photographs that ship: foreign to every medical collection.

Crops of a few photographs in the public domain, each named with its author and licence in
``pictures/pictures.json``. They know what pictures look like close by (edges, smoothness), and
nothing of how a radiograph is laid out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from he_compare.common.datasets.reading.decoding import open_image, to_square
from he_compare.common.errors import IntegrityError
from he_compare.common.references.reference import (
    GREY_CHANNELS,
    Channels,
    Domain,
    PublicReference,
    grey_of,
)
from he_compare.common.run.records import DatasetCard
from he_compare.common.seeds import generator_for
from he_compare.common.types import UInt8Array

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPHS = Path(__file__).parent / "pictures"
CARD = "pictures.json"
_FIX = "reinstall the package"


class PictureFacts(BaseModel):
    """Where a picture comes from. ``sha256``: of the file as it ships."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=r"^[a-z_]+\.jpg$")
    title: str
    author: str
    source: str
    licence: str
    changes: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class _Photograph:
    facts: PictureFacts
    image: Image.Image


class NaturalPhotographs(PublicReference):
    """Random crops of the photographs: scaled to the size asked for, half of them mirrored."""

    name = "natural"
    provenance = "crops of natural photographs that ship with the package, in the public domain"
    made_of = frozenset({"natural-photographs"})
    ships = True

    @property
    def digest(self) -> str:  # type: ignore[override]
        """SHA-256 over the digests of all photographs."""
        listed = "".join(one.sha256 for one in picture_facts(PHOTOGRAPHS))
        return hashlib.sha256(listed.encode()).hexdigest()

    def domain_of(self, card: DatasetCard) -> Domain:
        """Return foreign: the photographs are known one by one, and none is of a dataset."""
        return Domain.FOREIGN

    def images(self, count: int, size: int, channels: Channels, seed: int) -> UInt8Array:
        """Return ``count`` crops. Image i depends on the seed and i alone. Raises IntegrityError"""
        photographs = _photographs(PHOTOGRAPHS)
        found = np.empty((count, size, size, 3), dtype=np.uint8)
        for number in range(count):
            random = generator_for(seed, "natural photographs", number)
            photograph = photographs[int(random.integers(len(photographs)))]
            found[number] = _crop(photograph.image, size, random)
        return grey_of(found) if channels == GREY_CHANNELS else found


def _crop(image: Image.Image, size: int, random: np.random.Generator) -> UInt8Array:
    """Cut a square, whose side is uniform on a logarithmic scale, and scale it to ``size``."""
    longest = min(image.size)
    smallest = min(size, longest)
    side = round(smallest * (longest / smallest) ** random.random())
    left, top = (int(random.integers(extent - side + 1)) for extent in image.size)
    pixels = to_square(image.crop((left, top, left + side, top + side)), size)
    return pixels[:, ::-1] if random.random() < 0.5 else pixels


@cache
def picture_facts(folder: Path) -> tuple[PictureFacts, ...]:
    """Return what is known of each photograph, in order of file. Raises IntegrityError."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
        found = TypeAdapter(list[PictureFacts]).validate_python(json.loads(text)["pictures"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"{CARD} cannot be read: {error}", fix=_FIX) from None
    return tuple(sorted(found, key=lambda one: one.file))


@cache
def _photographs(folder: Path) -> tuple[_Photograph, ...]:
    """Read all photographs, each checked against its digest. Raises IntegrityError."""
    found = []
    for facts in picture_facts(folder):
        path = folder / facts.file
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise IntegrityError(f"{facts.file}: {error.strerror}", fix=_FIX) from None
        if digest != facts.sha256:
            raise IntegrityError(f"{facts.file} has SHA-256 {digest}", fix=_FIX)
        found.append(_Photograph(facts, open_image(path, facts.file)))
    return tuple(found)

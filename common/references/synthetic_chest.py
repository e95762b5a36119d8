"""The synthetic radiographs that ship, made from an atlas of the chest X-rays of Kermany et al."""

from __future__ import annotations

from he_compare.common.datasets.embedded.atlas import ATLAS_FILE, load_card, sample
from he_compare.common.errors import IntegrityError
from he_compare.common.references.reference import Channels, PublicReference
from he_compare.common.types import UInt8Array


class SyntheticChest(PublicReference):
    """Radiographs drawn from the atlas: no patient's picture, but the statistics of a collection.

    The atlas's card declares the collections it was fitted on.
    """

    name = "synthetic-chest"
    provenance = (
        "synthetic radiographs that ship with the package, from an atlas fitted on the train split "
        "of the chest X-rays of Kermany et al. 2018"
    )
    ships = True

    @property
    def made_of(self) -> frozenset[str]:  # type: ignore[override]
        """The collections that the atlas's card declares. Raises IntegrityError."""
        declared = load_card(ATLAS_FILE).get("collections")
        if not isinstance(declared, list) or not all(isinstance(one, str) for one in declared):
            raise IntegrityError(
                f"card of {ATLAS_FILE.name} names no collections", fix="reinstall the package"
            )
        return frozenset(declared)

    @property
    def digest(self) -> str:  # type: ignore[override]
        """SHA-256 of the atlas."""
        return str(load_card(ATLAS_FILE).get("sha256", ""))

    def images(self, count: int, size: int, channels: Channels, seed: int) -> UInt8Array:
        """Return ``count`` radiographs; they are grey. Raises IntegrityError, DataError."""
        return sample(count, seed, size).images

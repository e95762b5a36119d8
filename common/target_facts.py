"""What anybody finds out about a target by running its algorithm under keys of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import PictureShape


@dataclass(frozen=True)
class Facts:
    """A target as its behaviour shows it.

    ``keeps_values``: the ciphertext is a rearrangement of the image's bytes. ``keeps_folded``: of
    min(v, 255 - v); ``keeps_nibbles``: of 4-bit halves min(v, 15 - v). ``keeps_places``: a changed
    pixel changes that pixel only. ``local``: one changed value changes at most two values.
    ``shared_key``: equal blocks become equal blocks, one key for all. ``moves_blocks``: blocks
    change places. ``bytewise``: it changes at most one. ``one_key``: the key is the same for every
    image; ``key_per_image``: each image has a key of its own, and the same image the same one.
    ``folds_in_place``: each pixel holds the values of that pixel, up to v or 255 - v and the order
    of channels, whatever the key. ``keeps_blocks``: each block holds the 4-bit halves of one block
    of the image, up to v or 15 - v; ``keeps_channel_blocks``: each block of one channel holds the
    values of one block of one channel of the image, up to v or 255 - v. ``keeps_neighbours``:
    pixels beside each other inside a block stay so, turned or negated. ``tables_in_place``: each
    position of a block (without blocks: each channel) maps its value by one table, one to one.
    ``unadaptable``: why no model was adapted to the key, '' where one was. ``pictures``: the
    messages are pictures to whoever reads them.
    """

    label: str
    kind: str
    scheme: str
    parameters: Mapping[str, Any]
    shape: PictureShape
    patch: int | None
    pictures: bool
    ciphertext: str
    deterministic: bool
    one_key: bool
    keeps_values: bool
    keeps_folded: bool
    keeps_nibbles: bool
    keeps_places: bool
    local: bool
    bytewise: bool
    unadaptable: str
    shared_key: bool
    moves_blocks: bool
    folds_in_place: bool
    keeps_blocks: bool
    keeps_neighbours: bool
    keeps_channel_blocks: bool
    tables_in_place: bool
    claims: SecurityClaims

    @property
    def is_control(self) -> bool:
        """True for a scheme whose answer is known."""
        return self.kind == "control"

    @property
    def key_per_image(self) -> bool:
        """Whether each image has a key of its own, which the image determines."""
        return self.deterministic and not self.one_key

    @property
    def one_by_one(self) -> bool:
        """Whether no two images are known to share a key, so that each is attacked by itself."""
        return not (self.deterministic and self.one_key)

    @property
    def images_are_samples(self) -> bool:
        """Whether an interval is over images, whatever client's key they were encrypted under.

        Each has a key of its own, or it is a picture that is scrambled afresh each time.
        """
        return self.key_per_image or (self.pictures and self.one_by_one)

    @property
    def side(self) -> int:
        """Side of the blocks in pixels. Raises ValueError where there are none.

        An attack that asks for it requires ``he_compare.common.attack_requirements.BLOCKS``.
        """
        if self.patch is None:
            raise ValueError(f"{self.label} has no blocks")
        return self.patch

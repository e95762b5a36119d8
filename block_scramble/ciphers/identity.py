"""Control at the open end: the ciphertext is the image, so every attack must win here."""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import Cipher, CipherTraits, SubKeys
from he_compare.block_scramble.engine.permutations import BytePermutation
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class Identity(Cipher):
    """No protection at all."""

    name = "identity"
    traits = CipherTraits(
        operations="none",
        protects="nothing: the server receives the image",
        source="control",
        claim_type="none",
        deterministic=True,
        keyed=False,
        wrong_key="there is no key",
        insecure="the identity protects nothing; it is a control",
    )

    def keyed(self, keys: SubKeys, parameters: Parameters, shape: ImageShape) -> BytePermutation:
        """Return the permutation that moves and negates nothing; the key is not used."""
        size = shape.height * shape.width * shape.channels
        return BytePermutation(shape, np.arange(size), np.zeros(size, np.bool_))

    def key_bits(self, parameters: Parameters, shape: ImageShape) -> float:
        """There is one key: zero bits."""
        return 0.0

    def preserves(self, parameters: Parameters) -> tuple[str, ...]:
        """Everything."""
        return ("the image",)

    def obstacle(self, parameters: Parameters) -> str:
        """A plain model reads the images as they are."""
        return ""


CIPHER = Identity()

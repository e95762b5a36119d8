"""Control at the open end: the ciphertext is the image, so every attack must win here."""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import (
    Cipher,
    CipherTraits,
    ImageShape,
    check_images,
    check_shape,
)
from he_compare.block_scramble.engine.blocks import block_count, block_values, check_patch
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.vit.patch_key import PatchAffine
from he_compare.common.contracts import Parameters
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import UInt8Array


class IdentityParameters(Parameters):
    """The identity has no options."""


class KeyedIdentity:
    """Returns what it is given."""

    def __init__(self, shape: ImageShape) -> None:
        check_shape(shape)
        self.shape = shape

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Return a copy of uint8 (n, h, w, c)."""
        check_images(images, self.shape)
        return np.copy(images)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Return a copy of uint8 (n, h, w, c)."""
        return self.encrypt(ciphertexts)

    def affine_embedding(self, patch: int) -> PatchAffine:
        """Describe a key that moves and negates nothing."""
        check_patch(self.shape, patch)
        values = block_values(self.shape, patch)
        blocks = np.arange(block_count(self.shape, patch), dtype=np.int64)
        order = np.arange(values, dtype=np.int64)[None]
        return PatchAffine(patch, blocks, order, np.zeros((1, values), np.bool_))

    def moves(self) -> KeyMoves:
        """Describe what an audit has to find: every value is where it was."""
        size = int(np.prod(self.shape))
        return KeyMoves(np.arange(size), np.zeros(size, np.bool_))


class Identity(Cipher):
    """No protection at all."""

    name = "identity"
    parameters = IdentityParameters
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

    def prepare(
        self,
        key: ClientKey,
        parameters: IdentityParameters,
        shape: ImageShape,
        *,
        sequence: str = "",
    ) -> KeyedIdentity:
        """Return the identity for images of this shape; the key is not used."""
        return KeyedIdentity(shape)

    def nominal_bits(self, parameters: IdentityParameters, shape: ImageShape) -> float:
        """There is one key: zero bits."""
        return 0.0

    def preserves(self, parameters: IdentityParameters) -> tuple[str, ...]:
        """Everything."""
        return ("the image",)


CIPHER = Identity()

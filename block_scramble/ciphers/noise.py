"""Control at the closed end: uniform bytes that ignore the image, so no attack and no model wins.

The bytes come from a keyed stream, so that a run can be repeated; each series of encryptions has a
stream of its own, so that noise seen in training never returns when images are classified.
"""

from __future__ import annotations

from he_compare.block_scramble.cipher import Cipher, CipherTraits, SubKeys
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array

NOT_AFFINE = "its ciphertext does not depend on the image: there is no key a model could absorb"


class KeyedNoise(KeyedCipher):
    """Reads on in its stream with every image, so equal images get unrelated bytes."""

    obstacle = NOT_AFFINE

    def __init__(self, shape: ImageShape, stream: Keystream) -> None:
        self.shape = shape
        self._stream = stream

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Return fresh uniform bytes of the shape of ``images``, uint8 (n, h, w, c)."""
        check_images(images, self.shape)
        return self._stream.uint8(images.shape)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Raise UsageError: nothing of the image is in its ciphertext."""
        raise UsageError(
            "noise cannot be decrypted: nothing of the image is in it", fix="use another cipher"
        )


class Noise(Cipher):
    """Uniform bytes in place of the image."""

    name = "noise"
    traits = CipherTraits(
        operations="replaced by uniform bytes",
        protects="nothing is claimed: random bytes replace the image, so no model can learn",
        source="control",
        claim_type="none",
        deterministic=False,
        keyed=False,
        wrong_key="there is no key, and nothing to decrypt",
        insecure="noise cannot be decrypted or classified; it is a control",
    )

    def keyed(self, keys: SubKeys, parameters: Parameters, shape: ImageShape) -> KeyedNoise:
        """Open the stream of this series of encryptions."""
        return KeyedNoise(shape, keys.stream(keys.sequence))

    def key_bits(self, parameters: Parameters, shape: ImageShape) -> float:
        """Nothing is encrypted: zero bits."""
        return 0.0

    def preserves(self, parameters: Parameters) -> tuple[str, ...]:
        """Nothing but the shape."""
        return ("the size of the image",)

    def obstacle(self, parameters: Parameters) -> str:
        """There is no key a model could absorb."""
        return NOT_AFFINE


CIPHER = Noise()

"""Control with a real guarantee: AES-256 in counter mode under a fresh nonce for every image.

No network learns on its ciphertexts and no attack on them wins; what is left is the size of the
image. Source: NIST SP 800-38A; the implementation is that of the ``cryptography`` package. Counter
mode does not notice altered bytes or a wrong key.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from he_compare.block_scramble.cipher import Cipher, CipherTraits, SubKeys
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import NONCE_BYTES, NoncedCipher, check_nonces
from he_compare.block_scramble.keys.client_key import KEY_BITS, ClientKey
from he_compare.common.contracts import Parameters
from he_compare.common.types import UInt8Array

# The last four bytes count the blocks of one image, the rest tells images apart.
COUNTER_BYTES = 4
USED = NONCE_BYTES - COUNTER_BYTES
NOT_AFFINE = (
    "the keystream is another one for every image, so there is no fixed map that a model could "
    "absorb"
)


class KeyedAesCtr(NoncedCipher):
    """XORs each image with the keystream of its nonce."""

    obstacle = NOT_AFFINE

    def __init__(self, shape: ImageShape, key: ClientKey) -> None:
        self.shape = shape
        self._algorithm = algorithms.AES256(key.secret_bytes())

    def encrypt_under(self, images: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c), image i under nonce i of 16 bytes.

        The last four bytes of a nonce are not used. Raises MessageError where a nonce has another
        length or serves two images: their XOR would then be that of the images.
        """
        check_images(images, self.shape)
        check_nonces(nonces, len(images), USED)
        result = np.empty(images.shape, np.uint8)
        for image, nonce, target in zip(images, nonces, result, strict=True):
            counter = modes.CTR(_unique(nonce) + bytes(COUNTER_BYTES))
            encrypted = BlockCipher(self._algorithm, counter).encryptor().update(image.tobytes())
            target[...] = np.frombuffer(encrypted, np.uint8).reshape(self.shape)
        return result

    def decrypt_under(self, ciphertexts: UInt8Array, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt_under``: XOR with the same keystream."""
        return self.encrypt_under(ciphertexts, nonces)


def _unique(nonce: bytes) -> bytes:
    return nonce[:USED]


class AesCtr(Cipher):
    """Standard encryption of the pixels."""

    name = "aes_ctr"
    traits = CipherTraits(
        operations="XOR with the AES-256 keystream of a fresh nonce for every image",
        protects="everything but the size of the image (indistinguishable under chosen "
        "plaintexts); no model can learn on the ciphertexts",
        source="NIST SP 800-38A; control",
        claim_type="reduction to a hardness assumption",
        deterministic=False,
        keyed=True,
        fresh_nonces=True,
        wrong_key="decrypts to noise, unnoticed: counter mode has no integrity check",
        assumption="AES-256 is a pseudorandom permutation",
        enforced_by="the cryptography package: key length and mode are fixed",
    )

    def keyed(self, keys: SubKeys, parameters: Parameters, shape: ImageShape) -> KeyedAesCtr:
        """Derive the AES key."""
        return KeyedAesCtr(shape, keys.subkey("AES-256"))

    def key_bits(self, parameters: Parameters, shape: ImageShape) -> float:
        """The bits of the AES key."""
        return KEY_BITS

    def preserves(self, parameters: Parameters) -> tuple[str, ...]:
        """Nothing but the shape."""
        return ("the size of the image",)

    def obstacle(self, parameters: Parameters) -> str:
        """Every image has another keystream."""
        return NOT_AFFINE


CIPHER = AesCtr()

"""A cipher under one key: an immutable object that maps batches of images to ciphertexts and back.

Ciphertexts have the shape of the images, as uint8 or float32. How a Vision Transformer can absorb
the key is described by ``PatchKey``.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.vit.patch_key import PatchKey
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.scheme import KeyMoves
from he_compare.common.secrecy import KeptInProcess
from he_compare.common.shown import shown
from he_compare.common.types import UInt8Array

# uint8 or float32, as the cipher's traits say.
CiphertextArray: TypeAlias = npt.NDArray[Any]

# Length of the nonces that travel with ciphertexts.
NONCE_BYTES = 16
NOT_DESCRIBED = "the cipher does not say how a patch embedding could absorb its key"


class KeyedCipher(KeptInProcess, ABC):
    """A cipher under one key for images of one shape: not to be pickled or copied.

    ``obstacle``: why no model can absorb the key, for a cipher that has no ``affine_embedding``.
    """

    shape: ImageShape
    obstacle: ClassVar[str] = NOT_DESCRIBED

    @abstractmethod
    def encrypt(self, images: UInt8Array) -> CiphertextArray:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""

    @abstractmethod
    def decrypt(self, ciphertexts: CiphertextArray) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError where there is nothing to invert."""

    def affine_embedding(self, patch: int) -> PatchKey:
        """Describe the key to a model with square patches of ``patch`` pixels.

        Raises UsageError with the reason where no patch embedding can absorb it.
        """
        raise UsageError(f"the cipher is not adaptable: {self.obstacle}", fix="pass mode=trained")

    def moves(self) -> KeyMoves | None:
        """Return the key as moves of values: the sealed truth of an audit. None if it is not."""
        return None


def random_nonce() -> bytes:
    """Draw a nonce of NONCE_BYTES bytes from the operating system's generator."""
    return secrets.token_bytes(NONCE_BYTES)


def check_nonces(nonces: Sequence[bytes], count: int, used: int = NONCE_BYTES) -> None:
    """Raise MessageError unless there is one nonce an image and their first bytes differ.

    ``used``: how many of their NONCE_BYTES bytes make the difference.
    """
    if len(nonces) != count:
        raise MessageError(f"{count} images came with {len(nonces)} nonces")
    if any(len(nonce) != NONCE_BYTES for nonce in nonces):
        raise MessageError(f"a nonce has {NONCE_BYTES} bytes")
    if len({nonce[:used] for nonce in nonces}) != count:
        raise MessageError("a nonce is used for two images: they would be encrypted alike")


class NoncedCipher(KeyedCipher):
    """A keyed cipher whose traits say ``fresh_nonces``: each image is encrypted under one."""

    @abstractmethod
    def encrypt_under(self, images: UInt8Array, nonces: Sequence[bytes]) -> CiphertextArray:
        """Encrypt uint8 (n, h, w, c), image i under nonce i of NONCE_BYTES bytes."""

    @abstractmethod
    def decrypt_under(self, ciphertexts: CiphertextArray, nonces: Sequence[bytes]) -> UInt8Array:
        """Invert ``encrypt_under``."""

    def encrypt(self, images: UInt8Array) -> CiphertextArray:
        """Encrypt uint8 (n, h, w, c) under nonces that are not kept: pictures, measurements."""
        return self.encrypt_under(images, [random_nonce() for _ in images])

    def decrypt(self, ciphertexts: CiphertextArray) -> UInt8Array:
        """Raise UsageError: the nonces are missing."""
        raise UsageError(
            "this cipher decrypts a ciphertext with its nonce, and there is none",
            fix="decrypt with the nonces that encryption returned",
        )


def as_pictures(ciphertexts: CiphertextArray) -> UInt8Array:
    """Show ciphertexts (n, h, w, c) as uint8 pictures, each by itself: see ``common.shown``."""
    if ciphertexts.dtype == np.uint8:
        return ciphertexts
    pictures = np.empty(ciphertexts.shape, np.uint8)
    for number, ciphertext in enumerate(ciphertexts):
        pictures[number] = shown(ciphertext)
    return pictures
